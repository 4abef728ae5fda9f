"""At which commit of upstream a patch turns from applying to conflicting: found by trying, not by reading diffs."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from patchctl.series.patch import Patch, closure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.series.sequence import Series

BROKEN = None  # not even what the patch requires applies


class Turning:
    """One patch between the commit it was made on, where it applies, and a base on which it conflicts."""

    def __init__(self, series: Series, patch: Patch, made_on: str, base: str) -> None:
        self.series = series
        self.patch = patch
        self.made_on = made_on
        self.base = base
        self._known: dict[str, frozenset[str] | None] = {}

    @functools.cached_property
    def _under(self) -> list[Patch] | None:
        """Return the patches to try it on: those it requires, else all before it; None when it fails even at home."""
        stack = self.series.stack
        before = list(stack[: stack.index(self.patch)]) if self.patch in stack else []
        for under in (closure(self.patch.requires, stack), before):
            tried = {commit: self._conflicts(commit, under) for commit in (self.made_on, self.base)}
            if tried[self.made_on] == frozenset() and tried[self.base]:
                return under
        return None

    def _conflicts(self, commit: str, under: Sequence[Patch]) -> frozenset[str] | None:
        """Return the paths in conflict on a commit of upstream with the patches ``under`` applied to it."""
        head = commit
        for patch in under:
            step = self.series.on_top(patch, head, commit)
            if step.outcome.failed and patch.id in self.patch.requires:
                return BROKEN
            head = step.commit
        return frozenset(self.series.on_top(self.patch, head, commit).conflicts)

    def point(self, touching: Sequence[str], path: str) -> str | None:
        """Return which of the commits that changed ``path``, oldest first, makes it conflict; None when none does.

        Of several (upstream took a change back and made it again) it is one after which the patch conflicts and before
        which it applied. Raises PatchctlError when an object that is needed cannot be had.
        """
        if self._under is None or not touching or not self._is_broken(touching[-1], path):
            return None
        applies, breaks = -1, len(touching) - 1
        while breaks - applies > 1:
            middle = (applies + breaks) // 2
            if self._is_broken(touching[middle], path):
                breaks = middle
            else:
                applies = middle
        return touching[breaks]

    def _is_broken(self, commit: str, path: str) -> bool:
        if commit not in self._known:
            self._known[commit] = self._conflicts(commit, self._under or ())
        found = self._known[commit]
        return found is BROKEN or path in found
