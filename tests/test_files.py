from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code, PatchctlError
from patchctl.files import (
    BESIDE,
    cache_folder,
    disk_errors,
    locked,
    package_data,
    remove_folder,
    replace_folder,
    sweep,
    write_atomic,
)
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


def test_a_place_that_cannot_be_written_is_told_by_the_name_the_user_knows() -> None:
    """Nobody, not root either, makes files in /proc."""
    with pytest.raises(PatchctlError, match=r": /proc/b1\.lock\.yaml$"):
        write_atomic(Path("/proc/b1.lock.yaml"), b"new")


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
        owner = f"process {os.getpid()} on {os.uname().nodename} ("
        assert said.startswith(f"9 the thing is in use by {owner}")
        assert said.endswith("); wait for it or stop it\n")
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


def test_whoever_waits_for_a_lock_is_told_at_once_who_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, go = tmp_path / "x.lock", tmp_path / "go"
    code = "import sys, time; from pathlib import Path; from patchctl.files import locked\n"
    code += "with locked(Path(sys.argv[1]), 'x'):\n  print('held', flush=True)\n"
    code += "  until = time.monotonic() + 20\n"
    code += "  while not Path(sys.argv[2]).exists() and time.monotonic() < until: time.sleep(0.01)"
    told: list[str] = []

    def listen(line: str) -> None:
        told.append(line)
        go.touch()

    monkeypatch.setattr("patchctl.files.LISTENERS", [told.clear, listen])
    words = [sys.executable, "-c", code, str(path), str(go)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with locked(path, "the thing", wait=60):
            assert len(told) == 1
    assert told[0].startswith(f"waiting for the thing: in use by process {holder.pid} on {os.uname().nodename} (-c ")


def test_a_lock_names_the_command_and_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["/x/patchctl/__main__.py", "import", "https://me:secret@host/x"])
    with locked(tmp_path / "x.lock", "x"):
        said = (tmp_path / "x.owner").read_text()
    assert said.endswith("(patchctl import https://***@host/x)\n")


# --- what killed runs leave -------------------------------------------------------------------------------------------


def _killed(code: str, *words: object) -> None:
    """Run code that ends as by kill -9 in the middle of what it does."""
    ran = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, check=False)
    assert ran.returncode == 9


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(BESIDE))


def _age(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (1, 1))


KILLED = "import os, sys; from pathlib import Path; from patchctl.files import *\n"
FILE = KILLED + "with file_beside(Path(sys.argv[1]), b'x'): os._exit(9)"
FOLDER = KILLED + "with folder_beside(Path(sys.argv[1])) as made: (made / 'a').touch(); os._exit(9)"


@pytest.mark.parametrize("code", [FILE, FOLDER])
def test_what_a_killed_run_left_is_removed_by_the_next(code: str, tmp_path: Path) -> None:
    _killed(code, tmp_path / "a.yaml")
    assert len(_left(tmp_path)) == 1
    _age(tmp_path)
    sweep.cache_clear()
    write_atomic(tmp_path / "b.yaml", b"another file of the same folder")
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]


@pytest.mark.parametrize("code", [FILE, FOLDER])
def test_what_was_just_begun_is_left_alone(code: str, tmp_path: Path) -> None:
    _killed(code, tmp_path / "a.yaml")
    sweep.cache_clear()
    write_atomic(tmp_path / "b.yaml", b"")
    assert len(_left(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["file_beside(at, b'')", "folder_beside(at)"])
def test_what_another_run_works_on_is_left_alone(kind: str, tmp_path: Path) -> None:
    code = KILLED + f"at = Path(sys.argv[1])\nwith {kind}: print('there', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, tmp_path / "a.yaml"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        _age(tmp_path)
        sweep.cache_clear()
        write_atomic(tmp_path / "b.yaml", b"")
        assert len(_left(tmp_path)) == 1
    assert (other.returncode, _left(tmp_path)) == (0, [])


def test_nothing_but_patchctls_own_leftovers_is_removed(tmp_path: Path) -> None:
    for name in (".a.tmp", f"a{BESIDE}", ".b.swp", "c.tmp"):
        (tmp_path / name).touch()
    (tmp_path / f".link{BESIDE}").symlink_to(tmp_path / "c.tmp")
    _age(tmp_path)
    sweep.cache_clear()
    write_atomic(tmp_path / "d", b"")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([".a.tmp", f"a{BESIDE}", ".b.swp", "c.tmp", f".link{BESIDE}", "d"])


def test_a_child_that_outlives_a_killed_owner_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Between fork and exec a child holds its parent's lock; the two do not end at the same instant."""
    path = tmp_path / "x.lock"
    code = KILLED + "import subprocess\npath = Path(sys.argv[1])\nwith locked(path, 'x'):\n"
    code += "  held = os.stat(path)\n"
    code += "  mine = [fd for fd in range(3, 30) if Path(f'/dev/fd/{fd}').exists()]\n"
    code += "  here = [fd for fd in mine if os.path.samestat(os.fstat(fd), held)]\n"
    code += "  subprocess.Popen(['sleep', '0.4'], pass_fds=here)\n  os._exit(9)"
    _killed(code, path)
    with locked(path, "the thing"):
        pass


def test_a_live_owner_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.lock"
    monkeypatch.setattr("patchctl.files.LEAVING", 60.0)
    with locked(path, "the thing"):
        started = time.monotonic()
        with pytest.raises(PatchctlError, match="in use by process"), locked(path, "the thing"):
            pass
        assert time.monotonic() - started < 30


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
