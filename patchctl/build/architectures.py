"""Which GPU architectures are really in the binaries, and whether they are those that were asked for."""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build.elf import ElfError, is_elf, read_elf
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAGIC = 0xBA55ED50
PTX, ELF = 1, 2
SPECIFIC, FAMILY = 0x100000, 0x200000  # sm_120a, sm_120f
GENERATE = re.compile(r"(?:--generate-code|-gencode)[=\s]+\"?arch=[\w]+,code=\[?([\w,]+)\]?")
LISTED = re.compile(r"\.(sm_\d+[a-z]?)\.(cubin|ptx)\b")


class UnreadableError(ValueError):
    """A library's device code cannot be read."""


def effective(build: Path) -> set[str]:
    """Return the architectures that the compile lines ask for: ``sm_89`` for code, ``compute_89`` for PTX."""
    found: set[str] = set()
    for entry in json.loads((build / "compile_commands.json").read_bytes()):
        for codes in GENERATE.findall(entry.get("command", "")):
            found.update(codes.split(","))
    return {_plain(name) for name in found}


def _plain(name: str) -> str:
    # cuobjdump lists the code of a family architecture without its letter.
    return name.removesuffix("f") if name.startswith("sm_") else name


def contained(library: Path, cuobjdump: Path | None) -> set[str]:
    """Return the architectures that ``library`` really holds; empty when it holds no device code.

    Asks cuobjdump where there is one, else reads the fat binary itself. Raises UnreadableError.
    """
    try:
        sections = read_elf(library).sections
        if not sections:
            return set()
        listed = _ask(library, cuobjdump) if cuobjdump else set()
        return listed or read_fat(b"".join(sections.get(".nv_fatbin") or sections["__nv_relfatbin"]))
    except (ElfError, OSError) as error:
        raise UnreadableError(f"{library.name}: {error}") from error


def _ask(library: Path, cuobjdump: Path) -> set[str]:
    found: set[str] = set()
    for option in ("--list-elf", "--list-ptx"):
        for name, kind in LISTED.findall(process.output([cuobjdump, option, library], timeout=300) or ""):
            found.add(name if kind == "cubin" else name.replace("sm_", "compute_"))
    return found


def read_fat(content: bytes) -> set[str]:
    """Return the architectures in a fat binary section. Raises UnreadableError for anything it does not understand."""
    found: set[str] = set()
    at = 0
    try:
        while at < len(content):
            if not content[at : at + 8].strip(b"\0"):
                at += 8  # containers are aligned
                continue
            magic, _, head, size = struct.unpack_from("<IHHQ", content, at)
            if magic != MAGIC or at + head + size > len(content):
                raise UnreadableError(f"no fat binary at offset {at}")
            found |= set(_entries(content[at + head : at + head + size]))
            at += head + size
    except struct.error as error:
        raise UnreadableError(f"cut off at offset {at}") from error
    if not found:
        raise UnreadableError("a fat binary without code")
    return found


def _entries(body: bytes) -> Iterable[str]:
    at = 0
    while at < len(body):
        kind, _, head, size = struct.unpack_from("<HHIQ", body, at)
        (number,) = struct.unpack_from("<I", body, at + 28)
        (flags,) = struct.unpack_from("<Q", body, at + 40)
        if kind not in {PTX, ELF} or head < 48 or not number:
            raise UnreadableError(f"unknown entry of kind {kind}")
        letter = "a" if flags & SPECIFIC else "f" if flags & FAMILY and kind == PTX else ""
        yield f"{'sm' if kind == ELF else 'compute'}_{number}{letter}"
        at += head + size


def verify(build: Path, libraries: Iterable[Path], cuobjdump: Path | None, *, exact: bool = True) -> list[str]:
    """Compare what the binaries hold with what was asked for and return it, sorted.

    ``exact`` False allows more than was asked for, as statically linked CUDA libraries bring it. Raises PatchctlError
    (exit code 5) on a difference, when nothing holds device code, and when something cannot be read.
    """
    wanted = effective(build)
    try:
        each = [(path.name, contained(path, cuobjdump)) for path in libraries if is_elf(path)]
    except UnreadableError as error:
        raise PatchctlError(Code.BUILD, f"the architectures cannot be verified: {error}") from error
    holding = [(name, found) for name, found in each if found]
    if not wanted or not holding:
        what = "the compile lines ask for no architecture" if not wanted else "no installed file holds device code"
        raise PatchctlError(Code.BUILD, f"the architectures cannot be verified: {what}")
    for name, found in holding:
        _compare(name, wanted, found, exact=exact)
    return _sorted(set().union(*(found for _, found in holding)))


def _compare(name: str, wanted: set[str], found: set[str], *, exact: bool) -> None:
    if found == wanted or (not exact and wanted <= found):
        return
    raise PatchctlError(
        Code.BUILD,
        f"{name} holds {', '.join(_sorted(found))}; its compile lines ask for {', '.join(_sorted(wanted))}. "
        f"Remove the build folder and build again; ccache -C if it stays",
    )


def _sorted(names: Iterable[str]) -> list[str]:
    def key(name: str) -> tuple[str, int, str]:
        kind, _, number = name.partition("_")
        return kind, int(re.sub(r"\D", "", number) or 0), number

    return sorted(names, key=key)
