"""The statistics, by simulation: an interval of 95 % holds in at least 94 % of 2,000 runs, whatever the noise."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.bench.stats import Comparison, compare, rank_interval, resampled_medians, signed_rank_interval, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    Noise = Callable[[random.Random], float]

RUNS = 2000
positive = st.floats(min_value=1e-3, max_value=1e6, allow_nan=False)
series = st.lists(positive, min_size=1, max_size=9)


def quiet(rng: random.Random) -> float:
    return 1 + rng.gauss(0, 0.02)


def lognormal(rng: random.Random) -> float:
    return math.exp(rng.gauss(0, 0.1))


def heavy_tails(rng: random.Random) -> float:
    """Student's t with 2 degrees of freedom, on the logarithm: no variance."""
    return math.exp(0.02 * rng.gauss(0, 1) / math.sqrt(rng.gammavariate(1, 1)))


def hiccups(rng: random.Random) -> float:
    """Something else takes the machine now and then: one measurement in seven is up to several times slower."""
    return (1 + rng.gauss(0, 0.01)) / (1 if rng.random() > 0.15 else 1 + rng.expovariate(1))


def two_clocks(rng: random.Random) -> float:
    return (1.0 if rng.random() < 0.5 else 0.9) * (1 + rng.gauss(0, 0.005))


def one_sided(rng: random.Random) -> float:
    return 1 / (1 + rng.expovariate(20))


NOISES = [quiet, lognormal, heavy_tails, hiccups, two_clocks, one_sided]


def measure(
    rng: random.Random, count: int, ratio: float, noise: Noise, *, drift: float = 0.0, noise_of_b: Noise | None = None
) -> tuple[list[float], list[float]]:
    """Return measurements of A and B, taken in turns on a machine that gets slower by ``drift`` at each."""
    series: tuple[list[float], list[float]] = ([], [])
    for moment, which in enumerate(turns(count)):
        made = (noise_of_b or noise)(rng) if which else noise(rng)
        series[which].append((ratio if which else 1.0) * 100 * made * (1 - drift) ** moment)
    return series


def simulate(count: int, ratio: float, noise: Noise, **more: object) -> tuple[float, Counter[str]]:
    """Return how often the interval holds the true ratio, and how often each verdict came."""
    rng = random.Random(f"{count} {ratio} {noise.__name__} {more}")
    held, verdicts = 0, Counter[str]()
    for _ in range(RUNS):
        found = compare(*measure(rng, count, ratio, noise, **more), higher_is_better=True)  # type: ignore[arg-type]
        held += found.low <= ratio * (1 + 1e-12) and found.high >= ratio * (1 - 1e-12)
        verdicts[found.verdict] += 1
    return held / RUNS, verdicts


@pytest.mark.parametrize("noise", NOISES, ids=lambda it: it.__name__)
@pytest.mark.parametrize("count", [5, 6, 7, 12])
def test_an_interval_of_95_percent_holds_and_nothing_is_called_slower_for_nothing(count: int, noise: Noise) -> None:
    held, verdicts = simulate(count, 1.0, noise)
    assert held >= 0.94
    assert verdicts["slower"] / RUNS < 0.05
    assert verdicts["faster"] / RUNS < 0.05


@pytest.mark.parametrize("noise", [quiet, hiccups], ids=lambda it: it.__name__)
@pytest.mark.parametrize("count", [6, 9])
def test_it_holds_with_more_measurements_and_a_real_change(count: int, noise: Noise) -> None:
    held, _ = simulate(count, 1.3, noise)
    assert held >= 0.94


@pytest.mark.parametrize("drift", [0.002, 0.01])
def test_a_machine_that_gets_slower_all_the_time_misleads_nobody(drift: float) -> None:
    held, verdicts = simulate(5, 1.0, quiet, drift=drift)
    assert held >= 0.94
    assert verdicts["slower"] / RUNS < 0.05


def test_it_holds_when_one_of_the_two_is_twice_as_noisy() -> None:
    held, verdicts = simulate(5, 1.0, lambda rng: 1 + rng.gauss(0, 0.03), noise_of_b=lambda rng: 1 + rng.gauss(0, 0.06))
    assert held >= 0.94
    assert verdicts["slower"] / RUNS < 0.05


def test_a_change_of_ten_percent_is_seen_by_five_measurements_of_two_percent_noise() -> None:
    _, slower = simulate(5, 0.9, quiet)
    _, faster = simulate(5, 1.1, quiet)
    assert slower["slower"] / RUNS > 0.95
    assert faster["faster"] / RUNS > 0.95


def test_the_same_is_called_the_same_when_the_noise_allows() -> None:
    _, verdicts = simulate(5, 1.0, lambda rng: 1 + rng.gauss(0, 0.003))
    assert verdicts["same"] / RUNS > 0.99


@pytest.mark.parametrize(
    "values", [[3.0], [1.0, 4.0], [1.0, 2.0, 7.0], [1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 4.0, 8.0, 9.0]]
)
def test_the_closed_form_is_what_every_resample_gives(values: list[float]) -> None:
    seen = Counter(median(drawn) for drawn in itertools.product(values, repeat=len(values)))
    closed = Counter[float]()
    for value, share in resampled_medians(values):
        closed[value] += share
    assert closed == pytest.approx({value: count / len(values) ** len(values) for value, count in seen.items()})


def test_the_rank_interval_is_the_one_of_the_textbooks() -> None:
    # Five of each: P(U <= 2) = 4/252 is the last below 2.5 %, so the third from each end of the 25 ratios.
    a, b = [1.0, 2.0, 4.0, 8.0, 16.0], [3.0, 5.0, 7.0, 11.0, 13.0]
    ratios = sorted(y / x for x in a for y in b)
    assert rank_interval(a, b, 0.025) == (ratios[2], ratios[-3])
    assert rank_interval(a, b, 1 / 252) == (ratios[0], ratios[-1])


def test_three_of_each_cannot_tell_and_say_so() -> None:
    assert compare([1, 1.01, 1.02], [9, 9.1, 9.2], higher_is_better=True) == Comparison(
        9.1 / 1.01, 0.0, math.inf, "unknown"
    )
    assert compare([1, 1.01, 1.02, 1.03], [9, 9.1, 9.2, 9.3], higher_is_better=True).verdict == "faster"
    assert compare([1, 1.1, 1.2, 1.3, 1.4], [9, 9.1, 9.2, 9.3, 9.4], confidence=0.999, higher_is_better=True).low == 0


def test_better_is_what_the_caller_says() -> None:
    a, b = [1.0, 1.01, 1.02, 1.03, 1.04], [2.0, 2.01, 2.02, 2.03, 2.04]
    assert compare(a, b, higher_is_better=True).verdict == "faster"
    assert compare(a, b, higher_is_better=False).verdict == "slower"
    assert compare(b, a, higher_is_better=True).verdict == "slower"
    assert compare(b, a, higher_is_better=False).verdict == "faster"


def test_a_change_that_nobody_cares_about_is_the_same_though_it_is_certain() -> None:
    a, b = [100.0, 100.1, 100.2, 100.3, 100.4], [101.0, 101.1, 101.2, 101.3, 101.4]
    assert compare(a, b, higher_is_better=True).verdict == "same"
    assert compare(a, b, threshold=0.001, higher_is_better=True).verdict == "faster"


@pytest.mark.parametrize(("a", "b"), [([], [1.0]), ([1.0], []), ([0.0], [1.0]), ([1.0], [-1.0]), ([1.0], [math.nan])])
def test_what_is_no_measurement_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="measure"):
        compare(a, b, higher_is_better=True)


@given(series, series)
def test_the_ratio_lies_in_its_interval(a: list[float], b: list[float]) -> None:
    found = compare(a, b, higher_is_better=True)
    assert found.low <= found.ratio * (1 + 1e-9)
    assert found.high >= found.ratio * (1 - 1e-9)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_the_order_of_turns_does_not_count(turns_taken: list[tuple[float, float]], rng: random.Random) -> None:
    mixed = rng.sample(turns_taken, len(turns_taken))
    one, other = (
        compare([a for a, _ in some], [b for _, b in some], higher_is_better=True) for some in (turns_taken, mixed)
    )
    assert one == other


@given(st.lists(positive, min_size=1, max_size=5), series)
def test_without_enough_turns_no_order_counts(a: list[float], b: list[float]) -> None:
    assert compare(a[::-1], sorted(b), higher_is_better=True) == compare(a, b, higher_is_better=True)


def test_a_machine_whose_speed_wanders_hides_little_when_turns_are_compared() -> None:
    rng = random.Random(1)
    verdicts, held = Counter[str](), 0
    for _ in range(300):
        speed, series = 1.0, ([], [])  # type: tuple[list[float], list[float]]
        for which in turns(20):
            speed *= math.exp(rng.gauss(0, 0.03))
            series[which].append(100 * speed * (1 + rng.gauss(0, 0.005)))
        found = compare(*series, threshold=0.05, higher_is_better=True)
        verdicts[found.verdict] += 1
        held += found.low <= 1 <= found.high
    assert verdicts["same"] > 270
    assert held / 300 >= 0.94


def test_the_signed_rank_interval_is_the_one_of_the_textbooks() -> None:
    # Six: P(W <= 0) = 1/64 is the last below 2.5 %; ten: P(W <= 8) = 25/1024.
    assert signed_rank_interval([3.0, 1.0, 4.0, 1.5, 9.0, 2.6], 0.025) == (1.0, 9.0)
    values = [float(2**k) for k in range(10)]
    middles = sorted((x + y) / 2 for x, y in itertools.combinations_with_replacement(values, 2))
    assert signed_rank_interval(values, 0.025) == (middles[8], middles[-9])
    assert signed_rank_interval([1.0] * 5, 0.025) == (-math.inf, math.inf)


@given(series, series)
def test_a_against_b_is_b_against_a_the_other_way_round(a: list[float], b: list[float]) -> None:
    one, other = compare(a, b, higher_is_better=True), compare(b, a, higher_is_better=True)
    if one.low:
        assert one.low == pytest.approx(1 / other.high)
        assert one.high == pytest.approx(1 / other.low)


def test_each_goes_first_as_often_as_the_other() -> None:
    assert turns(4) == [0, 1, 1, 0, 0, 1, 1, 0]
    assert turns(5).count(0) == turns(5).count(1) == 5
