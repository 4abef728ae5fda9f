"""Ninja's own log of which files each object was compiled from (``.ninja_deps``), read without starting Ninja."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURE = b"# ninjadeps\n"
VERSION = 4  # since Ninja 1.9: times in nanoseconds
IS_DEPS = 0x80000000


def included_files(build: Path) -> dict[str, list[str]]:
    """Return for each object the files it was compiled from, as Ninja writes them (relative to ``build`` or absolute).

    A log that is missing, damaged or of another version ends what is returned early; Ninja reads it the same way.
    """
    try:
        content = (build / ".ninja_deps").read_bytes()
    except OSError:
        return {}
    if content[:12] != SIGNATURE or content[12:16] != struct.pack("<I", VERSION):
        return {}
    return _read(content)


def _read(content: bytes) -> dict[str, list[str]]:
    paths: list[str] = []
    objects: dict[str, list[int]] = {}
    at = 16
    while at + 4 <= len(content):
        (head,) = struct.unpack_from("<I", content, at)
        size = head & ~IS_DEPS
        body = content[at + 4 : at + 4 + size]
        if len(body) < size or size < 4:
            break
        if head & IS_DEPS:
            numbers = struct.unpack(f"<{size // 4}I", body)
            if numbers[0] < len(paths):
                objects[paths[numbers[0]]] = list(numbers[3:])
        else:
            paths.append(os.fsdecode(body[:-4].rstrip(b"\0")))
        at += 4 + size
    return {name: [paths[n] for n in numbers if n < len(paths)] for name, numbers in objects.items()}
