"""Who made which line, followed through a stack: exact, on the diffs of the commits it resulted in, without files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchctl.manifest.revision import Change, Hunk

Owner = int | str  # a line of the base by its number (from 1), or the id of the patch that made it


@dataclass
class Made:
    """What one patch found: the patches whose lines it needs, and the lines of the base it removes."""

    needs: set[str] = field(default_factory=set)
    removes: dict[str, dict[int, bytes]] = field(default_factory=dict)


class _File:
    """One file's lines by owner, known as far as they were looked at; the rest are the base's."""

    def __init__(self, made_by: str | None = None) -> None:
        self.made_by = made_by
        self.whole: set[str] = {made_by} if made_by else set()
        self.lines: list[Owner] = []
        self._next = 1

    def reach(self, length: int) -> None:
        more = length - len(self.lines)
        if more > 0 and self.made_by is None:
            self.lines += range(self._next, self._next + more)
            self._next += more

    def replace(self, start: int, removed: int, patch: str, added: int) -> tuple[list[Owner], list[Owner]]:
        """Put ``added`` lines of ``patch`` in the place of others; returns the owners of those and of the lines around.

        Changes beside each other conflict when one is missing, so the lines around are needed too.
        """
        self.reach(start + removed + 1)
        gone = self.lines[start : start + removed]
        around = self.lines[max(start - 1, 0) : start] + self.lines[start + removed : start + removed + 1]
        self.lines[start : start + removed] = [patch] * added
        return gone, around


class Ownership:
    """Follows patches in order; ``follow`` takes the changes of each without lines of context."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def follow(self, patch: str, changes: Iterable[Change]) -> Made:
        """Return what ``patch`` needs and removes, and note what it made."""
        made = Made()
        for change in changes:
            self._change(patch, change, made)
        made.needs.discard(patch)
        return made

    def _change(self, patch: str, change: Change, made: Made) -> None:
        if change.old_path is None:
            self._files[change.path] = file = _File(patch)
            file.lines = [patch] * sum(len(hunk.new) for hunk in change.hunks)
            return
        file = self._files.setdefault(change.old_path, _File())
        made.needs |= file.whole
        if change.binary is not None or not change.hunks:
            file.whole.add(patch)  # a mode or bytes without lines: what comes next builds on all of it
        for hunk in reversed(change.hunks):
            self._hunk(patch, change.old_path, hunk, made)
        if change.new_path is None:
            del self._files[change.old_path]

    def _hunk(self, patch: str, path: str, hunk: Hunk, made: Made) -> None:
        gone, around = self._files[path].replace(hunk.start, len(hunk.old), patch, len(hunk.new))
        made.needs |= {owner for owner in (*gone, *around) if isinstance(owner, str)}
        removed = {owner: line for owner, line in zip(gone, hunk.old, strict=False) if isinstance(owner, int)}
        if removed:
            made.removes.setdefault(path, {}).update(removed)


def reduced(needs: Iterable[str], order: Sequence[str], known: dict[str, set[str]]) -> list[str]:
    """Return the needs that no other one brings with it, in the stack's ``order``; ``known`` are all closures."""
    wanted = set(needs)
    implied = {inner for one in wanted for inner in known.get(one, ()) if inner != one}
    return [one for one in order if one in wanted - implied]
