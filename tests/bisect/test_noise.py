"""Tests that do not always say the same: the mathematics, and whether a stated 95 % is right 95 times in 100."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.bisect.evidence import EndsError, Look, Noisy
from patchctl.bisect.levels import _runs, contrasts, far_off, incomplete_beta, student
from patchctl.bisect.line import Range
from patchctl.bisect.noise import Flaky, Measured, Tally, information, posterior
from patchctl.bisect.search import Found
from patchctl.bisect.space import NONE, Space, State, Verdict
from tests.bisect.oracle import NAMES, Case, following

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchctl.bisect.noise import Model

    # What one look says where so many culprits have come: none at the good end.
    Draw = Callable[[random.Random, int], float]

# --- the mathematics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "free", "expected"),
    [(0.0, 5, 0.5), (2.015, 5, 0.95), (-2.015, 5, 0.05), (1.812, 10, 0.95), (6.314, 1, 0.95), (3.169, 10, 0.995)],
)
def test_students_distribution_is_that_of_the_tables(value: float, free: float, expected: float) -> None:
    assert student(value, free) == pytest.approx(expected, abs=2e-4)


@given(st.floats(0.01, 0.99), st.integers(1, 40), st.integers(1, 40))
def test_the_incomplete_beta_function_is_the_binomial_tail(x: float, a: int, b: int) -> None:
    n = a + b - 1
    tail = sum(math.comb(n, k) * x**k * (1 - x) ** (n - k) for k in range(a, n + 1))
    assert incomplete_beta(x, a, b) == pytest.approx(tail, abs=1e-9)


def test_that_one_source_fails_more_often_is_what_drawing_says() -> None:
    chance = random.Random(1)
    for bads, goods in [((1, 4), (3, 6)), ((0, 3), (2, 2)), ((5, 1), (0, 7))]:
        one, other = (Tally.of([1.0] * hits + [0.0] * misses) for hits, misses in (bads, goods))
        drawn = [
            chance.betavariate(1 + bads[0], 1 + bads[1]) < chance.betavariate(1 + goods[0], 1 + goods[1])
            for _ in range(20_000)
        ]
        assert Flaky().differ(one, other) == pytest.approx(statistics.mean(drawn), abs=0.015)


@given(st.lists(st.lists(st.booleans(), max_size=6), min_size=2, max_size=12), st.integers(1, 5))
def test_probabilities_of_steps_add_up_and_looks_only_tell_where_they_can(looks: list[list[bool]], last: int) -> None:
    tallies = [Tally.of(map(float, some)) for some in looks]
    for model in (Flaky(), Measured(1)):
        steps = posterior(model, tallies, Tally.of([0.0]), Tally.of([1.0]), last=last)
        assert sum(step.share for step in steps) == pytest.approx(1.0)
        assert len(steps) == len(looks) - 1
        assert min(information(model, steps, 0.1)) >= -1e-9


def test_no_look_leaves_every_step_alike() -> None:
    steps = posterior(Flaky(), [Tally()] * 9, Tally.of([0, 0]), Tally.of([1, 1]))
    assert {round(step.share, 9) for step in steps} == {0.125}


def test_a_look_in_the_middle_tells_most_when_nothing_is_known() -> None:
    steps = posterior(Flaky(), [Tally()] * 9, Tally.of([0] * 9), Tally.of([1] * 9))
    told = information(Flaky(), steps, 0.0)
    assert max(range(9), key=told.__getitem__) == 4


@pytest.mark.parametrize("noise", [0.0, 0.001])
def test_without_noise_a_measurement_is_searched_by_halves(noise: float) -> None:
    """Also where a point near one that is built is five times cheaper."""
    space, asked, chance = Space(128, NONE, NONE), [], random.Random(1)
    evidence = Noisy(model=Measured(1), confidence=0.95, one_part=True)
    evidence.cost = lambda state: 0.2 + 0.8 * min(min((abs(state.at - other.at) for other in asked), default=9) / 10, 1)
    while isinstance(found := ask(space, evidence), State):
        see(evidence, found, (1.1 if found.at >= 77 else 1.0) + chance.gauss(0, noise))
        asked.append(found)
    assert isinstance(found, Found)
    assert found.steps == Range(76, 77)
    assert len(asked) <= 6 + 7 + 3  # both ends, halves, looks to be sure


@given(st.integers(0, 8), st.integers(0, 8))
def test_one_failure_shifts_the_blame_to_where_it_failed_and_before(at: int, other: int) -> None:
    looks = [Tally()] * 9
    looks[at] = Tally.of([1.0])
    steps = posterior(Flaky(), looks, Tally.of([0.0] * 20), Tally.of([1.0] * 10 + [0.0] * 10))
    if other < 8:
        before = other + 1 <= at
        assert (steps[other].share > 1 / 8) == before or at in {0, 8}


# --- calibration ------------------------------------------------------------------------------------------------------


def fails(good: float, bad: float) -> Draw:
    """A test that fails so often on good and on bad versions."""
    return lambda chance, culprits: float(chance.random() < good + (bad - good) * culprits)


# Measured: the processor time of 60 runs of a program of 0.08 s on a machine with much else to do, divided by their
# median. Noise with a tail, not a bell.
SPREAD = (
    0.878, 0.908, 0.908, 0.913, 0.914, 0.922, 0.923, 0.929, 0.929, 0.931, 0.932, 0.933, 0.935, 0.940, 0.951, 0.956,
    0.962, 0.965, 0.972, 0.974, 0.974, 0.974, 0.976, 0.984, 0.990, 0.991, 0.994, 0.994, 0.995, 0.995, 1.005, 1.013,
    1.013, 1.016, 1.021, 1.030, 1.031, 1.035, 1.038, 1.041, 1.048, 1.049, 1.057, 1.058, 1.061, 1.063, 1.071, 1.081,
    1.086, 1.095, 1.169, 1.171, 1.173, 1.181, 1.312, 1.337, 1.402, 1.403, 1.420, 1.455,
)  # fmt: skip


def slower(share: float) -> Draw:
    """A measurement in tokens per second that falls by a share, spread as measured."""
    return lambda chance, culprits: (1 - share * culprits) * 100 / chance.choice(SPREAD)


# Measured in this order, good and bad builds in turns: processor time of a loop of 0.1 s on two processors on which
# ten processes wanted to run, divided by the median of its end. It varies by 23 %, and what is slow stays slow a while.
BUSY = (
    1.43, 1.56, 1.53, 1.49, 1.58, 1.46, 1.55, 1.43, 1.42, 1.43, 1.66, 1.48, 1.59, 1.57, 1.50, 1.50, 1.42, 1.49,
    1.52, 1.44, 1.60, 1.54, 1.56, 1.44, 1.37, 1.64, 1.54, 1.53, 1.12, 1.00, 1.58, 0.93, 0.92, 1.21, 0.87, 1.62,
    1.19, 0.88, 1.13, 1.03, 1.01, 1.28, 1.49, 1.24, 1.32, 1.16, 1.06, 1.09, 1.03, 1.10, 1.21, 1.14, 0.98, 1.21,
    1.29, 1.10, 1.04, 1.42, 1.70, 1.56, 1.01, 1.04, 1.06, 1.46, 1.67, 1.60, 1.14, 1.00, 1.10, 1.05, 1.07, 1.11,
    1.18, 0.94, 1.01, 1.58, 1.64, 1.62, 1.24, 0.99, 1.01, 1.03, 1.03, 0.95, 1.36, 1.34, 0.98, 1.56, 1.29, 1.08,
    1.01, 1.53, 1.44, 1.47, 1.65, 1.20, 1.46, 1.54, 1.37, 1.13, 0.96, 1.50, 1.43, 1.56, 1.29, 1.42, 1.50, 1.55,
    1.49, 1.33, 0.98, 0.95, 1.21, 1.00, 0.99, 1.01, 1.14, 1.55, 1.26, 0.92, 1.45, 0.95, 1.31, 1.69, 1.14, 0.88,
    0.99, 0.92, 1.13, 1.13, 1.51, 1.18, 1.06, 1.07, 0.98, 0.94, 1.40, 1.45, 1.51, 1.51, 1.29, 1.71, 1.31, 0.97,
    0.95, 0.97, 0.97, 0.82, 0.93, 1.01, 1.32, 0.95, 1.17, 1.57, 1.52, 1.36, 0.91, 0.91, 0.97, 1.24, 0.99, 1.19,
    0.86, 1.05, 0.97, 1.25, 0.95, 0.98, 1.04, 0.91, 1.08, 1.20, 0.98, 0.97, 0.99, 0.90, 0.90, 0.93, 1.02, 0.96,
    0.97, 0.93, 0.88, 0.86, 0.85, 0.89, 0.86, 0.85, 0.96, 0.91, 0.93, 1.15, 0.93, 0.94, 1.18, 1.26, 1.03, 1.02,
    1.05, 1.58, 1.40, 0.99, 0.89, 0.87, 0.86, 0.89, 1.32, 1.13, 0.91, 0.95, 0.99, 1.01, 0.85, 0.91, 0.93, 0.96,
    0.87, 1.00, 0.90, 1.03, 0.83, 1.10, 0.94, 0.82, 0.90, 1.00, 1.05, 1.63, 1.61, 0.88, 1.25, 0.85, 0.89, 1.29,
    0.95, 0.88, 0.97, 0.98, 1.21, 0.82,
)  # fmt: skip


def odd(share: float) -> Draw:
    """Seconds that rise by a share and spread by 4 %; one look in ten takes 1.5 to 4 times as long."""

    def draw(chance: random.Random, culprits: int) -> float:
        return (1 + share * culprits) * chance.gauss(1, 0.04) * (chance.uniform(1.5, 4) if chance.random() < 0.1 else 1)

    return draw


@dataclass
class Wandering:
    """Seconds that rise by a share on a machine whose speed moves by 2 % from look to look, and comes back slowly."""

    share: float
    at: float = 0.0

    def __call__(self, chance: random.Random, culprits: int) -> float:
        self.at = 0.99 * self.at + chance.gauss(0, 0.02)
        return (1 + self.share * culprits) * math.exp(self.at + chance.gauss(0, 0.04))


@dataclass
class Phases:
    """Seconds that rise by a share on a machine that is a third slower for some 25 looks, then is not."""

    share: float
    slow: bool = False

    def __call__(self, chance: random.Random, culprits: int) -> float:
        self.slow ^= chance.random() < 0.04
        return (1 + self.share * culprits) * (1.3 if self.slow else 1.0) * chance.gauss(1, 0.05)


@dataclass
class Replayed:
    """Seconds that rise by a share, spread as measured, in the order in which it was measured."""

    share: float
    at: int | None = None

    def __call__(self, chance: random.Random, culprits: int) -> float:
        self.at = chance.randrange(len(BUSY)) if self.at is None else (self.at + 1) % len(BUSY)
        return (1 + self.share * culprits) * BUSY[self.at]


@dataclass(frozen=True)
class Setting:
    """``noise`` begins anew for each run: what it has a memory of is its own; ``runs`` are those of this file's test,
    none where one takes seconds.

    ``parts`` is what the answer has to name: commits alone, or patches too, looked for among 8 on both axes.
    """

    model: Model
    noise: Callable[[], Draw]
    runs: int
    parts: str = "a commit"


SETTINGS = {
    "fails 30 % where bad, never where good": Setting(Flaky(), lambda: fails(0.0, 0.3), 450),
    "fails 70 % where bad, never where good": Setting(Flaky(), lambda: fails(0.0, 0.7), 500),
    "fails always where bad, 30 % where good": Setting(Flaky(), lambda: fails(0.3, 1.0), 500),
    "says the wrong thing 30 % of the time": Setting(Flaky(), lambda: fails(0.3, 0.7), 350),
    "10 % slower under measured noise": Setting(Measured(-1), lambda: slower(0.1), 50),
    "10 % slower, one look in ten far off": Setting(Measured(1), lambda: odd(0.1), 50),
    "10 % slower, the machine's speed wanders": Setting(Measured(1), lambda: Wandering(0.1), 60),
    "10 % slower, the machine a third slower at times": Setting(Measured(1), lambda: Phases(0.1), 20),
    "20 % slower on a busy machine, replayed": Setting(Measured(1), lambda: Replayed(0.2), 18),
    "fails 30 % more at each of two commits": Setting(Flaky(), lambda: fails(0.0, 0.3), 40, "two commits"),
    "10 % slower at each of two commits, measured noise": Setting(Measured(-1), lambda: slower(0.1), 12, "two commits"),
    "fails 30 %: a patch": Setting(Flaky(), lambda: fails(0.0, 0.3), 20, "a patch"),
    "fails 30 %: two patches together": Setting(Flaky(), lambda: fails(0.0, 0.3), 8, "two patches"),
    "fails 30 %: a patch with a commit": Setting(Flaky(), lambda: fails(0.0, 0.3), 20, "a patch with a commit"),
    "10 % slower, measured noise: a patch": Setting(Measured(-1), lambda: slower(0.1), 0, "a patch"),
    "10 % slower, measured noise: two patches together": Setting(Measured(-1), lambda: slower(0.1), 0, "two patches"),
    "10 % slower, measured noise: a patch with a commit":
        Setting(Measured(-1), lambda: slower(0.1), 0, "a patch with a commit"),
    "10 % slower, the speed wanders: a patch": Setting(Measured(1), lambda: Wandering(0.1), 20, "a patch"),
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    right: bool | None  # None: it did not answer
    looks: int


MOST = 700  # looks after which nobody waits for an answer; patches take more


def planted(parts: str, chance: random.Random, steps: int) -> list[Case]:
    """Return what is to be found: where there are two, each is a right answer."""
    if "patch" not in parts:
        turns = {chance.randint(1, steps) for _ in range(2 if parts == "two commits" else 1)}
        return [Case(Space(steps, NONE, NONE), "upstream", turn) for turn in turns]
    names = NAMES[:8]
    blamed = tuple(sorted(chance.sample(names, 2 if parts == "two patches" else 1)))
    step = chance.randint(1, steps) if "commit" in parts else None
    good = frozenset(names) if "commit" in parts else NONE
    return [Case(Space(steps, good, frozenset(names), tuple(names)), parts, step, blamed)]


def simulate(setting: Setting, seed: int, steps: int = 8, confidence: float = 0.95) -> Ended:
    chance = random.Random(seed)
    cases = planted(setting.parts, chance, steps)
    alone = "patch" not in setting.parts
    evidence = Noisy(model=setting.model, confidence=confidence, one_part=alone)
    looks, draw = 0, setting.noise()
    while looks < (MOST if alone else 3 * MOST):
        needed = ask(cases[0].space, evidence)
        if not isinstance(needed, State):
            right = any(case.right(needed) for case in cases) if isinstance(needed, Found) else None
            return Ended(right, looks)
        see(evidence, needed, draw(chance, sum(case.is_bad(needed) for case in cases)))
        looks += 1
    return Ended(None, looks)


def ask(space: Space, evidence: Noisy) -> Found | State | str:
    """Return the answer, the point that is needed, or why the ends are none."""
    try:
        return following(space, evidence)
    except EndsError as ends:
        return ends.why


CLOCK = itertools.count()


def see(evidence: Noisy, state: State, value: float) -> None:
    evidence.add(state, Look(Verdict.BAD if value else Verdict.GOOD, value, float(next(CLOCK))))


def lower_bound(right: int, of: int, sure: float = 0.95) -> float:
    """Return the one-sided lower bound of a share (Clopper and Pearson)."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        at_least = incomplete_beta(middle, right, of - right + 1)
        low, high = (middle, high) if at_least < 1 - sure else (low, middle)
    return low


def test_over_2000_simulations_a_stated_95_percent_is_right_at_least_94_times_in_100() -> None:
    played = {name: setting for name, setting in SETTINGS.items() if setting.runs}
    ended = {name: [simulate(setting, seed) for seed in range(setting.runs)] for name, setting in played.items()}
    answered = {name: [one for one in some if one.right is not None] for name, some in ended.items()}
    everything = list(itertools.chain.from_iterable(answered.values()))
    assert len(everything) >= 2000
    assert lower_bound(sum(bool(one.right) for one in everything), len(everything)) >= 0.94
    for name, some in answered.items():
        assert len(some) >= 0.97 * len(ended[name]), name
        assert sum(bool(one.right) for one in some) >= 0.94 * len(some), name
        assert statistics.mean(one.looks for one in some) < (330 if "patch" in SETTINGS[name].parts else 160), name


def test_a_test_that_always_says_the_same_needs_few_repeats() -> None:
    looks = [simulate(Setting(Flaky(), lambda: fails(0.0, 1.0), 1), seed, steps=256).looks for seed in range(20)]
    assert statistics.mean(looks) < 30


def test_more_confidence_takes_more_looks() -> None:
    setting = SETTINGS["fails 70 % where bad, never where good"]
    less, more = (
        statistics.mean(simulate(setting, seed, confidence=confidence).looks for seed in range(40))
        for confidence in (0.7, 0.999)
    )
    assert less < more


@pytest.mark.parametrize("values", [(100.0, 80.0), (0.1, 0.3)])
def test_looks_that_cost_nothing_do_not_keep_it_from_an_answer(values: tuple[float, float]) -> None:
    space, asked = Space(47, NONE, NONE), 0
    model = Measured(1 if values[1] > values[0] else -1)
    evidence = Noisy(cost=lambda state: 1e-6 if evidence.looks[state] else 1.0, model=model, confidence=0.95)
    points = set()
    while isinstance(found := ask(space, evidence), State):
        see(evidence, found, values[found.at >= 20])
        points.add(found)
        asked += 1
        assert asked < 40
    assert len(points) <= 10
    assert isinstance(found, Found)
    assert found.steps == Range(19, 20)


def test_cheap_looks_are_not_taken_where_they_tell_little() -> None:
    counts = []
    for seed in range(12):
        chance, space, taken = random.Random(seed), Space(40, NONE, NONE), 0
        step = chance.randint(1, 40)
        evidence = Noisy(model=Flaky(), confidence=0.95, one_part=True)
        evidence.cost = lambda state, seen=evidence.looks: 0.01 if seen.get(state) else 1.0  # type: ignore[misc]
        while isinstance(found := ask(space, evidence), State):
            see(evidence, found, fails(0.0, 0.3)(chance, found.at >= step))
            taken += 1
        counts.append(taken)
    assert statistics.mean(counts) < 170


# --- what is not guessed ----------------------------------------------------------------------------------------------


def ends_of(draw: Draw, model: Model, seed: int) -> str:
    chance, space = random.Random(seed), Space(20, NONE, NONE)
    evidence = Noisy(model=model, confidence=0.95, one_part=True)
    needed = ask(space, evidence)
    while isinstance(needed, State) and needed.at in {0, 20}:
        see(evidence, needed, draw(chance, needed.at == 20))
        needed = ask(space, evidence)
    return needed if isinstance(needed, str) else "told apart"


def test_ends_that_are_alike_are_not_told_apart() -> None:
    kinds: list[tuple[Callable[[], Draw], Model]] = [
        (lambda: fails(0.3, 0.3), Flaky()), (lambda: slower(0.0), Measured(-1)), (lambda: odd(0.0), Measured(1)),
        (lambda: Wandering(0.0), Measured(1)), (lambda: Phases(0.0), Measured(1)), (lambda: Replayed(0.0), Measured(1)),
    ]  # fmt: skip
    for noise, model in kinds:
        words = [ends_of(noise(), model, seed) for seed in range(12)]
        assert words.count("agree") >= 11


def test_levels_that_move_together_are_no_difference_and_hide_none() -> None:
    """The machine's speed halves and comes back; what is 10 % slower is so all the time."""
    when = range(48)
    speeds = [(1.5 + 0.5 * math.sin(at / 8)) * (1 + 0.01 * (at * 7 % 5)) for at in when]
    values = [speed * (1.1 if at % 2 else 1.0) for at, speed in enumerate(speeds)]
    for seen, least, most in ((values, 0.9999, 1.0), (speeds, 0.01, 0.99)):
        good, bad = (Tally.of(seen[first::2], when[first::2]) for first in (0, 1))
        assert least <= Measured(1).differ(good, bad) <= most
    early, late = Tally.of(speeds[:24], when[:24]), Tally.of(speeds[24:], when[24:])
    assert 0.01 < Measured(1).differ(early, late) < 0.99


def test_looks_one_by_one_come_to_what_all_at_once_do_and_tell_how_fast_levels_move() -> None:
    chance, is_bad = random.Random(1), bytes(at % 2 for at in range(60))
    still = tuple(chance.gauss(10, 1) for _ in is_bad)
    moving = tuple(itertools.accumulate(chance.gauss(0, 5) for _ in is_bad))
    for values, fastest in ((still, 0), (moving, 3)):
        one_by_one = [contrasts(values[:count], is_bad[:count]) for count in range(4, 61)][-1]
        _runs.cache_clear()
        assert contrasts(values, is_bad) == one_by_one
        assert max(range(4), key=lambda speed: one_by_one[speed].weight) == fastest


def test_what_is_far_off_counts_for_neither_level() -> None:
    chance = random.Random(3)
    good, bad = (Tally.of([chance.gauss(level, 1) for _ in range(20)], range(first, 40, 2))
                 for first, level in ((0, 100), (1, 110)))  # fmt: skip
    odd = Tally.of([300.0, 20.0], [9.5, 20.5])
    kept = Measured(1).tamed((good, bad, odd), good, bad)
    assert kept == [good, bad, Tally()]
    steps = posterior(Measured(1), [Tally(), odd, Tally()], good, bad)
    assert steps[0].share == pytest.approx(0.5)


def test_a_point_leans_to_where_all_looks_put_it() -> None:
    """Not to where its first look does: a bad point passes 7 times in 10, and one look at it may be all there is."""
    chance, space, asked = random.Random(2), Space(20, NONE, NONE), set()
    evidence = Noisy(model=Flaky(), confidence=0.95, one_part=True)
    while isinstance(needed := ask(space, evidence), State):
        see(evidence, needed, fails(0.0, 0.3)(chance, needed.at >= 13))
        asked.add(needed)
    leaning = {state.at: evidence.leaning(state) for state in asked}
    assert leaning == {at: Verdict.BAD if at >= 13 else Verdict.GOOD for at in leaning}
    assert {evidence.verdict(state) for state in asked if state.at >= 13} == {Verdict.GOOD, Verdict.BAD}
    assert evidence.leaning(State(19, frozenset({"p"}))) is None


def test_a_look_of_the_other_level_is_not_far_off() -> None:
    """However quiet it is: the first look that is bad must count."""
    values = [1.0 + 0.001 * (at * 7 % 5) for at in range(12)]
    values[6] += 0.1
    assert far_off(values, apart=0.1) == []
    assert far_off(values, apart=0.05) == [6]
    assert far_off([1.0] * 6 + [1.1] + [1.0] * 5, apart=0.0) == []  # no noise, so nothing to be far from


def test_no_point_is_measured_twice_running() -> None:
    chance, space, asked = random.Random(5), Space(20, NONE, NONE), []
    evidence = Noisy(model=Measured(1), confidence=0.95, one_part=True)
    draw = Wandering(0.1)
    while isinstance(needed := ask(space, evidence), State):
        see(evidence, needed, draw(chance, needed.at >= 13))
        asked.append(needed)
    inside = [at for at, state in enumerate(asked) if state.at not in {0, 20}]
    assert len(inside) > 8
    assert not any(asked[at] == asked[at - 1] for at in inside)


def test_an_improvement_is_no_regression() -> None:
    assert {ends_of(fails(0.7, 0.1), Flaky(), seed) for seed in range(20)} == {"swapped"}
    assert {ends_of(slower(-0.2), Measured(-1), seed) for seed in range(20)} == {"swapped"}
    assert {ends_of(slower(-0.2), Measured(1), seed) for seed in range(20)} == {"told apart"}


def test_a_change_below_the_threshold_does_not_count() -> None:
    words = [ends_of(slower(0.04), Measured(-1, 0.1), seed) for seed in range(20)]
    assert set(words) <= {"small", "agree"}
    assert ends_of(slower(0.3), Measured(-1, 0.1), 1) == "told apart"


def test_what_counts_and_what_does_not_is_said_only_beyond_doubt() -> None:
    """A fall of 6 % is never taken for one of less than 5 %: what looks do not tell is not said."""

    def words(fall: float) -> list[str]:
        def draw(chance: random.Random, culprits: int) -> float:
            return 100 * (1 - fall * culprits) * chance.gauss(1, 0.03)

        return [ends_of(draw, Measured(-1, 0.05), seed) for seed in range(10)]

    assert set(words(0.0)) == {"small"}
    assert set(words(0.03)) <= {"small", "near"}
    assert words(0.05).count("near") >= 7
    assert set(words(0.065)) <= {"told apart", "near"}
    assert set(words(0.08)) == {"told apart"}
    assert set(words(-0.08)) == {"swapped"}


@pytest.mark.parametrize("worse", [1, -1])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_threshold_is_a_share_of_what_was_good_whatever_its_sign(worse: int, sign: int) -> None:
    def ends(share: float) -> str:
        return ends_of(lambda _, culprits: sign * 100 + worse * 100 * share * culprits, Measured(worse, 0.05), 1)

    assert [ends(share) for share in (0.049, 0.05, 0.051, -0.01, -0.06)] == [
        "small", "told apart", "told apart", "small", "swapped",
    ]  # fmt: skip


@pytest.mark.parametrize("worse", [1, -1])
def test_of_two_levels_that_are_0_neither_is_worse(worse: int) -> None:
    """A share of nothing is nothing; what is beyond doubt alike needs no more looks than at another level."""
    evidence, space = Noisy(model=Measured(worse, 0.05), confidence=0.95, one_part=True), Space(20, NONE, NONE)
    for _ in range(3):
        for state in (space.good_end, space.bad_end):
            see(evidence, state, 0.0)
    assert ask(space, evidence) == "small"


@pytest.mark.parametrize(("good", "bad"), [(0.0, 7.0), (7.0, 0.0), (100.0, 80.0), (-7.0, 0.0)])
def test_a_level_of_0_takes_as_few_looks_as_another(good: float, bad: float) -> None:
    """What rounding leaves of a square that is 0 is no reason to look there."""
    case, looks = Case(Space(199, NONE, NONE), "upstream", 76), 0
    evidence = Noisy(model=Measured(1 if bad > good else -1, 0.05), confidence=0.95, one_part=True)
    while not isinstance(needed := ask(case.space, evidence), Found):
        assert isinstance(needed, State)
        see(evidence, needed, bad if case.is_bad(needed) else good)
        looks += 1
        assert looks <= 16
    assert case.right(needed)


def test_patches_are_found_under_noise_too() -> None:
    right = 0
    for seed in (*range(20), 23, 45):
        chance = random.Random(seed)
        culprit = tuple(sorted(chance.sample(NAMES[:8], 1 + seed % 2)))
        case = Case(Space(0, NONE, frozenset(NAMES[:8]), tuple(NAMES[:8])), "patch", None, culprit)
        evidence = Noisy(model=Flaky(), confidence=0.95)
        draw = fails(0.0, 0.6)
        while isinstance(needed := ask(case.space, evidence), State):
            see(evidence, needed, draw(chance, case.is_bad(needed)))
            assert sum(map(len, evidence.looks.values())) <= 300, seed  # what the ends are not known by ends nothing
        right += isinstance(needed, Found) and needed.patches == culprit
    assert right >= 20


def test_a_look_that_judges_nothing_is_no_number() -> None:
    """A measurement that fails now and then at one end must not read as one of nothing."""
    chance, space = random.Random(4), Space(20, NONE, NONE)
    evidence = Noisy(model=Measured(-1), confidence=0.95, one_part=True)
    needed = ask(space, evidence)
    while isinstance(needed, State) and needed.at in {0, 20}:
        if needed.at == 20 and len(evidence.looks[needed]) % 3 == 1:
            evidence.add(needed, Look(Verdict.SKIP))
        else:
            see(evidence, needed, slower(0.0)(chance, False))
        needed = ask(space, evidence)
    assert needed == "agree"


@pytest.mark.parametrize("where", [0, 20, 13])
def test_what_can_be_tested_no_more_is_skipped_in_the_end(where: int) -> None:
    chance, space = random.Random(4), Space(20, NONE, NONE)
    evidence = Noisy(model=Flaky(), confidence=0.95, one_part=True)
    needed, asked = ask(space, evidence), 0
    while isinstance(needed, State):
        if needed.at == where and evidence.looks[needed]:
            evidence.add(needed, Look(Verdict.SKIP))
        else:
            see(evidence, needed, fails(0.0, 0.6)(chance, needed.at >= 13))
        needed, asked = ask(space, evidence), asked + 1
        assert asked < 300
    if where == 13:
        assert isinstance(needed, Found)
        assert needed.steps == Range(12, 14)
    else:
        assert needed == "skip"


def test_a_broken_range_is_stepped_around_under_noise() -> None:
    chance, space, broken = random.Random(3), Space(30, NONE, NONE), range(10, 20)
    evidence = Noisy(model=Flaky(), confidence=0.95, one_part=True)
    while isinstance(found := ask(space, evidence), State):
        if found.at in broken:
            evidence.add(found, Look(Verdict.SKIP))
        else:
            see(evidence, found, fails(0.0, 0.6)(chance, found.at >= 15))
    assert isinstance(found, Found)
    assert found.steps == Range(9, 20)
    assert all(len(evidence.looks[State(at, NONE)]) <= 1 for at in broken)
