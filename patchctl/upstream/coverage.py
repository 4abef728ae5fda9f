"""Whether the lines a patch adds stand in a tree: what is left of a landing after rewording and moving.

It decays, since upstream edits merged lines again; so it is asked at the landing, not later, wherever there is one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from patchctl.manifest.revision import Change, Hunk
    from patchctl.upstream.objects import Objects

DISTINCTIVE = 5  # added lines a patch needs for coverage to count
COVERED, GAIN = 0.8, 0.3  # share of those lines in the base, and how much more than on the revision's own base
PART = 0.5  # share that each file of the patch must reach: a landing without one of the files is a part
TRIVIAL = re.compile(rb"^[\s{}()\[\];,]*$|^\s*(//|#|\*|/\*)\s*$|^\s*(return|break|else|end|endif)\W*$")


def covered(objects: Objects, changes: Iterable[Change], before: str, after: str, least: int = DISTINCTIVE) -> bool:
    """Return whether the distinctive lines that ``changes`` add stand in ``after``, and did not in ``before``.

    No file may be left out, and fewer than ``least`` lines tell nothing. A line counts wherever in these files it is.
    """
    added = {change.path: set(_added(change.hunks)) for change in changes}
    lines = set().union(*added.values())
    if len(lines) < least:
        return False
    now, then = (set().union(*(objects.lines(tree, path) for path in added)) for tree in (after, before))
    share, earlier = len(lines & now) / len(lines), len(lines & then) / len(lines)
    whole = all(len(some & now) >= PART * len(some) for some in added.values())
    return share >= COVERED and share - earlier >= GAIN and whole


def counted(objects: Objects, changes: Iterable[Change], tree: str) -> tuple[int, int]:
    """Return how many of the distinctive lines that ``changes`` add stand in ``tree``, and how many there are."""
    added = {change.path: set(_added(change.hunks)) for change in changes}
    lines = set().union(*added.values())
    return len(lines & set().union(*(objects.lines(tree, path) for path in added))), len(lines)


def _added(hunks: Iterable[Hunk]) -> Iterator[bytes]:
    for hunk in hunks:
        old = set(hunk.old)
        for line in hunk.new:
            if line not in old and not TRIVIAL.match(line):
                yield line.strip()
