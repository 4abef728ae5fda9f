from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code, PatchctlError
from patchctl.files import cache_folder, disk_errors, locked, package_data, remove_folder, replace_folder, write_atomic
from tests.conftest import ROOT
from tests.series.vanish import DOES
from tests.series.world import World, text

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_written_file_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    before = os.umask(0o077)
    try:
        write_atomic(path, b"one")
        write_atomic(path, b"two")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def full(_self: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "file.txt")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(PatchctlError, match=r"^No space left on device: file.txt$") as error:
        write_atomic(path, b"new")
    assert error.value.exit_code == Code.ENVIRONMENT
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("step", range(1, 9))
def test_a_writer_that_vanishes_leaves_the_old_file_or_the_new(step: int, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    child = os.fork()
    if child == 0:
        _vanish_at(step)
        try:
            write_atomic(path, b"new" * 1000)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert path.read_bytes() in {b"old", b"new" * 1000}


def _vanish_at(step: int) -> None:
    done = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        done += event in DOES or event == "open"
        if done == step:
            os._exit(1)

    sys.addaudithook(hook)


def test_an_error_that_is_none_of_the_disk_goes_through() -> None:
    with pytest.raises(OSError, match="odd"), disk_errors():
        raise OSError("odd")


def test_folders_are_replaced_and_removed_whole(tmp_path: Path) -> None:
    made, target = tmp_path / "made", tmp_path / "deep" / "target"
    made.mkdir()
    (made / "new").touch()
    target.mkdir(parents=True)
    (target / "old").touch()
    replace_folder(made, target)
    assert [path.name for path in target.iterdir()] == ["new"]
    remove_folder(target)
    remove_folder(target)
    assert list(tmp_path.rglob("*")) == [tmp_path / "deep"]


def test_a_lock_names_its_owner_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "x.lock"
    with locked(path, "the thing"):
        code = "import sys; from pathlib import Path; from patchctl.files import locked\n"
        code += "try:\n  with locked(Path(sys.argv[1]), 'the thing'): print('got it')\n"
        code += "except Exception as e: print(e.exit_code, e.message)"
        command = [sys.executable, "-c", code, str(path)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert (
            said == f"9 the thing is in use by process {os.getpid()} on {os.uname().nodename}; wait for it or stop it\n"
        )
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "got it\n"


@pytest.mark.parametrize("said", [None, ""])
def test_a_lock_whose_owner_has_not_said_its_name_yet_is_held_by_another(said: str | None, tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path, "the thing"):
        path.with_suffix(".owner").unlink()
        if said is not None:
            path.with_suffix(".owner").write_text(said)
        assert _code_of_a_second_holder(path) == 9


def _code_of_a_second_holder(path: Path) -> int:
    command = "from pathlib import Path; from patchctl.files import locked; import sys\n"
    command += "try:\n  with locked(Path(sys.argv[1]), 'x'): pass\nexcept Exception as e:\n"
    command += "  sys.exit(9 if 'x is in use by another patchctl;' in e.message else 1)"
    return subprocess.run([sys.executable, "-c", command, str(path)], cwd=ROOT, check=False).returncode


def test_a_lock_of_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    child = os.fork()
    if child == 0:
        with locked(path, "the thing"):
            os._exit(0)
    os.waitpid(child, 0)
    assert path.with_suffix(".owner").exists()
    with locked(path, "the thing"):
        pass
    assert not path.with_suffix(".owner").exists()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, isolated: Path) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", "~/elsewhere")
    assert cache_folder() == isolated / "elsewhere"
    monkeypatch.delenv("PATCHCTL_CACHE")
    assert cache_folder() == isolated / ".cache" / "patchctl"


def test_shipped_data_is_found_in_a_checkout() -> None:
    assert package_data("stacks/demo.yaml").is_file()


@pytest.mark.parametrize(
    ("kind", "why"), [("pipe", "is not a regular"), ("zero", "is not a regular"), ("dir", "folder")]
)
def test_a_patch_that_is_no_file_is_refused(
    kind: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Callable[..., Any]
) -> None:
    world = World(tmp_path)
    world.commit({"a.c": text()})
    world.patch("one", {"a.c": text({3: "one"})})
    world.stack("one")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    file = world.patches("one") / "b1.patch"
    file.unlink()
    {"pipe": os.mkfifo, "zero": lambda at: at.symlink_to("/dev/zero"), "dir": Path.mkdir}[kind](file)
    ran = patchctl("check", "s", cwd=world.workspace)
    assert ran.code == 3
    assert ran.stderr.startswith("patches/one/b1.patch: ")
    assert why in ran.stderr
