"""Tests that do not always say the same: what looks at points tell about where a line turns from good to bad. Pure.

A look gives a number: 1 for bad and 0 for good where the test passes or fails, what was measured where it measures.
All looks before the culprit come from one source, all from it on from another; neither is known beforehand, so both are
integrated out and what is left is a probability for each step (change-point analysis; Barry and Hartigan, 1993).
"""

from __future__ import annotations

import math
import operator
import statistics
from typing import TYPE_CHECKING, NamedTuple, Protocol

from patchctl.bisect.levels import contrasts, far_off, log_beta, student, sum_of_logs
from patchctl.bisect.line import entropy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from patchctl.bisect.levels import Contrast


_WHEN = operator.itemgetter(0)
Sum = tuple[int, float]  # how many looks, and what they add up to


class Tally(NamedTuple):
    """Looks added up: how many, their sum, and each with when it was taken."""

    number: int = 0
    total: float = 0.0
    taken: tuple[tuple[float, float], ...] = ()

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        """Return the looks of both."""
        return Tally(self.number + other.number, self.total + other.total, self.taken + other.taken)

    @staticmethod
    def of(values: Iterable[float], when: Iterable[float] | None = None) -> Tally:
        """Return the tally of these values; without ``when`` they were taken one after the other."""
        listed = list(values)
        times = range(len(listed)) if when is None else when
        return Tally(len(listed), sum(listed), tuple(zip(map(float, times), listed, strict=True)))

    def times(self, factor: float) -> Tally:
        """Return the tally of what was seen, times a factor."""
        return Tally(self.number, self.total * factor, tuple((when, value * factor) for when, value in self.taken))

    def without(self, odd: AbstractSet[float]) -> Tally:
        """Return the tally less what was taken at these times."""
        taken = tuple(look for look in self.taken if look[0] not in odd)
        return Tally(len(taken), sum(value for _, value in taken), taken)

    @property
    def values(self) -> list[float]:
        """Return what was seen."""
        return [value for _, value in self.taken]


class Parted(NamedTuple):
    """If the looks before a step come from the good source and the others from the bad one: the logarithm of how likely
    that is, and what the next look of either is expected to be.
    """

    weight: float
    before: float
    after: float


class Model(Protocol):
    """How looks come about; ``turns``: no point is looked at twice running, since both may be off alike.

    ``threshold`` is the share of the good source by which the bad one has to be worse to count.
    """

    turns: bool
    threshold: float

    def parted(self, looks: Sequence[Tally], good: Tally, bad: Tally) -> list[Parted]:
        """Return what looks at a line of positions tell of each step, with those known to come from either source."""

    def differ(self, good: Tally, bad: Tally, by: float = 0.0) -> float:
        """Return the probability that the bad source is worse than the good one, by this share of it at least."""

    def inner(self, expected: float) -> float:
        """Return what has to be averaged beside the expectation to know what a look would tell."""

    def spread(self, good: Tally, bad: Tally) -> float:
        """Return the variance of one look within its source, where a look tells by that."""

    def telling(self, expected: float, inner: float, spread: float, bad: float, least: float) -> float:
        """Return the information (bits) of a look that is of the bad source with probability ``bad``.

        What differs by ``least`` or less is alike: so much is left by rounding.
        """


# Beta priors of the share of failures. Weak, and the same but mirrored: good versions rarely fail, bad ones may.
GOOD_PRIOR, BAD_PRIOR = (1.0, 1.0), (1.0, 1.0)


# What is measured has tails that no bell has: each look counts for less than a bell would say (the learning rate of
# generalised Bayesian inference, for models that are known to be wrong; Bissiri, Holmes and Walker, 2016).
TEMPER = 0.85


class Flaky:
    """A test that fails with one probability on good versions and with a higher one on bad versions."""

    turns = False
    threshold = 0.0  # that it fails more often is enough

    def parted(self, looks: Sequence[Tally], good: Tally, bad: Tally) -> list[Parted]:
        """Return both Beta-binomial likelihoods, the probabilities integrated out."""
        found: list[Parted] = []
        for tally, before, rest in _cuts(looks, good, bad):
            if tally.number or not found:
                weight = _beta_binomial(*before, *GOOD_PRIOR) + _beta_binomial(*rest, *BAD_PRIOR)
                step = Parted(weight, _failing(*before), _failing(*rest))
            found.append(step)
        return found

    def differ(self, good: Tally, bad: Tally, by: float = 0.0) -> float:  # noqa: ARG002 - the model's signature
        """Return the probability that bad versions fail more often, with flat priors."""
        return _beta_less((1 + good.total, 1 + good.number - good.total), (1 + bad.total, 1 + bad.number - bad.total))

    def inner(self, expected: float) -> float:
        """Return the entropy of one look."""
        return entropy(expected)

    def spread(self, good: Tally, bad: Tally) -> float:  # noqa: ARG002 - the model's signature
        """Return nothing: what a look tells is in how often it fails."""
        return 0.0

    def telling(self, expected: float, inner: float, spread: float, bad: float, least: float) -> float:  # noqa: ARG002
        """Return the mutual information of the look and its source."""
        return entropy(expected) - inner


class Measured:
    """A measurement that spreads around two levels, which move together as the machine has more or less else to do.

    ``worse`` is 1 when more is worse, -1 when less is; ``threshold`` is the share by which the bad level must be worse
    to count at all.
    """

    turns = True

    def __init__(self, worse: int, threshold: float = 0.0) -> None:
        self.worse = worse
        self.threshold = threshold

    def tamed(self, looks: Sequence[Tally], good: Tally, bad: Tally) -> list[Tally]:
        """Return these looks without those that lie far from what was seen beside them in time, whichever their level.

        They tell of the machine. How far is far does not depend on where the culprit is taken to be.
        """
        if not good.number or not bad.number:
            return list(looks)
        line = sorted((look for tally in looks for look in tally.taken), key=_WHEN)
        apart = abs(statistics.median(good.values) - statistics.median(bad.values))
        odd = {line[at][0] for at in far_off([value for _, value in line], apart)}
        return [tally.without(odd) for tally in looks] if odd else list(looks)

    def parted(self, looks: Sequence[Tally], good: Tally, bad: Tally) -> list[Parted]:
        """Return the normal likelihood, levels and spread integrated out under flat priors."""
        *looks, good, bad = self.tamed((*looks, good, bad), good, bad)
        line = sorted([(*look, at) for at, tally in enumerate((good, *looks, bad)) for look in tally.taken], key=_WHEN)
        values, found = tuple(look[1] for look in line), list[Parted]()
        for step, (tally, before, rest) in enumerate(_cuts(looks, good, bad), 1):
            if tally.number or not found:
                weight = 0.0
                if _comparable(before[0], rest[0]):
                    is_bad = bytes([look[2] > step for look in line])
                    weight = TEMPER * sum_of_logs([contrast.weight for contrast in contrasts(values, is_bad)])
                parted = Parted(weight, _level(*before), _level(*rest))
            found.append(parted)
        return found

    def differ(self, good: Tally, bad: Tally, by: float = 0.0) -> float:
        """Return the probability that the bad level is worse by this share: Student's t with a common spread.

        The bad looks are compared with good ones made worse by the share: how well the good level is known counts too.
        """
        good, bad = self.tamed((good, bad), good, bad)
        level = _level(good.number, good.total)
        found = _compared(good.times(1 + by * self.worse * math.copysign(1, level)), bad)
        if not found:
            return 0.5
        top = max(contrast.weight for contrast in found)
        shares = [math.exp(contrast.weight - top) for contrast in found]
        free, least = good.number + bad.number - 2, -1e-9 * abs(level) if by > 0 else 0.0
        # A share of nothing is nothing: what is exactly alike is neither worse nor better by it.
        tie = 0.5 if level or not by else float(by < 0)
        sure = [self._sure(contrast, free, least, tie) for contrast in found]
        return sum(share * one for share, one in zip(shares, sure, strict=True)) / sum(shares)

    def _sure(self, contrast: Contrast, free: int, least: float, tie: float) -> float:
        """Return the probability that the gap is one; without noise, more than ``least`` is, and ``least`` is a tie."""
        gap = self.worse * contrast.gap
        if contrast.error == 0.0:
            return tie if gap == least else float(gap > least)
        return student(gap / contrast.error, free)

    def inner(self, expected: float) -> float:
        """Return the square: with it comes how far the levels lie apart."""
        return expected * expected

    def spread(self, good: Tally, bad: Tally) -> float:
        """Return the variance of one look around its level."""
        return (_scatter(good) + _scatter(bad)) / max(good.number + bad.number - 2, 1)

    def telling(self, expected: float, inner: float, spread: float, bad: float, least: float) -> float:
        """Return the information of a normal look whose level is uncertain: at most that of which level it is."""
        apart = inner - expected * expected
        told = 0.5 * math.log2(1 + apart / max(spread, 1e-6 * apart)) if apart > least else 0.0
        return min(told, entropy(bad)) if 0.0 < bad < 1.0 else told


def _compared(good: Tally, bad: Tally) -> list[Contrast]:
    """Return how far apart both are, for each speed; nothing where there are too few to tell."""
    if not _comparable(good.number, bad.number):
        return []
    line = sorted([(*look, 0) for look in good.taken] + [(*look, 1) for look in bad.taken], key=_WHEN)
    return contrasts(tuple(look[1] for look in line), bytes(look[2] for look in line))


def _comparable(good: int, bad: int) -> bool:
    return good > 0 and bad > 0 and good + bad >= 4


def _cuts(looks: Sequence[Tally], good: Tally, bad: Tally) -> list[tuple[Tally, Sum, Sum]]:
    """Return for each step of a line the looks at the position before it, and all before and after it added up."""
    after = [(bad.number, bad.total)]
    for tally in reversed(looks[1:]):
        after.append((after[-1][0] + tally.number, after[-1][1] + tally.total))
    before, found = (good.number, good.total), []
    for tally in looks[:-1]:
        before = (before[0] + tally.number, before[1] + tally.total)
        found.append((tally, before, after.pop()))
    return found


def _level(number: int, total: float) -> float:
    return total / number if number else 0.0


def _failing(number: int, fails: float) -> float:
    """Return the share of failures, pulled a little to the middle."""
    return (fails + 0.5) / (number + 1)


class Step(NamedTuple):
    """One step of a line: how likely it is the culprit, and what looks before and after it are expected to be."""

    share: float
    before: float
    after: float


def posterior(model: Model, looks: Sequence[Tally], good: Tally, bad: Tally, *, last: int = 1) -> list[Step]:
    """Return each step 1 … n of a line of positions 0 … n with the probability that it is the culprit.

    ``looks`` are those at each position; ``good`` and ``bad`` those known to come from either source; ``last`` weighs
    the last step against one of each other beforehand.
    """
    found = model.parted(looks, good, bad)
    logs = [step.weight for step in found]
    logs[-1] += math.log(last)
    top = max(logs)
    shares = [math.exp(one - top) for one in logs]
    total = sum(shares)
    return [Step(share / total, step.before, step.after) for share, step in zip(shares, found, strict=True)]


def information(model: Model, steps: Sequence[Step], spread: float) -> list[float]:
    """Return what one look at each position 0 … n of a line would tell about the step (bits)."""
    expected = sum(step.share * step.before for step in steps)
    inner = sum(step.share * model.inner(step.before) for step in steps)
    # Beside the larger level: of one that is 0, all that is left is rounding.
    least = 1e-9 * max(model.inner(steps[0].before), model.inner(steps[-1].after))
    found, bad = [model.telling(expected, inner, spread, 0.0, least)], 0.0
    for at, step in enumerate(steps, 1):
        bad = bad + step.share if at < len(steps) else 1.0
        expected += step.share * (step.after - step.before)
        inner += step.share * (model.inner(step.after) - model.inner(step.before))
        found.append(model.telling(expected, inner, spread, bad, least))
    return found


def _scatter(tally: Tally) -> float:
    level = tally.total / tally.number if tally.number else 0.0
    return sum((value - level) ** 2 for value in tally.values)


def _beta_binomial(number: int, fails: float, hits: float, misses: float) -> float:
    return log_beta(hits + fails, misses + number - fails) - log_beta(hits, misses)


def _beta_less(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the probability that a Beta variable of whole parameters is less than another: a finite sum."""
    (a, b), (c, d) = one, other
    share = math.exp(log_beta(a, b + d) - log_beta(a, b))
    total = 0.0
    for i in range(int(c)):
        total += share
        share *= (a + i) * (d + i) / ((a + b + d + i) * (1 + i))
    return min(max(total, 0.0), 1.0)
