"""Which upstream commits explain a conflict: lines are followed through each commit's changes."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchctl.series.explain import PULL_REQUEST, follow, moves, plain


def changes(old: list[str], new: list[str]) -> str:
    """Return what ``git diff -U0`` would print."""
    return "\n".join(difflib.unified_diff(old, new, n=0, lineterm=""))


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Return unique lines, and the same with some removed and some put between."""
    old = [f"line {n}" for n in range(draw(st.integers(1, 30)))]
    new: list[str] = []
    for at, line in enumerate(old):
        new += [f"new {at}.{n}" for n in range(draw(st.integers(0, 2)))]
        if draw(st.integers(0, 4)):
            new.append(line)
    return old, new


@given(edits())
def test_a_line_that_stays_is_found_where_it_went(pair: tuple[list[str], list[str]]) -> None:
    old, new = pair
    found = moves(changes(old, new))
    for at, line in enumerate(old, 1):
        if line in new:
            _, ranges = follow([(at, at)], found)
            assert ranges == [(new.index(line) + 1, new.index(line) + 1)]


@given(edits())
def test_a_line_that_goes_is_touched(pair: tuple[list[str], list[str]]) -> None:
    old, new = pair
    found = moves(changes(old, new))
    for at, line in enumerate(old, 1):
        if line not in new:
            assert follow([(at, at)], found)[0]


def test_a_change_elsewhere_touches_nothing_but_moves_the_range() -> None:
    old = [f"{n}" for n in range(20)]
    hit, ranges = follow([(10, 12)], moves(changes(old, ["a", "b", *old[:18]])))
    assert (hit, ranges) == (False, [(12, 14)])


def test_an_insertion_between_the_lines_of_a_range_touches_it() -> None:
    old = [f"{n}" for n in range(20)]
    assert follow([(10, 11)], moves(changes(old, [*old[:10], "x", *old[10:]])))[0]


def test_a_range_whose_lines_are_replaced_covers_what_came() -> None:
    old = [f"{n}" for n in range(20)]
    new = [*old[:9], "x", "y", "z", *old[11:]]
    assert follow([(10, 11)], moves(changes(old, new))) == (True, [(10, 12)])


def test_text_of_upstream_cannot_steer_a_terminal_or_a_ci_system() -> None:
    assert plain("::error::x\x07\x9b2J\n::y") == r": :error::x\x07\x9b2J\n::y"


@pytest.mark.parametrize(
    ("subject", "number"),
    [
        ("engine : it (#12)", "12"),
        ("sync : it (ggml/12)", None),
        ("it (whisper/12)", None),
        ("it (#0)", None),
        ("it (12)", None),
    ],
)
def test_only_a_pull_request_of_upstream_itself_is_named(subject: str, number: str | None) -> None:
    found = PULL_REQUEST.search(subject)
    assert (found and found[1]) == number
