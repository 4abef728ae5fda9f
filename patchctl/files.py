"""Files that are never half-written, and folders that only one patchctl changes at a time."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.text import one_line, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import filelock


def cache_folder() -> Path:
    """Return the folder for everything that can be made again; ``PATCHCTL_CACHE`` overrides the platform's."""
    override = os.environ.get("PATCHCTL_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("patchctl"))


def package_data(name: str) -> Path:
    """Return the path of shipped data: inside the installed package, or beside it in a source checkout."""
    here = Path(__file__).parent
    installed = here / "_data" / name
    return installed if installed.exists() else here.parent / name


def read_regular(path: Path, name: str, limit: int) -> bytes:
    """Return what a file of at most ``limit`` bytes holds; ``name`` is what errors call it.

    Raises InvalidError for what is no such file (a folder, a pipe, a device), PatchctlError (exit code 9) when it
    cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(name, "is a folder, not a file" if path.is_dir() else "is not a regular file")
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _refused(name, "there is no such file") from error
    except OSError as error:
        raise PatchctlError(Code.ENVIRONMENT, f"cannot read {name}: {error.strerror}") from error
    if len(content) > limit:
        raise _refused(name, f"is larger than {limit // 1024} KiB; that is no file written by hand")
    return content


def _refused(name: str, message: str) -> InvalidError:
    return InvalidError([Problem(name, 0, 0, message)])


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk, a read-only folder and the like into exit code 9, naming the file."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        where = f": {_final(str(error.filename))}" if error.filename else ""
        raise PatchctlError(Code.ENVIRONMENT, f"{error.strerror or error}{where}") from error


def _final(name: str) -> str:
    """Return the name that a file or folder made beside its place was to get."""
    path = Path(name)
    made = re.fullmatch(rf"\.(.+)\.[^.]+{re.escape(BESIDE)}", path.name)
    return str(path.with_name(made[1])) if made else name


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` so that other processes see the old file or the new one, never a part.

    Raises PatchctlError (exit code 9) when the disk refuses; the old file is then untouched.
    """
    with disk_errors(), file_beside(path, content, mode=mode) as made:
        made.replace(path)


@contextlib.contextmanager
def file_beside(path: Path, content: bytes, *, mode: int = 0o644) -> Iterator[Path]:
    """Give a new file with ``content`` in the folder of ``path``, to be renamed there; what is left of it is removed.

    The folder is made where it is not there. A kill leaves the file, and the next that does this there removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=BESIDE)
    made = Path(name)
    try:
        _claim(handle)
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(content)
        # mkstemp makes 0600 whatever the umask; files of a workspace are for everybody who may read the folder.
        made.chmod(mode)
        yield made
    finally:
        made.unlink(missing_ok=True)
        os.close(handle)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Give a new folder beside ``path``, to be renamed there; as ``file_beside``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    made = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=BESIDE))
    handle = os.open(made, os.O_RDONLY)
    try:
        _claim(handle)
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        os.close(handle)


BESIDE = ".patchctl-tmp"
YOUNG = 60.0  # seconds in which a new file may not be claimed yet


def _claim(handle: int) -> None:
    """Mark an open file as one at work for as long as this process lives; where the file system cannot, it is left."""
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@functools.cache
def sweep(folder: Path) -> None:
    """Remove what killed runs left in ``folder``, once in the life of this process; what others work on stays."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(BESIDE) and entry.name.startswith("."):
                _remove_left(Path(entry.path))


def _remove_left(path: Path) -> None:
    import fcntl

    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if time.time() - os.fstat(handle).st_mtime < YOUNG:
                return
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its maker lives
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        finally:
            os.close(handle)


def remove_folder(path: Path) -> None:
    """Remove a folder that patchctl made, by renaming first, so that a kill leaves no half-removed folder in place."""
    if not path.exists():
        return
    with folder_beside(path) as doomed:
        path.rename(doomed / path.name)


def replace_folder(made: Path, target: Path) -> None:
    """Put the finished folder ``made`` in the place of ``target``; both are on one file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_folder(target)
    made.rename(target)


@contextlib.contextmanager
def locked(path: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``path``; a second holder waits ``wait`` seconds, then fails with exit code 9 and the owner.

    The lock belongs to the open file, so the system frees it when its owner dies in whatever way.
    """
    import filelock

    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
    owner = path.with_suffix(".owner")
    lock = filelock.FileLock(path)
    try:
        _acquire(lock, owner, what, wait)
    except filelock.Timeout as error:
        raise PatchctlError(Code.ENVIRONMENT, f"{what} is in use by {_who(owner)}; wait for it or stop it") from error
    try:
        write_atomic(owner, f"{_myself()}\n".encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: filelock.BaseFileLock, owner: Path, what: str, wait: float) -> None:
    import filelock

    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        # A child of a killed owner holds the lock too until the system has ended it: a moment, or more under load.
        wait = max(wait, LEAVING) if _is_gone(owner) else wait
        if not wait:
            raise
        for listener in LISTENERS[-1:] if not _is_gone(owner) else ():
            listener(f"waiting for {what}: in use by {_who(owner)}")
        lock.acquire(timeout=wait)


LEAVING = 5.0  # seconds that the system is given to end what a killed owner started


def _is_gone(owner: Path) -> bool:
    """Return whether the owner of a lock is known to live no more: a process of this machine that is not there."""
    found = re.match(r"process (\d+) on (\S+) ", _who(owner))
    if found is None or found[2] != os.uname().nodename:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


LISTENERS: list[Callable[[str], None]] = []  # the last is told when a lock has to be waited for


def _myself() -> str:
    program = Path(sys.argv[0])
    command = " ".join([program.parent.name if program.name == "__main__.py" else program.name, *sys.argv[1:]])
    return f"process {os.getpid()} on {os.uname().nodename} ({one_line(redacted(command))[:80]})"


def _who(owner: Path) -> str:
    """Return who holds a lock; its owner may not have said so yet, or be leaving."""
    try:
        return owner.read_text(encoding="utf-8").strip() or "another patchctl"
    except OSError:
        return "another patchctl"
