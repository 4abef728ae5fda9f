"""Test models made once and kept in the cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import cache_folder, disk_errors
from patchctl.smoke.models.names import of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SOURCES = ("blocks", "make", "numbers", "shape", "vocab")


class NoMakerError(PatchctlError):
    """What makes the models is not installed."""


def folder() -> Path:
    """Return where models are kept; code that makes other models has another folder."""
    made_by = hashlib.sha256(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in SOURCES))
    return cache_folder() / "models" / made_by.hexdigest()[:12]


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
