"""What of a patch is not in its revision any more, because somebody before it makes the same change: hunk by hunk."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.manifest.revision import Hunk
    from patchctl.series.patch import Patch

Lines = Counter[tuple[str, bytes, int]]  # a path, a line, 1 where it is added and -1 where it goes; how often


def dropped(read: Patch, kept: Patch, before: Sequence[Patch]) -> Iterator[str]:
    """Return a sentence on each hunk of a patch as it was ``read`` that is not in what is ``kept`` of it, and why."""
    lost = _lines(_hunks(read)) - _lines(_hunks(kept))
    for path, hunk in _hunks(read) if lost else ():
        mine = _lines([(path, hunk)])
        if mine and mine <= lost:
            place = f"{path}:{hunk.start + hunk.leading + 1}"
            yield f"its hunk at {place} is left out, {_holder(mine, before)} has it already"


def holder(patch: Patch, before: Sequence[Patch]) -> str:
    """Return the first patch that makes all changes of ``patch`` too, or the base."""
    return _holder(_lines(_hunks(patch)), before)


def _holder(mine: Lines, before: Sequence[Patch]) -> str:
    return next((one.id for one in before if mine and mine <= _lines(_hunks(one))), "the base")


def _hunks(patch: Patch) -> list[tuple[str, Hunk]]:
    return [(change.path, hunk) for change in patch.revision.changes for hunk in change.hunks]


def _lines(hunks: Sequence[tuple[str, Hunk]]) -> Lines:
    """Return the lines that hunks add and remove; those on both sides are moved, or only stand beside a change."""
    old = Counter((path, line) for path, hunk in hunks for line in hunk.old)
    new = Counter((path, line) for path, hunk in hunks for line in hunk.new)
    lines: Lines = Counter({(*where, 1): count for where, count in (new - old).items()})
    lines.update({(*where, -1): count for where, count in (old - new).items()})
    return lines
