"""Tools are found, asked once, and asked again when they change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from patchctl import process
from patchctl.build.cuda import unavailable
from patchctl.build.toolchain import find_toolchain
from patchctl.ledger import Ledger
from tests.build.project import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_cmake_and_ninja_are_the_wheels_own_programs(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("cmake", "ninja"):
        program(tmp_path / "bin" / name, f"echo {name} version 1.0")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    found = find_toolchain(ledger)
    assert found.cmake is not None
    assert found.ninja is not None
    assert found.cmake.number >= (3, 20)
    assert found.ninja.number >= (1, 11)
    assert found.cmake.path.read_bytes().startswith(b"\x7fELF")


def test_cc_and_cxx_of_the_environment_come_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", str(program(tmp_path / "my-cc", "echo my compiler 9.1")))
    monkeypatch.setenv("CXX", str(tmp_path / "not there"))
    found = find_toolchain(ledger)
    assert found.cc is not None
    assert (found.cc.version, found.cc.number) == ("my compiler 9.1", (9, 1))
    assert found.cxx is not None
    assert found.cxx.path.name == "c++"


def test_a_tool_is_asked_once_until_it_or_what_it_starts_changes(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    real = process.output

    def count(command: list[Path]) -> str | None:
        asked.append(str(command[0]))
        return real(command)

    monkeypatch.setattr(process, "output", count)
    behind = program(tmp_path / "real-cc", "echo real 1.0")
    wrapper = program(tmp_path / "cc", f'exec {behind} "$@"')
    monkeypatch.setenv("CC", str(wrapper))
    find_toolchain(ledger)
    asked.clear()
    first = find_toolchain(ledger)
    assert asked == []
    program(behind, "echo really real 2.0")
    second = find_toolchain(ledger)
    assert asked == [str(wrapper)]
    assert first.cc is not None
    assert second.cc is not None
    assert (first.cc.version, second.cc.version) == ("real 1.0", "really real 2.0")
    assert first.cc.stamp != second.cc.stamp


def test_nvcc_is_known_by_its_release_line(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "echo nvcc: NVIDIA Cuda compiler driver; echo Cuda compilation tools, release 12.8, V12.8.61; echo Build x"
    monkeypatch.setenv("CUDACXX", str(program(tmp_path / "nvcc", said)))
    found = find_toolchain(ledger)
    assert found.nvcc is not None
    assert found.nvcc.version == "Cuda compilation tools, release 12.8, V12.8.61"
    assert found.nvcc.number == (12, 8, 61)


def test_a_machine_without_anything_says_what_each_variant_lacks(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    found = find_toolchain(ledger)
    assert found.missing(cuda=False) == ["a C compiler", "a C++ compiler"]
    reason = unavailable("sm_120", {"GGML_CUDA": "ON"}, found)
    assert reason is not None
    assert reason.startswith("variant sm_120 needs a C compiler, a C++ compiler")
    assert reason.endswith("patchctl doctor says how to get it")


def test_a_program_that_does_not_run_is_not_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(tmp_path / "ccache", "exit 3")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_toolchain(ledger).ccache is None
