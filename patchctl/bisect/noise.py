"""Tests that do not always say the same: what looks at points tell about where a line turns from good to bad. Pure.

A look gives a number: 1 for bad and 0 for good where the test passes or fails, what was measured where it measures.
All looks before the culprit come from one source, all from it on from another; neither is known beforehand, so both are
integrated out and what is left is a probability for each step (change-point analysis; Barry and Hartigan, 1993).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol

from patchctl.bisect.line import entropy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Tally(NamedTuple):
    """Looks added up: how many, their sum, the sum of their squares."""

    number: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Tally) -> Tally:  # type: ignore[override]
        """Return the looks of both."""
        return Tally(self.number + other.number, self.total + other.total, self.squares + other.squares)

    @staticmethod
    def of(values: Iterable[float]) -> Tally:
        """Return the tally of these values."""
        listed = list(values)
        return Tally(len(listed), sum(listed), sum(value * value for value in listed))


class Model(Protocol):
    """How looks come about."""

    def weigh(self, good: Tally, bad: Tally) -> float:
        """Return the logarithm of how likely it is that these looks come from two sources, parted like this."""

    def differ(self, good: Tally, bad: Tally) -> float:
        """Return the probability that the bad source is the worse one, from 0 (the better one) to 1."""

    def matters(self, good: Tally, bad: Tally) -> bool:
        """Return whether a difference of this size counts."""

    def expect(self, tally: Tally) -> float:
        """Return what the next look of a source with these looks is expected to be."""

    def inner(self, expected: float) -> float:
        """Return what has to be averaged beside the expectation to know what a look would tell."""

    def telling(self, expected: float, inner: float, spread: float) -> float:
        """Return the information (bits) of a look whose source is uncertain, from both averages."""


# Beta priors of the share of failures. Weak, and the same but mirrored: good versions rarely fail, bad ones may.
GOOD_PRIOR, BAD_PRIOR = (1.0, 1.0), (1.0, 1.0)


# What is measured has tails that no bell has: each look counts for less than a bell would say (the learning rate of
# generalised Bayesian inference, for models that are known to be wrong; Bissiri, Holmes and Walker, 2016).
TEMPER = 0.85


class Flaky:
    """A test that fails with one probability on good versions and with a higher one on bad versions."""

    def weigh(self, good: Tally, bad: Tally) -> float:
        """Return the logarithm of both Beta-binomial likelihoods, the probabilities integrated out."""
        return _beta_binomial(good, *GOOD_PRIOR) + _beta_binomial(bad, *BAD_PRIOR)

    def differ(self, good: Tally, bad: Tally) -> float:
        """Return the probability that bad versions fail more often, with flat priors."""
        return _beta_less((1 + good.total, 1 + good.number - good.total), (1 + bad.total, 1 + bad.number - bad.total))

    def matters(self, good: Tally, bad: Tally) -> bool:  # noqa: ARG002 - the model's signature
        """Return True: that it fails more often is enough."""
        return True

    def expect(self, tally: Tally) -> float:
        """Return the share of failures, pulled a little to the middle."""
        return (tally.total + 0.5) / (tally.number + 1)

    def inner(self, expected: float) -> float:
        """Return the entropy of one look."""
        return entropy(expected)

    def telling(self, expected: float, inner: float, spread: float) -> float:  # noqa: ARG002 - the model's signature
        """Return the mutual information of the look and its source."""
        return entropy(expected) - inner


class Measured:
    """A measurement that spreads alike around two levels; ``worse`` is 1 when more is worse, -1 when less is.

    ``threshold`` is the share by which the bad level must be worse to count at all.
    """

    def __init__(self, worse: int, threshold: float = 0.0) -> None:
        self.worse = worse
        self.threshold = threshold

    def weigh(self, good: Tally, bad: Tally) -> float:
        """Return the logarithm of the normal likelihood, levels and spread integrated out under flat priors."""
        count = good.number + bad.number
        if not good.number or not bad.number or count < 4:
            return 0.0
        spread = max(_scatter(good) + _scatter(bad), 1e-300)
        whole = -0.5 * (math.log(good.number) + math.log(bad.number)) - 0.5 * (count - 2) * math.log(spread)
        return TEMPER * whole

    def differ(self, good: Tally, bad: Tally) -> float:
        """Return the probability that the bad level is the worse one: Student's t with a common spread."""
        free = good.number + bad.number - 2
        if free < 2 or not good.number or not bad.number:
            return 0.5
        gap = self.worse * (bad.total / bad.number - good.total / good.number)
        error = math.sqrt((_scatter(good) + _scatter(bad)) / free * (1 / good.number + 1 / bad.number))
        if error == 0.0:
            return 0.5 if gap == 0.0 else float(gap > 0)
        return student(gap / error, free)

    def matters(self, good: Tally, bad: Tally) -> bool:
        """Return whether the bad level is worse by the threshold at least."""
        return self.worse * (self.expect(bad) - self.expect(good)) >= self.threshold * abs(self.expect(good))

    def expect(self, tally: Tally) -> float:
        """Return the level."""
        return tally.total / tally.number if tally.number else 0.0

    def inner(self, expected: float) -> float:
        """Return the square: with it comes how far the levels lie apart."""
        return expected * expected

    def telling(self, expected: float, inner: float, spread: float) -> float:
        """Return the information of a normal look whose level is uncertain."""
        apart = inner - expected * expected
        # What rounding leaves of equal squares is no difference.
        return 0.5 * math.log2(1 + apart / max(spread, 1e-6 * apart)) if apart > 1e-9 * inner else 0.0


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
    after = [Tally()] * (len(looks) + 1)
    for at in range(len(looks) - 1, -1, -1):
        after[at] = after[at + 1] + looks[at] if looks[at].number else after[at + 1]
    before, found = good, []
    for step in range(1, len(looks)):
        if step == 1 or looks[step - 1].number:
            before += looks[step - 1]
            rest = bad + after[step]
            parted = (model.weigh(before, rest), model.expect(before), model.expect(rest))
        found.append(parted)
    logs = [weight + (math.log(last) if at == len(found) else 0.0) for at, (weight, *_) in enumerate(found, 1)]
    top = max(logs)
    shares = [math.exp(one - top) for one in logs]
    total = sum(shares)
    return [Step(share / total, low, high) for share, (_, low, high) in zip(shares, found, strict=True)]


def information(model: Model, steps: Sequence[Step], spread: float) -> list[float]:
    """Return what one look at each position 0 … n of a line would tell about the step (bits)."""
    expected = sum(step.share * step.before for step in steps)
    inner = sum(step.share * model.inner(step.before) for step in steps)
    found = [model.telling(expected, inner, spread)]
    for step in steps:
        expected += step.share * (step.after - step.before)
        inner += step.share * (model.inner(step.after) - model.inner(step.before))
        found.append(model.telling(expected, inner, spread))
    return found


def spread(good: Tally, bad: Tally) -> float:
    """Return the variance of one look within its source."""
    return (_scatter(good) + _scatter(bad)) / max(good.number + bad.number - 2, 1)


def _scatter(tally: Tally) -> float:
    return max(tally.squares - tally.total * tally.total / tally.number, 0.0) if tally.number else 0.0


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _beta_binomial(tally: Tally, hits: float, misses: float) -> float:
    return _log_beta(hits + tally.total, misses + tally.number - tally.total) - _log_beta(hits, misses)


def _beta_less(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the probability that a Beta variable of whole parameters is less than another: a finite sum."""
    (a, b), (c, d) = one, other
    total = 0.0
    for i in range(int(c)):
        total += math.exp(_log_beta(a + i, b + d) - math.log(d + i) - _log_beta(1 + i, d) - _log_beta(a, b))
    return min(max(total, 0.0), 1.0)


def student(value: float, free: float) -> float:
    """Return the probability that Student's t with ``free`` degrees of freedom is at most ``value``."""
    tail = 0.5 * incomplete_beta(free / (free + value * value), free / 2, 0.5)
    return 1.0 - tail if value > 0 else tail


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function (Lentz's continued fraction; Numerical Recipes 6.4)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log(1 - x) - _log_beta(a, b)) / a
    tiny, c = 1e-300, 1.0
    d = 1.0 / max(1.0 - (a + b) * x / (a + 1), tiny)
    found = d
    for m in range(1, 300):
        for top in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + top * d or tiny)
            c = 1.0 + top / c or tiny
            found *= c * d
        if abs(c * d - 1.0) < 1e-12:
            break
    return front * found
