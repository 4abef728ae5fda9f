from __future__ import annotations

import click
import pytest

from patchctl.errors import Code, InvalidError, PatchctlError, Problem, closest


def test_each_kind_of_failure_has_its_exit_code() -> None:
    assert {code.name: code.value for code in Code} == {
        "OK": 0, "UNEXPECTED": 1, "USAGE": 2, "INVALID": 3, "CONFLICT": 4, "BUILD": 5, "TEST": 6, "NETWORK": 7,
        "POLICY": 8, "ENVIRONMENT": 9, "ATTENTION": 10, "SKIP": 125, "INTERRUPTED": 130,
    }  # fmt: skip


def test_a_failure_carries_its_line_and_code() -> None:
    error = PatchctlError(Code.NETWORK, "no answer")
    assert isinstance(error, click.ClickException)
    assert (error.exit_code, error.message, type(error.exit_code)) == (7, "no answer", int)


@pytest.mark.parametrize(
    ("problem", "shown"),
    [
        (Problem("a.yaml", 9, 5, 'unknown key "x"'), 'a.yaml:9:5: unknown key "x"'),
        (Problem("a.yaml", 0, 0, "is empty"), "a.yaml: is empty"),
    ],
)
def test_a_problem_reads_as_editors_want_it(problem: Problem, shown: str) -> None:
    assert str(problem) == shown


def test_all_problems_are_told_in_order() -> None:
    problems = [Problem("b", 2, 1, "two"), Problem("b", 10, 1, "ten"), Problem("a", 3, 1, "three")]
    error = InvalidError(sorted(problems))
    assert error.message.splitlines() == ["a:3:1: three", "b:2:1: two", "b:10:1: ten"]
    assert error.exit_code == Code.INVALID
    assert len(error.problems) == 3


def test_the_nearest_word_is_suggested_and_no_far_one() -> None:
    assert closest("retyre", ["retire", "keep"]) == '; did you mean "retire"?'
    assert closest("zzz", ["retire", "keep"]) == ""
    assert closest("x", []) == ""
