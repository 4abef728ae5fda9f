"""A diff the other way round: what quilt's ``-R`` means, which takes back what a patch does."""

from __future__ import annotations

import re

from patchctl.author.diffs import HUNK
from patchctl.errors import InvalidError, Problem

INDEX = re.compile(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)(.*)")
# A binary change tells the way back only to git itself; after a rename two files would have to trade places.
BEYOND = (b"rename ", b"copy ", b"GIT binary patch", b"Binary files ")
SWAPPED = {b"new file mode ": b"deleted file mode ", b"deleted file mode ": b"new file mode "}
PAIRS = {b"--- ": (b"+++ ", b"b/", b"a/"), b"old mode ": (b"new mode ", b"", b"")}
SIGNS = {b"+": b"-", b"-": b"+"}


def reversed_diff(diff: bytes, name: str) -> bytes:
    """Return the diff that takes back what ``diff`` does, which is as ``GitDiff`` writes it.

    Raises InvalidError for a rename, a copy and a binary change; ``name`` is what it calls the file.
    """
    lines = diff.split(b"\n")
    made: list[bytes] = []
    at = 0
    while at < len(lines):
        at = _step(lines, at, made, name)
    return b"\n".join(made)


def _step(lines: list[bytes], at: int, made: list[bytes], name: str) -> int:
    line, follows = lines[at], lines[at + 1] if at + 1 < len(lines) else b""
    if line.startswith(BEYOND):
        what = line.decode("utf-8", "replace")
        raise InvalidError([Problem(name, 0, 0, f"cannot be taken back (-R): it holds {what!r}; write it reversed")])
    if HUNK.match(line):
        return _hunk(lines, at, made)
    for first, (second, old, new) in PAIRS.items():
        if line.startswith(first) and follows.startswith(second):
            made.append(first + _under(follows.removeprefix(second), old, new))
            made.append(second + _under(line.removeprefix(first), new, old))
            return at + 2
    made.append(_swapped(line))
    return at + 1


def _under(path: bytes, old: bytes, new: bytes) -> bytes:
    return new + path.removeprefix(old) if path.startswith(old) else path


def _swapped(line: bytes) -> bytes:
    for prefix, other in SWAPPED.items():
        if line.startswith(prefix):
            return other + line.removeprefix(prefix)
    found = INDEX.fullmatch(line)
    return b"index %s..%s%s" % (found[2], found[1], found[3]) if found else line


def _hunk(lines: list[bytes], at: int, made: list[bytes]) -> int:
    _, old, new, rest = lines[at].split(b" ", 3)
    made.append(b"@@ -%s +%s %s" % (new[1:], old[1:], rest))
    counts = [int(side.partition(b",")[2] or 1) for side in (old, new)]
    while max(counts) > 0 and at + 1 < len(lines):
        at += 1
        kind = lines[at][:1]
        counts[0] -= kind in {b" ", b"-", b""}
        counts[1] -= kind in {b" ", b"+", b""}
        made.append(SIGNS.get(kind, kind) + lines[at][1:])
    return at + 1
