"""Touched paths become the objects that are compiled first."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from patchctl.build.compile import Ninja
from patchctl.build.fileapi import closure, read_targets
from patchctl.build.gate import FEW_STEPS, check_python, gate_outputs
from patchctl.build.ninjalog import included_files
from patchctl.errors import PatchctlError
from tests.build.project import MINI, Bench

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.build.fileapi import Target


@pytest.fixture
def ninja(built_once: Bench) -> Ninja:
    job = built_once.job(MINI)
    assert job.toolchain.ninja is not None
    return Ninja(job.toolchain.ninja, job.folder, job.src, {})


def needed(ninja: Ninja, *targets: str) -> list[Target]:
    return closure(read_targets(ninja.build), targets)


@pytest.mark.parametrize(
    ("touched", "expected"),
    [
        (["deep.c"], ["CMakeFiles/deep.dir/deep.c.o"]),
        (["parts/one.cpp", "README.md"], ["CMakeFiles/greet.dir/parts/one.cpp.o"]),
        (["include/greet.h"], ["CMakeFiles/greet.dir/greet.cpp.o"]),
        (["other.c"], []),
        (["tools/convert.py", "CMakeLists.txt"], []),
        (["gone.cpp"], []),
        ([], []),
    ],
)
def test_sources_headers_and_what_no_target_needs(ninja: Ninja, touched: list[str], expected: list[str]) -> None:
    assert gate_outputs(ninja, touched, needed(ninja, "hello")) == expected


def test_a_header_without_a_source_of_its_name_is_compiled_through_one_that_includes_it(bench: Bench) -> None:
    files = {name: text.replace("greet.h", "common.h") for name, text in MINI.items() if name != "include/greet.h"}
    files["include/common.h"] = MINI["include/greet.h"]
    bench.build(files)
    job = bench.job(files)
    assert job.toolchain.ninja is not None
    ninja = Ninja(job.toolchain.ninja, job.folder, job.src, {})
    assert gate_outputs(ninja, ["include/common.h"], needed(ninja, "hello")) == ["CMakeFiles/greet.dir/greet.cpp.o"]


def test_every_object_lies_in_its_targets_folder(ninja: Ninja) -> None:
    """What ``gate_outputs`` goes by, held against Ninja's own answer."""
    words = [ninja.tool.path, "-C", ninja.build, "-t", "inputs", "hello"]
    said = subprocess.run(words, capture_output=True, check=True, text=True)
    objects = {line for line in said.stdout.splitlines() if line.endswith(".o")}
    folders = tuple(f"{target.objects}/" for target in needed(ninja, "hello"))
    every = {str(path.relative_to(ninja.build)) for path in ninja.build.rglob("*.o")}
    assert {name for name in every | objects if name.startswith(folders)} == objects != set()


def test_ninjas_log_names_headers_and_may_be_missing_or_damaged(ninja: Ninja, tmp_path: Path) -> None:
    files = included_files(ninja.build)
    assert any(path.endswith("include/greet.h") for path in files["CMakeFiles/greet.dir/greet.cpp.o"])
    assert included_files(tmp_path) == {}
    content = (ninja.build / ".ninja_deps").read_bytes()
    for cut in (content[:10], content[:60], b"# ninjadeps\n\x01\0\0\0", content[:-3], content + b"\xff\xff\xff\x7f"):
        (tmp_path / ".ninja_deps").write_bytes(cut)
        assert included_files(tmp_path).keys() <= files.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"x = (1\n", r"gate failed: a\.py:1:5: error: '\(' was never closed\n    x = \(1"),
        (b"x = '\xff'\n", r"gate failed: a\.py:\d+:\d+: error: .*utf-8"),
        (b"x = 1\0\n", r"gate failed: a\.py.*error: .*null bytes"),
    ],
)
def test_python_that_does_not_compile_is_named_with_its_place(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "a.py").write_bytes(text)
    with pytest.raises(PatchctlError, match=message):
        check_python(tmp_path, ["a.py"])


def test_python_that_compiles_with_a_warning_and_files_that_are_gone_pass(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('x = "\\d"\n')
    check_python(tmp_path, ["a.py", "gone.py", "b.cpp"])


def test_where_little_is_left_of_a_folder_built_before_nothing_is_compiled_first(bench: Bench) -> None:
    many = {f"parts/many{at}.cpp": f"int many{at}() {{ return {at}; }}\n" for at in range(FEW_STEPS)}
    more = f"target_sources(greet PRIVATE {' '.join(many)})\n"
    files = MINI | many | {"CMakeLists.txt": MINI["CMakeLists.txt"] + more}
    bench.build(files, touched=("greet.cpp",))
    assert "gate" in bench.steps()
    bench.build(files | {"greet.cpp": MINI["greet.cpp"] + "int more;\n"}, touched=("greet.cpp",))
    assert bench.steps() == ["configure", "compile", "install"]
    changed = {name: f"{text}int also_{at};\n" for at, (name, text) in enumerate(many.items())}
    bench.build(files | changed, touched=("greet.cpp", *many))
    assert "gate" in bench.steps()
