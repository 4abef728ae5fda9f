"""The first error is found in what compilers, linkers and CMake really print."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchctl.build.diagnosis import cmake_fault, count_failed, environment_error, first_fault
from patchctl.errors import Code

BUILD, SOURCE = Path("/w/slot/build/cpu"), Path("/w/slot/src")
GCC = """\
../../src/a.cpp: In function 'f':
../../src/a.cpp:3:5: error: 'x' was not declared
    3 |     x
      |     ^
note
"""
LD = "/usr/bin/ld: a.o: in function `f':\na.cpp:(.text+0x1): undefined reference to `g'\n"
NVCC = "nvcc fatal   : Unsupported gpu architecture 'compute_50'"
CMAKE = """\
-- x
CMake Error at ggml/CMakeLists.txt:175 (target_link_libraries):
  Target "g" links to:

    CUDA::cublas

  but


-- y
"""


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (GCC, "a.cpp:3:5: error: 'x' was not declared\n    3 |     x\n      |     ^"),
        ('/w/slot/src/d/k.cu(12): error: identifier "y" is bad\n', 'd/k.cu:12: error: identifier "y" is bad'),
        ("/usr/include/x.h:1:10: fatal error: no.h: none\n", "/usr/include/x.h:1:10: error: no.h: none"),
        (LD, "a.cpp:(.text+0x1): undefined reference to `g'"),
        (f"{NVCC}\n", NVCC),
        ("ninja: error: unknown target 'x'\n", "ninja: error: unknown target 'x'"),
        ("\x1b[1m../../src/a.c:1:2: \x1b[31merror: \x1b[0mbad\x07\n", r"a.c:1:2: error: bad\x07"),
    ],
)
def test_the_first_error_with_its_place_and_lines(said: str, shown: str) -> None:
    assert str(first_fault("warning: x\n" + said + "collect2: error: later\n", BUILD, SOURCE)) == shown


def test_a_compilers_error_counts_before_what_follows_from_it() -> None:
    said = "collect2: error: ld returned 1 exit status\n../../src/a.c:1:2: error: bad\n"
    assert str(first_fault(said, BUILD, SOURCE)) == "a.c:1:2: error: bad"
    assert first_fault("all well", BUILD, SOURCE) is None


def test_cmakes_errors_become_one_paragraph() -> None:
    fault = cmake_fault(CMAKE)
    assert (fault.place, fault.text) == ("ggml/CMakeLists.txt:175", 'Target "g" links to: CUDA::cublas but')
    assert cmake_fault("CMake Error: could not find X\n").text == "could not find X"
    assert cmake_fault("killed by somebody\n\n").text == "killed by somebody"
    assert cmake_fault("").text == "CMake said nothing"


@pytest.mark.parametrize(
    ("said", "words"),
    [("x: No space left on device", "disk is full"), ("Killed signal terminated program cc1plus", "--jobs")],
)
def test_a_full_disk_and_too_little_memory_are_the_environments(said: str, words: str) -> None:
    error = environment_error(said, Path("log"))
    assert error is not None
    assert error.exit_code == Code.ENVIRONMENT
    assert words in error.message
    assert environment_error("a.c:1:1: error: x", Path("log")) is None


def test_failed_steps_are_counted() -> None:
    assert count_failed("FAILED: a.o\nx FAILED: no\nFAILED: [code=1] b.o\n") == 2
