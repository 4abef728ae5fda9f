"""Which upstream commit or which patch: the order in which the axes are asked. Pure.

First the good patches on the bad base. Bad: upstream alone. Good: a patch, found there by halves, then alone on the
good base: bad there too, it is the patch; good there, it needs upstream's commit, or another patch, and one line finds
which. What that costs at most is in ``tests/bisect/test_search.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.bisect.ddmin import ddmin
from patchctl.bisect.line import Range
from patchctl.bisect.space import NONE, State, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.bisect.evidence import Evidence
    from patchctl.bisect.space import Patches, Space


@dataclass(frozen=True)
class Found:
    """What was found: the upstream steps it could be (None: no upstream step is to blame), and the patches.

    ``good`` and ``bad`` are the two points next to each other that show it. ``ranges`` is True when patches could not
    be told apart.
    """

    steps: Range | None
    patches: tuple[str, ...]
    good: State
    bad: State
    ranges: bool = False

    @property
    def kind(self) -> str:
        """Return ``patch``, ``upstream``, ``interaction`` or ``range``."""
        if self.ranges or (self.steps is not None and self.steps.width > 1):
            return "range"
        if self.steps is not None:
            return "interaction" if self.patches else "upstream"
        return "interaction" if len(self.patches) > 1 else "patch"


def search(space: Space, evidence: Evidence) -> Found:
    """Return what broke between the ends; raises NeedError for a point to look at, EndsError."""
    evidence.start()
    carried = space.good == space.bad != NONE
    evidence.ends(space.good_end, space.bad_end, bad_again=not carried)
    if space.good == space.bad:
        return _upstream(space, evidence, space.good, Range(0, space.steps))
    if space.steps == 0:
        return _patches(space, evidence, 0, space.good)
    crossed = evidence.ask(State(space.steps, space.good))
    if crossed is Verdict.BAD:
        return _upstream(space, evidence, space.good, Range(0, space.steps))
    if crossed is Verdict.GOOD:
        return _patch_or_meeting(space, evidence)
    return _from_bad_patches(space, evidence)


def _from_bad_patches(space: Space, evidence: Evidence) -> Found:
    """The good patches cannot be tested on the bad base: the bad ones on the good base tell the axis."""
    crossed = evidence.ask(State(0, space.bad))
    if crossed is Verdict.BAD:
        return _patches(space, evidence, 0, space.good)
    if crossed is Verdict.GOOD:
        return _upstream(space, evidence, space.bad, Range(0, space.steps))
    return _across(space, evidence)


def _across(space: Space, evidence: Evidence) -> Found:
    """Neither set can be tested on the other's base: change over where both can."""
    for at in _halvings(space.steps):
        before = evidence.ask(State(at, space.good))
        if before is Verdict.BAD:
            return _upstream(space, evidence, space.good, Range(0, at))
        after = evidence.ask(State(at, space.bad)) if before is Verdict.GOOD else Verdict.SKIP
        if after is Verdict.BAD:
            return _patches(space, evidence, at, space.good)
        if after is Verdict.GOOD:
            return _upstream(space, evidence, space.bad, Range(at, space.steps))
    return Found(Range(0, space.steps), (), space.good_end, space.bad_end)


def _halvings(steps: int) -> list[int]:
    """Return up to 31 positions inside, the middle first, then the middles of what is left."""
    found: list[int] = []
    for depth in range(1, 6):
        found += [steps * odd // 2**depth for odd in range(1, 2**depth, 2)]
    return list(dict.fromkeys(at for at in found if 0 < at < steps))


# --- upstream ---------------------------------------------------------------------------------------------------------


def _upstream(space: Space, evidence: Evidence, patches: Patches, span: Range) -> Found:
    """Search upstream's line with these patches; what is bad there is then tried without any patch.

    Bad there too, it was seen bad twice: then nobody has to look at the bad end a second time.
    """
    line = [State(at, patches) for at in range(span.good, span.bad + 1)]
    turn = evidence.line(line)
    good, bad = line[turn.good], line[turn.bad]
    steps = Range(good.at, bad.at)
    if not patches:
        return Found(steps, (), good, bad)
    bare = State(bad.at, NONE)
    alone = evidence.ask(bare)
    evidence.again(space.bad_end, unless=(bad, bare) if alone is Verdict.BAD else ())
    if alone is not Verdict.GOOD:
        return Found(steps, (), good, bad)
    met = _patches(space, evidence, bad.at, NONE, patches)
    return Found(steps, met.patches, good, bad, met.ranges)


# --- patches ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Turn:
    """The first way from the good set to the bad one that is bad, and the changes up to it."""

    line: list[State]
    changes: list[str]
    at: Range


def _turn(space: Space, evidence: Evidence, at: int, start: Patches, end: Patches) -> _Turn:
    changes = space.changes(start, end)
    line = [State(at, start)]
    for change in changes:
        line.append(State(at, line[-1].patches ^ {change}))
    return _Turn(line, changes, evidence.line(line))


def _patch_or_meeting(space: Space, evidence: Evidence) -> Found:
    """The good patches are good on the bad base too: what the bad ones break is theirs, or needs upstream."""
    turn = _turn(space, evidence, space.steps, space.good, space.bad)
    bad = turn.line[turn.at.bad]
    if turn.at.width > 1:
        return _told_apart(space, evidence, turn)
    patch = turn.changes[turn.at.bad - 1]
    alone = space.turned(space.good, [patch], space.bad)
    at_good_base = evidence.ask(State(0, alone))
    if at_good_base is Verdict.BAD:
        return Found(None, (patch,), space.good_end, State(0, alone))
    if at_good_base is Verdict.SKIP:
        return _alone_or_more(space, evidence, turn, patch)
    line = [State(at, alone) for at in range(space.steps + 1)]
    if bad != line[-1]:
        # The last step brings the other patches: they get what a search by halves has to spare.
        line.append(bad)
        found = evidence.line(line, last=max(2 ** math.ceil(math.log2(space.steps)) - space.steps, 1))
        if line[found.bad] == bad and found.width == 1:
            return _more(space, evidence, turn, patch)
        if line[found.bad] == bad:
            return Found(Range(found.good, space.steps), (patch,), line[found.good], bad, ranges=True)
    else:
        found = evidence.line(line)
    return Found(found, (patch,), line[found.good], line[found.bad])


def _patches(space: Space, evidence: Evidence, at: int, start: Patches, end: Patches | None = None) -> Found:
    """Search among the patches alone, on one base."""
    turn = _turn(space, evidence, at, start, space.bad if end is None else end)
    if turn.at.width > 1:
        return _told_apart(space, evidence, turn)
    return _alone_or_more(space, evidence, turn, turn.changes[turn.at.bad - 1])


def _alone_or_more(space: Space, evidence: Evidence, turn: _Turn, patch: str) -> Found:
    start, bad = turn.line[0], turn.line[turn.at.bad]
    alone = State(start.at, space.turned(start.patches, [patch], turn.line[-1].patches))
    if alone == bad or evidence.ask(alone) is Verdict.BAD:
        return Found(None, (patch,), turn.line[turn.at.good], bad)
    return _more(space, evidence, turn, patch)


def _more(space: Space, evidence: Evidence, turn: _Turn, patch: str) -> Found:
    """One patch does not fail by itself: find those before it that it takes, one by one, each by halves."""
    start, end = turn.line[0], turn.line[-1].patches
    needed, rest = [patch], turn.changes[: turn.at.bad - 1]
    good, bad = turn.line[turn.at.good], turn.line[turn.at.bad]
    while rest:
        line = [start]
        for count in range(len(rest) + 1):
            state = State(start.at, space.turned(start.patches, [*needed, *rest[:count]], end))
            if state != line[-1]:
                line.append(state)
        found = evidence.line(line)
        good, bad = line[found.good], line[found.bad]
        if found.width > 1:
            return _told_apart(space, evidence, _Turn(line, turn.changes, found))
        come = [change for change in rest if (change in bad.patches) != (change in good.patches)]
        if not come:
            break
        needed.append(come[-1])
        rest = rest[: rest.index(come[-1])]
        together = State(start.at, space.turned(start.patches, needed, end))
        if together == bad or evidence.ask(together) is Verdict.BAD:
            bad = together
            break
    return _least(space, evidence, needed, end, (start, good, bad))


def _told_apart(space: Space, evidence: Evidence, turn: _Turn) -> Found:
    """Skipped ways leave several patches: try parts of the set that are no way from the good one to the bad one."""
    start, good, bad = turn.line[0], turn.line[turn.at.good], turn.line[turn.at.bad]
    changes = space.changes(start.patches, bad.patches)
    return _least(space, evidence, changes, turn.line[-1].patches, (start, good, bad))


def _least(space: Space, evidence: Evidence, changes: Sequence[str], end: Patches, way: tuple[State, ...]) -> Found:
    """Return the patches that are needed of those that fail together, by ddmin where two or more are left.

    ``way`` holds the point without any of them, the last good one on the way to all, and the bad one.
    """
    start, good, bad = way

    def state(part: Sequence[str]) -> State:
        return State(start.at, space.turned(start.patches, part, end))

    def fails(part: Sequence[str]) -> bool:
        point = state(part)
        return point == bad or (point != start and evidence.ask(point) is Verdict.BAD)

    # Of two, one alone was tried, and the other stood in what was good.
    left = list(changes) if len(changes) <= 2 and state(changes) == bad else ddmin(changes, fails)
    without = [state([other for other in left if other != one]) for one in left]
    untold = len(left) > 1 and any(evidence.verdict(point) is Verdict.SKIP for point in without)
    order = tuple(change for change in space.order if change in left)
    return Found(None, order, good, state(left) if fails(left) else bad, untold)
