"""Is B faster than A? From a handful of measurements of each, taken in turns; honest about what they cannot tell.

Two intervals are taken, and the wider end of each is kept:

* the percentile bootstrap. A sample's median can only be one of its values (or the middle of two), so the distribution
  over all resamples is known in closed form (Efron 1979, Maritz and Jarrett 1978): nothing is drawn at random, and the
  same measurements always give the same interval.
* a rank interval: exact at every size. It says what few measurements can say at most.

From 6 measurements of each on, those of one turn are held against each other, and both intervals are those of the
logarithms of their ratios: what drifts (clocks, heat, neighbours) hits both of a turn. The rank interval is that of
signed ranks (Wilcoxon 1945, Tukey 1949), exact where A and B are noisy alike. Fewer turns than 6 cannot give 95 % that
way. Then the two series count each by itself: the ratio is that of the medians, the rank interval that of the rank sum
for a shift of the logarithms (Hodges and Lehmann 1963, Moses 1965), and what drifts widens both.
``tests/bench/test_stats.py`` measures by simulation how often the interval holds.
"""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Verdict = Literal["faster", "slower", "same", "unknown"]
CONFIDENCE = 0.95
THRESHOLD = 0.02  # below this change nobody cares; the noise of a quiet machine
STEPS = 50  # halvings of the logarithm: ends are right to a millionth of a millionth


@dataclass(frozen=True)
class Comparison:
    """How B compares with A: the ratio (B / A), its interval, the verdict about B.

    ``low`` is 0 and ``high`` infinite when there are too few measurements for the confidence asked for.
    """

    ratio: float
    low: float
    high: float
    verdict: Verdict


def compare(
    a: Sequence[float],
    b: Sequence[float],
    *,
    confidence: float = CONFIDENCE,
    threshold: float = THRESHOLD,
    higher_is_better: bool,
) -> Comparison:
    """Return how ``b`` compares with ``a``, measurements taken in turns (A B, B A, …), all of them above 0.

    Where there are as many of both, those at one position are of one turn.

    ``same``: the whole interval lies within ``threshold`` of 1. ``faster``, ``slower``: it lies on one side of 1.
    ``unknown``: anything else; more measurements may tell. This is for one look: who looks after every measurement and
    stops when the verdict pleases must ask for more confidence. Raises ValueError for an empty series and for values
    that are not above 0.
    """
    if not a or not b:
        raise ValueError("nothing was measured")
    if not all(0 < value < math.inf for value in (*a, *b)):
        raise ValueError("measurements are numbers above 0")
    tail = (1 - confidence) / 2
    in_turns = len(a) == len(b) and _signed_ranks_to_drop(len(a), tail) > 0
    ratio, low, high = _of_turns(a, b, tail) if in_turns else _of_series(a, b, tail)
    return Comparison(ratio, low, high, _verdict(low, high, threshold=threshold, higher_is_better=higher_is_better))


def _of_turns(a: Sequence[float], b: Sequence[float], tail: float) -> tuple[float, float, float]:
    """Return the median ratio of both measurements of a turn and its interval."""
    logs = [math.log(y) - math.log(x) for x, y in zip(a, b, strict=True)]
    ranks, resamples = signed_rank_interval(logs, tail), _percentiles(resampled_medians(logs), tail)
    low, high = min(ranks[0], resamples[0]), max(ranks[1], resamples[1])
    return math.exp(median(logs)), math.exp(low), math.exp(high)


def _of_series(a: Sequence[float], b: Sequence[float], tail: float) -> tuple[float, float, float]:
    """Return the ratio of the medians and its interval."""
    ranks, resamples = rank_interval(a, b, tail), bootstrap_interval(a, b, tail)
    return median(b) / median(a), min(ranks[0], resamples[0]), max(ranks[1], resamples[1])


def _verdict(low: float, high: float, *, threshold: float, higher_is_better: bool) -> Verdict:
    if low * (1 + threshold) >= 1 and high <= 1 + threshold:
        return "same"
    if low > 1:
        return "faster" if higher_is_better else "slower"
    if high < 1:
        return "slower" if higher_is_better else "faster"
    return "unknown"


def signed_rank_interval(values: Sequence[float], tail: float) -> tuple[float, float]:
    """Return the interval of the centre of symmetry that leaves at most ``tail`` outside at each end."""
    dropped = _signed_ranks_to_drop(len(values), tail)
    if dropped == 0:
        return -math.inf, math.inf
    middles = sorted((x + y) / 2 for x, y in itertools.combinations_with_replacement(values, 2))
    return middles[dropped - 1], middles[-dropped]


@functools.lru_cache(maxsize=256)
def _signed_ranks_to_drop(n: int, tail: float) -> int:
    """Return how many of the smallest values of the signed rank sum have together a probability of at most ``tail``."""
    # Each rank is in the sum or not, with the same chance.
    counts = [1] + [0] * (n * (n + 1) // 2)
    for rank in range(1, n + 1):
        for k in range(len(counts) - 1, rank - 1, -1):
            counts[k] += counts[k - rank]
    return sum(1 for seen in itertools.accumulate(counts) if seen / 2**n <= tail)


def _percentiles(shares: Sequence[tuple[float, float]], tail: float) -> tuple[float, float]:
    """Return the values, of some with their shares in order, that leave at most ``tail`` outside at each end."""
    values = [value for value, _ in shares]
    below = list(itertools.accumulate(share for _, share in shares))
    # Rounding must not make an end of what is exactly at the limit.
    ends = (bisect_left(below, tail + 1e-9), bisect_left(below, 1 - tail - 1e-9))
    return values[ends[0]], values[min(ends[1], len(values) - 1)]


def rank_interval(a: Sequence[float], b: Sequence[float], tail: float) -> tuple[float, float]:
    """Return the interval that leaves at most ``tail`` outside at each end, whatever the noise is distributed like."""
    dropped = _ranks_to_drop(len(a), len(b), tail)
    if dropped == 0:
        return 0.0, math.inf
    ratios = sorted(y / x for x in a for y in b)
    return ratios[dropped - 1], ratios[-dropped]


@functools.lru_cache(maxsize=256)
def _ranks_to_drop(n: int, m: int, tail: float) -> int:
    """Return how many of the smallest values of the rank sum have together a probability of at most ``tail``."""
    # The coefficients of the Gaussian binomial count the orders of n and m things by their rank sum.
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for k in range(n * m, m + i - 1, -1):
            counts[k] -= counts[k - m - i]
        for k in range(i, n * m + 1):
            counts[k] += counts[k - i]
    orders = math.comb(n + m, n)
    return sum(1 for seen in itertools.accumulate(counts) if seen / orders <= tail)


def bootstrap_interval(a: Sequence[float], b: Sequence[float], tail: float) -> tuple[float, float]:
    """Return the percentile interval of median(resample of b) / median(resample of a), over all resamples."""
    of_a, of_b = resampled_medians(a), resampled_medians(b)
    values = [value for value, _ in of_b]
    below = [0.0, *itertools.accumulate(share for _, share in of_b)]

    def share_up_to(ratio: float) -> float:
        return sum(share * below[bisect_right(values, ratio * value)] for value, share in of_a)

    least, most = values[0] / of_a[-1][0], values[-1] / of_a[0][0]
    # Rounding must not make an end of what is exactly at the limit.
    return _first(share_up_to, tail + 1e-9, least, most), _first(share_up_to, 1 - tail - 1e-9, least, most)


def _first(share_up_to: Callable[[float], float], share: float, low: float, high: float) -> float:
    """Return the smallest ratio up to which at least ``share`` lies."""
    if share_up_to(low) >= share:
        return low
    for _ in range(STEPS):
        middle = math.sqrt(low) * math.sqrt(high)
        low, high = (low, middle) if share_up_to(middle) >= share else (middle, high)
    return high


def resampled_medians(values: Sequence[float]) -> list[tuple[float, float]]:
    """Return every median that a resample (as many, with replacement) can have and its probability, by value."""
    ordered = sorted(values)
    places = _places(len(ordered))
    return sorted(((ordered[i] + ordered[j]) / 2, share) for i, j, share in places)


@functools.lru_cache(maxsize=256)
def _places(n: int) -> list[tuple[int, int, float]]:
    """Return (i, j, probability): that the two middle values of a resample of n are the ones ranked i and j from 0.

    With an odd n there is one middle value, i = j. What is less likely than 1e-12 is left out.
    """
    middle = (n + 1) // 2
    up_to = [_at_least(middle, n, k / n) for k in range(n + 1)]
    single = [up_to[k + 1] - up_to[k] for k in range(n)]
    if n % 2:
        return [(k, k, share) for k, share in enumerate(single) if share > 1e-12]
    found = []
    for i in range(n):
        pairs = [(i, j, _middle_pair(n, i, j)) for j in range(i + 1, n)]
        found += [*pairs, (i, i, single[i] - sum(share for *_, share in pairs))]
    return [place for place in found if place[2] > 1e-12]


def _middle_pair(n: int, i: int, j: int) -> float:
    """Return the probability that half of n draws are at most i, the largest of them i, and half at least j so."""
    half = n // 2
    lower = ((i + 1) / n) ** half - (i / n) ** half
    upper = ((n - j) / n) ** half - ((n - j - 1) / n) ** half
    return math.comb(n, half) * lower * upper


def _at_least(count: int, n: int, chance: float) -> float:
    """Return the probability of at least ``count`` of ``n`` draws that succeed with ``chance`` each."""
    return sum(math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(count, n + 1))


def turns(count: int, things: int = 2) -> list[int]:
    """Return in which order things (0, 1, …) are measured ``count`` times each: A B, B A, A B, …

    Each comes before another as often as after it, so that a steady drift hits all alike; A B A B would favour one.
    """
    forward = list(range(things))
    return [which for turn in range(count) for which in (forward if turn % 2 == 0 else forward[::-1])]
