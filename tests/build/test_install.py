"""What is installed is complete, finds its libraries wherever it is, and appears in one step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from patchctl.build.elf import ElfError, read_elf
from patchctl.build.fileapi import read_targets
from patchctl.build.install import copy_from_source, install, pieces, verify_run_paths
from patchctl.build.orphans import wait_for_orphans
from patchctl.errors import Code, PatchctlError
from patchctl.files import sweep
from tests.build.project import MINI, Bench, program

if TYPE_CHECKING:
    from pathlib import Path


def folder(tmp_path: Path, *link: str) -> Path:
    """An install folder with one library and one program that needs it, linked with these words."""
    for name in ("bin", "lib"):
        (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "x.c").write_text("int x(void) { return 0; }\n")
    (tmp_path / "m.c").write_text("int x(void);\nint main(void) { return x(); }\n")
    library = tmp_path / "out" / "lib" / "libx.so"
    subprocess.run(["cc", "-shared", "-Wl,-soname,libx.so", tmp_path / "x.c", "-o", library], check=True)
    words = ["cc", tmp_path / "m.c", library, "-o", tmp_path / "out" / "bin" / "m", "-Wl,--enable-new-dtags", *link]
    subprocess.run(words, check=True)
    return tmp_path / "out"


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_relative_run_paths_are_accepted(tmp_path: Path, tags: str) -> None:
    out = folder(tmp_path, f"-Wl,-rpath,$ORIGIN:$ORIGIN/../lib,{tags}")
    verify_run_paths(out, tmp_path / "slot")
    assert read_elf(out / "bin" / "m").needed[0] == "libx.so"
    assert read_elf(out / "lib" / "libx.so").soname == "libx.so"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{tmp}/slot/build:$ORIGIN/../lib", "leads into the build folder"),
        ("$ORIGIN/../lib:", 'run path ""'),
        ("/opt/elsewhere", "does not find the libraries beside it"),
    ],
)
def test_run_paths_that_break_when_moved_are_refused(tmp_path: Path, path: str, message: str) -> None:
    out = folder(tmp_path, "-Wl,-rpath," + path.replace("{tmp}", str(tmp_path)))
    with pytest.raises(PatchctlError, match=message) as caught:
        verify_run_paths(out, tmp_path / "slot")
    assert caught.value.exit_code == Code.BUILD


def test_a_binary_without_run_path_is_refused_and_a_broken_one_unverified(tmp_path: Path) -> None:
    out = folder(tmp_path)
    with pytest.raises(PatchctlError, match="does not find"):
        verify_run_paths(out, tmp_path / "slot")
    (out / "bin" / "m").write_bytes((out / "bin" / "m").read_bytes()[:100])
    with pytest.raises(PatchctlError, match="the run path of m cannot be verified"):
        verify_run_paths(out, tmp_path / "slot")


def test_a_32_bit_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x7fELF\x01\x01" + bytes(100))
    with pytest.raises(ElfError, match="64-bit"):
        read_elf(tmp_path / "x")


def test_what_was_not_built_is_named(built_once: Bench, tmp_path: Path) -> None:
    with pytest.raises(PatchctlError, match=r"libdeep\.so was not built"):
        pieces(read_targets(built_once.job(MINI).folder), ["hello"], tmp_path)


def test_targets_without_an_answer_of_cmake_are_a_build_error(tmp_path: Path) -> None:
    with pytest.raises(PatchctlError, match="cannot be read") as caught:
        read_targets(tmp_path)
    assert caught.value.exit_code == Code.BUILD


def test_a_failing_install_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "out" / "cpu"
    install(target, [], source=tmp_path, files=[], describe=lambda _: b"old")

    def full(_: Path) -> bytes:
        raise OSError(28, "No space left on device", "build-info.json")

    with pytest.raises(PatchctlError, match="No space left") as caught:
        install(target, [], source=tmp_path, files=[], describe=full)
    assert caught.value.exit_code == Code.ENVIRONMENT
    assert (target / "build-info.json").read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["cpu"]


def test_named_files_and_folders_come_without_compiled_python(tmp_path: Path) -> None:
    for name in ("src/a/b/x.py", "src/a/__pycache__/x.pyc", "src/one.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("a/", "one.py", "a/b/x.py"):
        copy_from_source(tmp_path / "src", name, tmp_path / "made")
    found = sorted(path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*.py*"))
    assert found == ["a/b/x.py", "one.py"]


def test_a_compiler_left_behind_is_waited_for_then_named(tmp_path: Path) -> None:
    lone = program(tmp_path / "ninja", "sleep 0.6")
    orphan = subprocess.Popen([lone], cwd=tmp_path, start_new_session=True)
    try:
        with pytest.raises(PatchctlError, match=rf"process {orphan.pid} of a killed build") as caught:
            wait_for_orphans(tmp_path, patience=0.1)
        assert caught.value.exit_code == Code.ENVIRONMENT
    finally:
        orphan.wait()
    assert wait_for_orphans(tmp_path) < 0.5


def test_a_persons_shell_in_the_build_folder_is_left_alone(tmp_path: Path) -> None:
    shell = subprocess.Popen([program(tmp_path / "shell", "sleep 0.5")], cwd=tmp_path, start_new_session=True)
    assert wait_for_orphans(tmp_path) < 0.3
    shell.wait()


def test_what_others_put_into_the_folder_is_moved_aside_and_named(tmp_path: Path) -> None:
    target = tmp_path / "out" / "cpu"
    listed = b'{"files": [{"path": "ours.txt"}]}'
    assert install(target, [], source=tmp_path, files=[], describe=lambda _: listed) == ()
    strange = ["thesis.txt", "deep/notes/a.txt", "deep/build-info.json", "link", "bin/dir-link"]
    for name in ("ours.txt", "thesis.txt", "deep/notes/a.txt", "deep/build-info.json", "deep/__pycache__/x.pyc"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(name)
    (target / "link").symlink_to("nowhere")
    (target / "bin" / "dir-link").symlink_to("../deep")
    moved = install(target, [], source=tmp_path, files=[], describe=lambda _: listed)
    (aside,) = [path for path in target.parent.iterdir() if path != target]
    assert re.fullmatch(r"cpu\.aside-\d{8}T\d{6}Z", aside.name)
    assert sorted(moved) == sorted(aside / name for name in strange)
    assert (aside / "deep/notes/a.txt").read_text() == "deep/notes/a.txt"
    assert str((aside / "link").readlink()) == "nowhere"
    assert sorted(path.name for path in target.iterdir()) == ["bin", "build-info.json", "lib"]


def test_two_installs_in_one_second_lose_nothing_and_a_file_in_the_place_of_the_folder_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "out" / "cpu"
    target.parent.mkdir()
    target.write_text("a file")
    kept: list[Path] = []
    for name in ("1", "2", "3"):
        kept += install(target, [], source=tmp_path, files=[], describe=lambda _: b"{damaged")
        (target / "same.txt").write_text(name)
    assert sorted(path.read_text() for path in kept) == ["1", "2", "a file"]


KILLED = """
import os, sys
from pathlib import Path
from patchctl.build.install import install

install(Path(sys.argv[1]), [], source=Path(sys.argv[2]), files=[], describe=lambda made: os._exit(9))
"""


def test_what_a_killed_install_left_the_next_removes(tmp_path: Path) -> None:
    target = tmp_path / "out" / "cpu"
    done = subprocess.run([sys.executable, "-c", KILLED, target, tmp_path], check=False)
    assert done.returncode == 9
    (left,) = target.parent.iterdir()
    os.utime(left, (0, 0))
    sweep.cache_clear()
    install(target, [], source=tmp_path, files=[], describe=lambda _: b"{}")
    assert [path.name for path in target.parent.iterdir()] == ["cpu"]
