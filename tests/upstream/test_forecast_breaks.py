"""Where what applies stops to compile: first the ends are asked, then halves; what nobody can tell widens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchctl.series.judge import Outcome
from patchctl.upstream.breaks import Stretch, Tried, breaks, stretches
from patchctl.upstream.forecast import Event, Forecast
from patchctl.upstream.line import Landed
from patchctl.upstream.outlook import Fate, Row, Standing

if TYPE_CHECKING:
    from collections.abc import Sequence


def commits(count: int) -> tuple[Landed, ...]:
    return tuple(Landed(f"{at:040x}", "", at, "Ada", "step") for at in range(count))


def search(answers: Sequence[bool | None]) -> tuple[tuple[int | None, int, bool] | None, list[int]]:
    """Return (good, bad, exact) of what is found, and which commits were asked about, in order."""
    asked: list[int] = []

    def gate(landed: Landed, ids: tuple[str, ...]) -> Tried:
        assert ids == ("one",)
        asked.append(landed.build)
        return Tried(answers[landed.build], f"error at {landed.build}")

    found = list(breaks([Stretch(("one",), commits(len(answers)))], gate))
    if not found:
        return None, asked
    assert found[0].detail == f"error at {found[0].bad.build}"
    return (found[0].good.build if found[0].good else None, found[0].bad.build, found[0].exact), asked


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("ggggggg", None),
        ("gggbbbb", (2, 3, True)),
        ("gbbbbbb", (0, 1, True)),
        ("ggggggb", (5, 6, True)),
        ("bbbbbbb", (None, 0, True)),
        ("g??b", (0, 3, False)),
        ("gg?bb", (1, 3, False)),
        ("?ggbb?", (2, 3, True)),
        ("?bb", (None, 1, False)),
        ("???", None),
        ("gbg", None),
        ("g", None),
        ("b", (None, 0, True)),
    ],
)
def test_the_bracket_is_as_narrow_as_can_be_told(answers: str, expected: tuple[int | None, int, bool] | None) -> None:
    assert search([{"g": True, "b": False, "?": None}[one] for one in answers])[0] == expected


@given(st.integers(2, 600).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count - 1))))
@settings(database=None, deadline=None)
def test_the_first_that_does_not_compile_is_found_in_few_steps(line: tuple[int, int]) -> None:
    count, first = line
    found, asked = search([at < first for at in range(count)])
    assert found == (first - 1, first, True)
    assert len(asked) == len(set(asked)) <= count.bit_length() + 2


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=30))
@settings(database=None, deadline=None)
def test_what_is_claimed_was_seen(answers: list[bool | None]) -> None:
    found, asked = search(answers)
    assert len(asked) == len(set(asked)), "nothing is asked twice"
    if found is not None:
        good, bad, exact = found
        assert answers[bad] is False
        assert good is None or (good < bad and answers[good] is True)
        assert exact == (bad == 0 if good is None else bad - good == 1)
        assert all(answers[at] is None for at in range((-1 if good is None else good) + 1, bad))


def test_a_stretch_ends_where_other_patches_apply() -> None:
    line = commits(6)
    row = Row({"one": Fate(Outcome.CLEAN), "two": Fate(Outcome.ABSORBED)}, {})

    def event(at: int, patch: str | None, after: Standing, *, alone: bool = False) -> Event:
        return Event(line[at].oid, at, "", "", None, patch, alone, Standing.APPLIES, after)

    events = (
        event(1, "one", Standing.CONFLICT, alone=True), event(2, "one", Standing.CONFLICT),
        event(2, "two", Standing.APPLIES), event(2, None, Standing.CONFLICT),
        event(4, "two", Standing.BLOCKED), event(5, "one", Standing.APPLIES),
    )  # fmt: skip
    found = stretches(Forecast("", 0, "", 5, 5, 0, row, row, events), line)
    assert [(part.patches, [one.build for one in part.commits]) for part in found] == [
        (("one",), [0, 1]), (("two",), [2, 3]), (("one",), [5]),
    ]  # fmt: skip
