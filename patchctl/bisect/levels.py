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
    around = [_middle(tuple(values[max(at - BESIDE, 0) : at + BESIDE + 1])) for at in range(len(values))]
    away = [abs(value - middle) for value, middle in zip(values, around, strict=True)]
    usual = sorted(away)[len(away) // 2]
    return [at for at, one in enumerate(away) if one > apart + FAR * usual] if usual else []


@functools.lru_cache(maxsize=2**12)
def _middle(values: tuple[float, ...]) -> float:
    return sorted(values)[len(values) // 2]


class Contrast(NamedTuple):
    """How far the bad level lies above the good one, its standard error, and the logarithm of the likelihood."""

    gap: float
    error: float
    weight: float


def contrasts(values: tuple[float, ...], is_bad: bytes) -> list[Contrast]:
    """Return how looks differ in level, for each speed at which both levels may move together.

    ``is_bad`` is 1 for a look of the bad level and 0 for one of the good level; there are three looks at least, of
    both levels.
    """
    return [_contrast(run, _gains(speed, len(values))[len(values) - 2][2], len(values) - 2)
            for speed, run in zip(SPEEDS, _run(values, is_bad), strict=True)]  # fmt: skip


class Run(NamedTuple):
    """What Kalman's filter made of looks up to one, of their values and of which level each is, and weighed sums.

    From each look is taken what is expected after those before it, which leaves numbers without memory; the same is
    done to which level each look is of, and one is fitted to the other.
    """

    level: float
    yy: float = 0.0
    of: float = 0.0
    xx: float = 0.0
    xy: float = 0.0


def _contrast(run: Run, logs: float, free: int) -> Contrast:
    _, yy, _, xx, xy = run
    rest = yy - xy * xy / xx
    # What rounding leaves of looks that lie on both levels is nothing.
    error = math.sqrt(rest / free / xx) if rest > 1e-18 * yy else 0.0
    weight = 0.5 * (logs - math.log(xx) - free * math.log(max(rest, 1e-20 * yy, 1e-300)))
    return Contrast(xy / xx, error, weight)


def _run(values: tuple[float, ...], is_bad: bytes) -> list[Run]:
    """Return what became of all looks, for each speed: with one more than before, only that has to be run."""
    here = _runs(values)
    if is_bad not in here:
        known = _runs(values[:-1]).get(is_bad[:-1])
        start = 1 if known is None else len(values) - 1
        begun = known or [Run(values[0], of=float(is_bad[0]))] * len(SPEEDS)
        here[is_bad] = [_on(run, speed, values, is_bad, start) for run, speed in zip(begun, SPEEDS, strict=True)]
    return here[is_bad]


@functools.lru_cache(maxsize=16)
def _runs(values: tuple[float, ...]) -> dict[bytes, list[Run]]:  # noqa: ARG001 - what is remembered of these
    """Return what was made of these looks, by which of them are bad."""
    return {}


def _on(run: Run, speed: float, values: tuple[float, ...], is_bad: bytes, start: int) -> Run:
    """Return what becomes of a run with the looks from ``start`` on.

    The level takes a step of variance ``speed`` (of that of a look) between two looks.
    """
    level, yy, of, xx, xy = run
    gains = _gains(speed, len(values))[start - 1 : len(values) - 1]
    for value, now, (gain, share, _) in zip(values[start:], is_bad[start:], gains, strict=True):
        y, x = value - level, now - of
        level += gain * y
        of += gain * x
        yy += share * y * y
        xx += share * x * x
        xy += share * x * y
    return Run(level, yy, of, xx, xy)


_GAINS: dict[float, list[tuple[float, float, float]]] = {speed: [] for speed in SPEEDS}


def _gains(speed: float, count: int) -> list[tuple[float, float, float]]:
    """Return for each of so many looks but the first what the filter makes of it, and perhaps of more.

    Gain, weight, sum of the logarithms of all weights so far. It starts knowing no level.
    """
    found = _GAINS[speed]
    while len(found) < count - 1:
        unsure, _, logs = found[-1] if found else (1.0, 1.0, 0.0)
        whole = unsure + speed + 1.0
        found.append(((unsure + speed) / whole, 1.0 / whole, logs - math.log(whole)))
    return found


def sum_of_logs(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of what these are the logarithms of."""
    top = max(logs)
    return top + math.log(sum(math.exp(one - top) for one in logs))


@functools.lru_cache(maxsize=2**14)
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
