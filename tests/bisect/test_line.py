"""One axis by halves: the answer, the number of tests, and what is broken in between."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.bisect.line import Range, bracket, narrow
from patchctl.bisect.space import Verdict

GOOD, BAD, SKIP = Verdict.GOOD, Verdict.BAD, Verdict.SKIP
LETTER = {"g": GOOD, "b": BAD, "s": SKIP}


def play(truth: list[Verdict], **how: object) -> tuple[Range, list[int]]:
    """Search a line whose every position is known, and return the answer and what was tested, ends left out."""
    known = {0: GOOD, len(truth) - 1: BAD}
    tested: list[int] = []
    while True:
        found = narrow(known, **how)  # type: ignore[arg-type]
        if isinstance(found, Range):
            return found, tested
        assert found not in known
        tested.append(found)
        known[found] = truth[found]


@pytest.mark.parametrize(
    ("line", "good", "bad"),
    [
        ("gb", 0, 1),
        ("ggb", 1, 2),
        ("gbb", 0, 1),
        ("gggbbbb", 2, 3),
        ("gsb", 0, 2),
        ("gsssb", 0, 4),
        ("ggsb", 1, 3),
        ("gsbb", 0, 2),
        ("gssgbb", 3, 4),
        ("ggbsbsbb", 1, 2),
        ("gsgssb", 2, 5),
    ],
)
def test_what_is_left_is_the_last_good_and_the_first_bad_position(line: str, good: int, bad: int) -> None:
    assert play([LETTER[letter] for letter in line])[0] == Range(good, bad)


@given(st.integers(1, 700), st.data())
def test_the_culprit_is_found_within_the_logarithm_whatever_is_cheap(steps: int, data: st.DataObject) -> None:
    turn = data.draw(st.integers(1, steps))
    costs = data.draw(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
    truth = [BAD if at >= turn else GOOD for at in range(steps + 1)]
    found, tested = play(truth, cost=lambda at: costs[at % len(costs)])
    assert found == Range(turn - 1, turn)
    assert len(tested) <= math.ceil(math.log2(steps)) if steps > 1 else not tested


@given(st.integers(2, 400), st.data())
def test_a_broken_range_costs_its_skips_alone_and_only_it_is_left_open(steps: int, data: st.DataObject) -> None:
    turn = data.draw(st.integers(1, steps))
    first = data.draw(st.integers(1, steps - 1))
    broken = range(first, min(first + data.draw(st.integers(0, 50)), steps))
    truth = [SKIP if at in broken else BAD if at >= turn else GOOD for at in range(steps + 1)]
    found, tested = play(truth)
    skips = sum(at in broken for at in tested)
    assert found.good < turn <= found.bad
    assert all(at in broken for at in range(found.good + 1, found.bad))
    assert len(tested) <= math.ceil(math.log2(steps)) + skips


def test_a_long_broken_range_is_not_tested_through() -> None:
    truth = [GOOD] * 100 + [SKIP] * 200 + [BAD] * 100
    found, tested = play(truth)
    assert found == Range(99, 300)
    assert sum(truth[at] is SKIP for at in tested) <= 50


def test_several_broken_ranges_are_told_apart() -> None:
    truth = [GOOD] * 20 + [SKIP] * 20 + [GOOD] * 30 + [BAD] * 10 + [SKIP] * 20 + [BAD] * 20
    assert play(truth)[0] == Range(69, 70)


def test_a_cheap_position_near_the_middle_is_taken_first() -> None:
    truth = [GOOD] * 60 + [BAD] * 41
    _, tested = play(truth, cost=lambda at: 1.0 if at == 43 else 10.0)
    assert tested[0] == 43
    assert play(truth)[1][0] == 50


@given(st.integers(1, 600), st.data())
def test_where_tests_cost_alike_it_looks_where_git_looks(steps: int, data: st.DataObject) -> None:
    turn = data.draw(st.integers(1, steps))
    truth = [BAD if at >= turn else GOOD for at in range(steps + 1)]
    good, bad, expected = 0, steps, []
    while bad - good > 1:
        # git's do_find_bisection on a history without merges.
        expected.append(good + (2 if bad - good == 3 else (bad - good) // 2))
        good, bad = (good, expected[-1]) if truth[expected[-1]] is BAD else (expected[-1], bad)
    assert play(truth, cost=lambda at: 1.0 + at % 3)[1] == expected


def test_a_heavy_last_step_is_tried_soon() -> None:
    truth = [GOOD] * 300 + [BAD]
    assert len(play(truth, last=212)[1]) <= 3
    assert len(play(truth)[1]) >= 8


@given(st.lists(st.sampled_from([GOOD, BAD, SKIP]), min_size=1, max_size=30))
def test_a_bracket_goes_from_good_to_bad_with_nothing_known_inside(verdicts: list[Verdict]) -> None:
    known = dict(enumerate([GOOD, *verdicts, BAD]))
    span = bracket(known)
    assert known[span.good] is GOOD
    assert known[span.bad] is BAD
    assert all(known[at] is SKIP for at in range(span.good + 1, span.bad))


def test_no_good_before_a_bad_position_is_an_error() -> None:
    with pytest.raises(ValueError, match="no good position"):
        bracket({0: BAD, 1: GOOD})
