from __future__ import annotations

from typing import Any

import pytest

from patchctl.errors import Code
from patchctl.smoke.beside import Probed, exit_code
from patchctl.smoke.result import Result


def probed(unpatched: str | None, patched: str | None, problem: str = "") -> Probed:
    def result(word: Any) -> Result | None:
        return Result("probe-x", "cpu", word, f"it did {word}\nmore", 0.1, "log") if word else None

    return Probed("x", "cpu", result(unpatched), result(patched), problem)


@pytest.mark.parametrize(
    ("unpatched", "patched", "verdict", "code", "says"),
    [
        ("fail", "pass", "pass", Code.OK, "fails without the patch, passes with it"),
        ("pass", "pass", "fail", Code.ATTENTION, "passes without the patch: the base has what the patch is for"),
        ("fail", "fail", "fail", Code.TEST, "it did fail"),
        ("pass", "fail", "fail", Code.TEST, "it did fail"),
        ("error", "pass", "error", Code.TEST, "it did error"),
        ("fail", "error", "error", Code.TEST, "it did error"),
        ("skip", "skip", "skip", Code.OK, "it did skip"),
        ("fail", "skip", "skip", Code.OK, "it did skip"),
        ("skip", "error", "error", Code.TEST, "it did error"),
    ],
)
def test_a_probe_must_fail_without_and_pass_with(
    unpatched: str, patched: str, verdict: str, code: Code, says: str
) -> None:
    one = probed(unpatched, patched)
    assert (one.verdict, exit_code([one])) == (verdict, code)
    assert one.says.startswith(says)
    assert one.as_object()["unpatched"] == unpatched
    assert one.as_object()["patched"] == patched


def test_a_patch_that_cannot_be_built_alone_is_an_error_in_its_row() -> None:
    one = probed("fail", None, "1 of 1 patches do not apply: x")
    assert (one.verdict, one.says, exit_code([one])) == ("error", "1 of 1 patches do not apply: x", Code.TEST)
    assert (one.as_object()["patched"], one.as_object()["seen"]["patched"]) == ("error", one.problem)


def test_one_failure_outweighs_what_only_wants_attention() -> None:
    assert exit_code([probed("pass", "pass"), probed("fail", "fail"), probed("fail", "pass")]) == Code.TEST
    assert exit_code([probed("pass", "pass"), probed("fail", "pass")]) == Code.ATTENTION
    assert exit_code([]) == Code.OK
