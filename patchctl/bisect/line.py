"""Search on one axis by halves. Pure: from what is known to the next position worth a test, or the answer.

Positions run from a good one to a bad one; step ``k`` leads from position ``k - 1`` to ``k``. What cannot be tested is
stepped around and ends as a range. Whatever is preferred, the number of tests that tell something stays within
``ceil(log2)`` of what could be told apart.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.bisect.space import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Between two skipped positions that are this near, the rest is taken to be of the same broken range.
NEAR = 8
DETOUR = 4.0  # times cheaper a test must be to be preferred
REACH = 3.0  # positions from a skipped one at which the next is as likely to be skipped as not


@dataclass(frozen=True)
class Range:
    """The culprit is one of the steps ``good + 1`` to ``bad``: the last known good and the first known bad position."""

    good: int
    bad: int

    @property
    def width(self) -> int:
        """Return how many steps it could be."""
        return self.bad - self.good


def bracket(known: Mapping[int, Verdict]) -> Range:
    """Return the narrowest good position followed by a bad one; the first of several.

    Raises ValueError when no good position lies before a bad one.
    """
    found: Range | None = None
    good: int | None = None
    for position in sorted(known):
        if known[position] is Verdict.GOOD:
            good = position
        elif known[position] is Verdict.BAD and good is not None:
            if found is None or position - good < found.width:
                found = Range(good, position)
            good = None
    if found is None:
        raise ValueError("no good position lies before a bad one")
    return found


def testable(span: Range, known: Mapping[int, Verdict]) -> list[int]:
    """Return the positions inside a bracket that are worth a test: not known, not inside a broken range."""
    skipped = [at for at in range(span.good + 1, span.bad) if known.get(at) is Verdict.SKIP]
    inside: set[int] = set()
    for one, other in itertools.pairwise(skipped):
        if other - one <= NEAR:
            inside.update(range(one, other))
    return [at for at in range(span.good + 1, span.bad) if at not in known and at not in inside]


def narrow(known: Mapping[int, Verdict], cost: Callable[[int], float] = lambda _: 1.0, *, last: int = 1) -> int | Range:
    """Return the position to test next, or the range that is left when no test can narrow it.

    ``cost`` is what a test of a position is expected to take (seconds); ``last`` weighs the last step of all against
    one of each other.
    """
    span = bracket(known)
    open_ = testable(span, known)
    if not open_:
        return span
    weights = [1] * len(open_) + [last if span.bad == max(known) else 1]
    safe = _safe(weights)
    skipped = [at for at, verdict in known.items() if verdict is Verdict.SKIP and span.good < at < span.bad]
    total = sum(weights)

    costs = {open_[index]: max(cost(open_[index]), 1e-9) for index in safe}
    least = min(costs.values())

    def worth(index: int) -> tuple[float, int]:
        at = open_[index]
        share = sum(weights[: index + 1]) / total
        # Small differences are no reason to leave the middle, which is where git would look too.
        dear = DETOUR ** int(math.log(costs[at] / least, DETOUR))
        # Of two alike git takes the earlier, but the later of three commits.
        return round(entropy(share) * _buildable(at, skipped) / dear, 9), index if total == 3 else -index

    return open_[max(safe, key=worth)]


def _safe(weights: Sequence[int]) -> list[int]:
    """Return the splits after which neither side needs more halves than a split in the middle would leave."""
    total = sum(weights)
    most = 2 ** max(math.ceil(math.log2(total)) - 1, 0)
    left, found = 0, []
    for index, weight in enumerate(weights[:-1]):
        left += weight
        if left <= most and total - left <= most:
            found.append(index)
    # A last step heavier than all others has no such split: it is parted off.
    return found or [len(weights) - 2]


def _buildable(at: int, skipped: Sequence[int]) -> float:
    if not skipped:
        return 1.0
    away = min(abs(at - other) for other in skipped)
    return away / (away + REACH)


def entropy(share: float) -> float:
    """Return the information (bits) of an answer that is yes with this probability."""
    if share <= 0.0 or share >= 1.0:
        return 0.0
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)
