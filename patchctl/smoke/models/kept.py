"""Test models made once and kept in the cache folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import cache_folder, disk_errors
from patchctl.smoke.models.names import of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SOURCES = ("blocks", "make", "numbers", "shape", "vocab")


class NoMakerError(PatchctlError):
    """What makes the models is not installed."""


def folder() -> Path:
    """Return where models are kept; code that makes other models has another folder."""
    made_by = hashlib.sha256(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in SOURCES))
    return cache_folder() / "models" / made_by.hexdigest()[:12]


@contextlib.contextmanager
def in_use(where: Path) -> Iterator[None]:
    """Keep a folder of models from being freed; any number may use it at once, and wait while it is being freed.

    The lock file is the one that ``cache --free`` takes for itself alone; the system frees it with its holder.
    """
    with disk_errors():
        where.parent.mkdir(parents=True, exist_ok=True)
        handle = _shared(where.with_suffix(".lock"))
    try:
        yield
    finally:
        os.close(handle)


def _shared(path: Path) -> int:
    """Return the open lock file ``path``, held with others; one that was removed meanwhile holds nothing."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(handle, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)


def ensure(names: Iterable[str]) -> Path:
    """Return the folder that holds these models (``NAME.gguf``, their sidecars beside them), made where missing.

    Raises NoMakerError (exit code 9) without gguf and numpy, PatchctlError (9) when the disk refuses.
    """
    where = folder()
    missing = {of_file(name) for name in names if not (where / f"{name}.gguf").is_file()}
    if missing:
        write = maker()
        with disk_errors():
            write(where, sorted(missing))
    return where


def maker() -> Callable[[Path, Iterable[str]], None]:
    """Return ``make.write``; raises NoMakerError (exit code 9) without gguf and numpy."""
    try:
        from patchctl.smoke.models import make
    except ImportError as error:
        why = f"test models are made with the packages gguf and numpy ({error}); pip install 'patchctl[models]'"
        raise NoMakerError(Code.ENVIRONMENT, why) from error
    return make.write


def sha256(names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each model's file; makes what is missing and raises what ``ensure`` does."""
    named = sorted(names)
    where = ensure(named)
    with disk_errors():
        return {name: hashlib.sha256((where / f"{name}.gguf").read_bytes()).hexdigest() for name in named}
