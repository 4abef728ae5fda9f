"""Run paths that lead nowhere but into the package: absolute ones name folders of the machine that built it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.build.elf import ElfError, parse_elf
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Sequence


def shorten(content: bytes, name: str) -> bytes:
    """Return an ELF file whose run path has only its leading parts relative to ``$ORIGIN``; the same size.

    Ends the text of the run path behind them: one byte changes, nothing moves, and names that share its tail stay
    whole. Raises PatchctlError (exit code 5) for a run path that cannot be shortened so, or a file that cannot be read.
    """
    parts = _run_paths(content, name)
    kept = _leading(parts)
    if kept == parts:
        return content
    if not kept or any(part.startswith("$ORIGIN") for part in parts[len(kept) :]):
        why = f"{name} has the run path {':'.join(parts)}, which cannot be made relative"
        raise PatchctlError(Code.BUILD, f"{why}; put $ORIGIN first in CMAKE_INSTALL_RPATH")
    text, end = ":".join(parts).encode() + b"\0", len(":".join(kept).encode())
    at = content.find(text)
    while at >= 0:
        made = bytearray(content)
        made[at + end] = 0
        if _run_paths(made, name) == kept:
            return bytes(made)
        at = content.find(text, at + 1)
    raise PatchctlError(Code.BUILD, f"the run path of {name} cannot be found in its text")


def _leading(parts: Sequence[str]) -> list[str]:
    absolute = next((at for at, part in enumerate(parts) if not _is_relative(part)), len(parts))
    return list(parts[:absolute])


def _is_relative(part: str) -> bool:
    return part == "$ORIGIN" or part.startswith("$ORIGIN/")


def _run_paths(content: bytes | bytearray, name: str) -> list[str]:
    try:
        return list(parse_elf(bytes(content), name).run_paths)
    except ElfError as error:
        raise PatchctlError(Code.BUILD, f"the run path of {name} cannot be verified: {error}") from error


def needed(content: bytes, name: str) -> tuple[str, ...]:
    """Return the libraries that an ELF file loads. Raises PatchctlError (exit code 5) when it cannot be read."""
    try:
        return parse_elf(content, name).needed
    except ElfError as error:
        raise PatchctlError(Code.BUILD, f"the libraries that {name} needs cannot be read: {error}") from error
