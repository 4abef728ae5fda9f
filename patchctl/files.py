"""Files that are never half-written, and folders that only one patchctl changes at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        where = f": {error.filename}" if error.filename else ""
        raise PatchctlError(Code.ENVIRONMENT, f"{error.strerror or error}{where}") from error


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` so that other processes see the old file or the new one, never a part.

    Raises PatchctlError (exit code 9) when the disk refuses; the old file is then untouched.
    """
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            # mkstemp makes 0600 whatever the umask; files of a workspace are for everybody who may read the folder.
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def remove_folder(path: Path) -> None:
    """Remove a folder that patchctl made, by renaming first, so that a kill leaves no half-removed folder in place."""
    if not path.exists():
        return
    doomed = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".gone"))
    path.rename(doomed / path.name)
    shutil.rmtree(doomed, ignore_errors=True)


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
    lock = filelock.FileLock(path, timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise PatchctlError(Code.ENVIRONMENT, f"{what} is in use by {_who(owner)}; wait for it or stop it") from error
    try:
        write_atomic(owner, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _who(owner: Path) -> str:
    """Return who holds a lock; its owner may not have said so yet, or be leaving."""
    try:
        return owner.read_text(encoding="utf-8").strip() or "another patchctl"
    except OSError:
        return "another patchctl"
