"""What can be tried between a good and a bad end: two axes, upstream's commits and the patches of the stack. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Patches = frozenset[str]
NONE: Patches = frozenset()


class Verdict(str, enum.Enum):
    """How one point was judged; ``skip`` is one that cannot be judged."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


class State(NamedTuple):
    """One point as coordinates: how many of upstream's steps from the good base are taken, and which patches are in."""

    at: int
    patches: Patches


@dataclass(frozen=True)
class Space:
    """``steps`` commits lead from the good base to the bad one; each end has its patches.

    ``order`` is the order in which patches are applied; ``needs`` names for a patch those it cannot stand without.
    """

    steps: int
    good: Patches
    bad: Patches
    order: tuple[str, ...] = ()
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def good_end(self) -> State:
        """Return the end that is said to be good."""
        return State(0, self.good)

    @property
    def bad_end(self) -> State:
        """Return the end that is said to be bad."""
        return State(self.steps, self.bad)

    @property
    def one_axis(self) -> bool:
        """Return whether the culprit can only be on one axis: no upstream step, or no patch at all."""
        return self.steps == 0 or not (self.good or self.bad)

    def closed(self, patches: Patches) -> bool:
        """Return whether each patch has what it needs."""
        return all(self.needs.get(patch, NONE) <= patches for patch in patches)

    def changes(self, start: Patches, end: Patches) -> list[str]:
        """Return the patches that differ, ordered so that as many ways in between as possible are closed.

        What goes, goes before what comes: two patches that replace each other do not stand side by side.
        """
        left = [patch for patch in self.order if patch in start ^ end]
        left.sort(key=lambda patch: patch in end)
        found: list[str] = []
        now = start
        while left:
            following = next((patch for patch in left if self.closed(now ^ {patch})), left[0])
            left.remove(following)
            found.append(following)
            now ^= {following}
        return found

    def turned(self, start: Patches, changes: Iterable[str], end: Patches) -> Patches:
        """Return ``start`` with these patches as in ``end``, and with all that then has to come or go along."""
        now, gone = start ^ frozenset(changes), set[str]()
        while True:
            missing = {need for patch in now for need in self.needs.get(patch, NONE)} - now
            # What is missing comes when the end has it; else what needs it goes, for good.
            coming = {patch for patch in missing if patch in end and patch not in gone}
            going = {patch for patch in now if self.needs.get(patch, NONE) & (missing - coming)}
            if not coming and not going:
                return now
            gone |= going
            now = (now | coming) - going
