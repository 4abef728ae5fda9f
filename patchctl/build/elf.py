"""The few facts patchctl reads from ELF files itself: sections and run paths."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x7fELF"
NEEDED, SONAME, RPATH, RUNPATH = 1, 14, 15, 29


class ElfError(ValueError):
    """The file is no ELF file that patchctl can read."""


@dataclass(frozen=True)
class Elf:
    """One ELF file: its sections by name, the libraries it needs, where it looks for them."""

    sections: dict[str, list[bytes]]
    needed: tuple[str, ...]
    run_paths: tuple[str, ...]
    soname: str | None


@dataclass
class _Header:
    name: int
    offset: int
    size: int
    kind: int
    link: int
    title: str = field(default="")


def is_elf(path: Path) -> bool:
    """Return whether the file starts as ELF files do."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_elf(path: Path) -> Elf:
    """Return the facts of a 64-bit little-endian ELF file. Raises ElfError for anything else and for broken files."""
    return parse_elf(path.read_bytes(), path.name)


def parse_elf(content: bytes, name: str) -> Elf:
    """Return the same of a file's content; ``name`` is what errors call it."""
    try:
        return _parse(content)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ElfError(f"{name} is a broken ELF file: {error}") from error


def _parse(content: bytes) -> Elf:
    if content[:4] != MAGIC or content[4:6] != b"\x02\x01":
        raise ElfError("not a 64-bit little-endian ELF file")
    headers = _headers(content)
    sections: dict[str, list[bytes]] = {}
    dynamic: list[tuple[int, str]] = []
    for header in headers:
        if header.title in {".nv_fatbin", "__nv_relfatbin"}:
            sections.setdefault(header.title, []).append(_body(content, header))
        if header.title == ".dynamic":
            dynamic = _dynamic(_body(content, header), _body(content, headers[header.link]))
    found = {tag: [text for kind, text in dynamic if kind == tag] for tag in (NEEDED, SONAME, RPATH, RUNPATH)}
    paths = tuple(part for text in found[RUNPATH] or found[RPATH] for part in text.split(":"))
    return Elf(sections, tuple(found[NEEDED]), paths, next(iter(found[SONAME]), None))


def _headers(content: bytes) -> list[_Header]:
    (offset,) = struct.unpack_from("<Q", content, 0x28)
    size, count, names = struct.unpack_from("<HHH", content, 0x3A)
    headers = []
    for number in range(count):
        name, kind, _, _, start, length, link = struct.unpack_from("<IIQQQQI", content, offset + number * size)
        headers.append(_Header(name, start, length, kind, link))
    if headers:
        table = _body(content, headers[names])
        for header in headers:
            header.title = _text(table, header.name)
    return headers


def _body(content: bytes, header: _Header) -> bytes:
    no_bits = 8
    if header.kind == no_bits:
        return b""
    if header.offset + header.size > len(content):
        raise ElfError("a section reaches past the end of the file")
    return content[header.offset : header.offset + header.size]


def _text(table: bytes, start: int) -> str:
    return table[start : table.index(b"\0", start)].decode() if start < len(table) else ""


def _dynamic(body: bytes, strings: bytes) -> list[tuple[int, str]]:
    entries = struct.iter_unpack("<qQ", body[: len(body) // 16 * 16])
    return [(tag, _text(strings, value)) for tag, value in entries if tag in {NEEDED, SONAME, RPATH, RUNPATH}]
