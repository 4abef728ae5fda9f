"""Apply the hunks of one file to its content: pure, on bytes, without fuzz."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.revision import Binary, Hunk

MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class Applied:
    """New content, and by how many lines each hunk stood elsewhere than it says."""

    content: bytes
    offsets: tuple[int, ...]


def blob_id(content: bytes) -> str:
    """Return git's id for a blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def split_lines(content: bytes) -> list[bytes]:
    """Return the lines with their ends; only LF ends a line, as for git."""
    lines = [line + b"\n" for line in content.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def apply_hunks(content: bytes, hunks: Sequence[Hunk], *, search: bool = False) -> Applied | None:
    """Return the content with all hunks applied, or None when one does not fit.

    Without ``search`` each hunk must stand exactly where it says. With it, the nearest exact match after the hunk
    before it counts, as ``git apply`` looks for it.
    """
    lines = split_lines(content)
    result: list[bytes] = []
    done, drift = 0, 0
    offsets: list[int] = []
    for hunk in hunks:
        expected = hunk.start + drift
        at = _find(lines, hunk, expected, done) if search else _exact(lines, hunk, hunk.start, done)
        if at is None:
            return None
        result += lines[done:at]
        result += hunk.new
        done = at + len(hunk.old)
        drift = at - hunk.start
        offsets.append(drift)
    return Applied(b"".join(result + lines[done:]), tuple(offsets))


def _exact(lines: list[bytes], hunk: Hunk, at: int, done: int) -> int | None:
    fits = at >= done and tuple(lines[at : at + len(hunk.old)]) == hunk.old and at <= len(lines)
    return at if fits else None


def _find(lines: list[bytes], hunk: Hunk, expected: int, done: int) -> int | None:
    last = len(lines) - len(hunk.old)
    # As git: a hunk from the first line on, or without context after its changes, was cut by the file's own edge.
    edges = {0} if hunk.start == 0 else set()
    if hunk.trailing == 0:
        edges.add(last)
    if edges:
        return _exact(lines, hunk, edges.pop(), done) if len(edges) == 1 and min(edges) >= 0 else None
    expected = min(max(expected, done), max(last, done))
    for distance in range(max(expected - done, last - expected) + 1):
        for at in dict.fromkeys((expected + distance, expected - distance)):
            if done <= at <= last and _exact(lines, hunk, at, done) is not None:
                return at
    return None


def apply_binary(old: bytes, binary: Binary) -> bytes | None:
    """Return the new content of a binary change, or None when its delta does not belong to ``old``."""
    return binary.content if binary.kind == "literal" else apply_delta(old, binary.content)


def apply_delta(old: bytes, delta: bytes) -> bytes | None:
    """Return ``old`` changed by a pack delta (git's Documentation/gitformat-pack, "Deltified representation")."""
    try:
        source_size, at = _size(delta, 0)
        target_size, at = _size(delta, at)
        result = bytearray()
        # A few bytes can ask for very much; what grows past its size is not the change it says it is.
        while at < len(delta) and len(result) <= target_size <= MAX_BYTES:
            code = delta[at]
            at += 1
            if code & 0x80:
                start, length, at = _copy(delta, code, at)
                if start + length > len(old):
                    return None
                result += old[start : start + length]
            else:
                result += delta[at : at + code]
                at += code
    except IndexError:
        return None
    return bytes(result) if source_size == len(old) and target_size == len(result) else None


def _size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        byte = delta[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if shift > 63:
            raise IndexError(at)
        if not byte & 0x80:
            return size, at


def _copy(delta: bytes, code: int, at: int) -> tuple[int, int, int]:
    values = [0, 0]
    for bit in range(7):
        if code & (1 << bit):
            which, shift = (0, bit) if bit < 4 else (1, bit - 4)
            values[which] |= delta[at] << (8 * shift)
            at += 1
    return values[0], values[1] or 0x10000, at


def looks_binary(content: bytes) -> bool:
    """Return whether git would call this content binary: a NUL byte in its first 8000."""
    return b"\0" in content[:8000]
