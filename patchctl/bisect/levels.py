"""Two levels that were measured by turns while the machine became faster and slower: how far apart they are. Pure.

What lies beside a look in time is what it is compared with (the local level model; Durbin and Koopman, Time Series
Analysis by State Space Methods, 2012), for each of several speeds at which the levels may move, weighed by
what is seen.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# How far levels may move from one look to the next, as variances in units of that of a look.
SPEEDS = (0.0, 0.01, 0.1, 1.0)
BESIDE = 5  # looks before and after one that are beside it
FAR = 3.7  # times the usual distance from what is beside: 2.5 standard deviations of a bell


def far_off(values: Sequence[float], apart: float) -> list[int]:
    """Return the positions of looks, in the order in which they were taken, that are far from all beside them.

    No look is far that may only be of the other level: ``apart`` is how far apart the levels seem to be.
    """
    around = (sorted(values[max(at - BESIDE, 0) : at + BESIDE + 1]) for at in range(len(values)))
    away = [abs(value - near[len(near) // 2]) for value, near in zip(values, around, strict=True)]
    usual = sorted(away)[len(away) // 2]
    return [at for at, one in enumerate(away) if one > apart + FAR * usual] if usual else []


class Contrast(NamedTuple):
    """How far the bad level lies above the good one, its standard error, and the logarithm of the likelihood."""

    gap: float
    error: float
    weight: float


def contrasts(values: tuple[float, ...], is_bad: Sequence[float]) -> list[Contrast]:
    """Return how looks differ in level, for each speed at which both levels may move together.

    ``is_bad`` is 1.0 for a look of the bad level and 0.0 for one of the good level; there are three looks at least, of
    both levels.
    """
    return [_contrast(values, is_bad, speed) for speed in SPEEDS]


def _contrast(values: tuple[float, ...], is_bad: Sequence[float], speed: float) -> Contrast:
    """Return the contrast when the level takes a step of variance ``speed`` (of that of a look) between two looks.

    From each look is taken what is expected after those before it, which leaves numbers without memory; the same is
    done to which level each look is of, and one is fitted to the other.
    """
    gains = _gains(speed, len(values))
    left, yy = _surprises(values, speed)
    of, xx, xy = is_bad[0], 0.0, 0.0
    for now, y, (gain, share, _) in zip(is_bad[1:], left, gains, strict=True):
        x = now - of
        of += gain * x
        xx += share * x * x
        xy += share * x * y
    free = len(values) - 2
    rest = yy - xy * xy / xx
    # What rounding leaves of looks that lie on both levels is nothing.
    error = math.sqrt(rest / free / xx) if rest > 1e-18 * yy else 0.0
    weight = 0.5 * (gains[-1][2] - math.log(xx) - free * math.log(max(rest, 1e-20 * yy, 1e-300)))
    return Contrast(xy / xx, error, weight)


@functools.lru_cache(maxsize=64)
def _surprises(values: tuple[float, ...], speed: float) -> tuple[list[float], float]:
    """Return each value but the first less what was expected, and the sum of their squares, weighed."""
    level, whole, found = values[0], 0.0, []
    for value, (gain, share, _) in zip(values[1:], _gains(speed, len(values)), strict=True):
        found.append(value - level)
        level += gain * found[-1]
        whole += share * found[-1] * found[-1]
    return found, whole


@functools.lru_cache(maxsize=1024)
def _gains(speed: float, count: int) -> list[tuple[float, float, float]]:
    """Return for each look but the first what Kalman's filter makes of it: gain, weight, sum of logarithms of weights.

    It starts knowing no level.
    """
    unsure, logs, found = 1.0, 0.0, []
    for _ in range(count - 1):
        unsure += speed
        whole = unsure + 1.0
        unsure /= whole
        logs -= math.log(whole)
        found.append((unsure, 1.0 / whole, logs))
    return found


def sum_of_logs(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of what these are the logarithms of."""
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs))


def log_beta(a: float, b: float) -> float:
    """Return the logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


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
    front = math.exp(a * math.log(x) + b * math.log(1 - x) - log_beta(a, b)) / a
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
