from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from patchctl.build.elf import parse_elf
from patchctl.errors import Code, PatchctlError
from patchctl.ship.runpath import needed, shorten

if TYPE_CHECKING:
    from pathlib import Path


def compiled(folder: Path, run_path: str | None, *words: str) -> Path:
    """Make a program that loads a library from the folder ``lib`` beside it."""
    (folder / "lib").mkdir(exist_ok=True)
    (folder / "lib.c").write_text("int answer(void) { return 42; }\n")
    (folder / "main.c").write_text("int answer(void); int main(void) { return answer(); }\n")
    library = folder / "lib" / "libanswer.so"
    flags = [] if run_path is None else [f"-Wl,-rpath,{run_path}"]
    subprocess.run(["gcc", "-shared", "-fPIC", folder / "lib.c", "-o", library], check=True)
    made = [folder / "main.c", "-o", folder / "main", f"-L{folder / 'lib'}", "-lanswer", *flags, *words]
    subprocess.run(["gcc", *made], check=True)
    return folder / "main"


@pytest.mark.parametrize("flag", ["-Wl,--enable-new-dtags", "-Wl,--disable-new-dtags"])
def test_absolute_parts_go_and_the_program_still_runs(flag: str, tmp_path: Path) -> None:
    path = compiled(tmp_path, "$ORIGIN/lib:/usr/local/cuda/lib64:/opt/x", flag)
    before = path.read_bytes()
    after = shorten(before, "main")
    assert parse_elf(after, "main").run_paths == ("$ORIGIN/lib",)
    assert (len(after), sum(a != b for a, b in zip(before, after, strict=True))) == (len(before), 1)
    path.write_bytes(after)
    assert subprocess.run([path], check=False).returncode == 42
    assert shorten(after, "main") is after


@pytest.mark.parametrize("run_path", ["$ORIGIN/lib", None])
def test_relative_and_absent_run_paths_are_left_alone(run_path: str | None, tmp_path: Path) -> None:
    content = compiled(tmp_path, run_path).read_bytes()
    assert shorten(content, "main") is content
    assert "libanswer.so" in needed(content, "main")


@pytest.mark.parametrize("run_path", ["/opt/x", "/opt/x:$ORIGIN/lib", "$ORIGIN:/opt/x:$ORIGIN/lib", "$ORIGINAL/x"])
def test_what_cannot_be_shortened_is_an_error_with_what_to_do(run_path: str, tmp_path: Path) -> None:
    content = compiled(tmp_path, run_path).read_bytes()
    with pytest.raises(PatchctlError, match="put \\$ORIGIN first") as error:
        shorten(content, "main")
    assert error.value.code == Code.BUILD


def test_a_broken_file_is_an_error_not_a_guess() -> None:
    with pytest.raises(PatchctlError, match="cannot be verified"):
        shorten(b"\x7fELF\x02\x01" + b"\xff" * 40, "lib")
