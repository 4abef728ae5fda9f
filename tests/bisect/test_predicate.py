"""What a command says: exit codes as ``git bisect run`` takes them, numbers in what it prints."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from patchctl.bisect.predicate import AbortError, CommandTest, Seen, find_program, judged, matched, measured
from patchctl.bisect.space import Verdict
from patchctl.errors import Code
from patchctl.smoke.install import Install

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0, "good"), (1, "bad"), (124, "bad"), (125, "skip"), (126, "bad"), (127, "bad"),
        (-signal.SIGSEGV, "bad"), (128 + signal.SIGABRT, "bad"),
    ],
)  # fmt: skip
def test_exit_codes_are_those_of_git_bisect_run(status: int, verdict: str) -> None:
    assert judged(status, "").verdict.value == verdict


@pytest.mark.parametrize("status", [128, 200, 255, -signal.SIGTERM, -signal.SIGKILL, 128 + signal.SIGINT])
def test_what_ends_a_command_from_outside_is_no_verdict(status: int) -> None:
    with pytest.raises(AbortError) as caught:
        judged(status, "")
    assert caught.value.exit_code == Code.ENVIRONMENT  # 6 is what --try ends with where a point is bad


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"tg128": 41.5}', 41.5),
        ('loading…\n{"runs": [{"tg128": 1.0}, {"tg128": 2e1}]}\ndone', 20.0),
        ('{"tg128": 1}\n{"tg128": 2}\n', 2.0),
        ("tg128: 41.5 t/s", 41.5),
        ("tg128 = -3\ntg128 = 7", 7.0),
        ("| tg128 | 12.5 |", 12.5),
        ('{"tg128": true}', None),
        ('{"tg128": NaN}', None),
        ("xtg128: 5", None),
        ("tg1281: 5", None),
        ("tg128", None),
        ("", None),
    ],
)
def test_the_last_number_printed_for_a_metric_counts(text: str, value: float | None) -> None:
    assert measured(text, "tg128") == value


def test_only_a_failure_that_says_it_is_bad() -> None:
    failed = judged(1, "exit 1")
    assert matched(failed, r"wrong \w+", "a\nwrong answer\nb") == Seen(Verdict.BAD, "wrong answer")
    assert matched(failed, "^wrong", "not wrong").verdict is Verdict.SKIP


def test_a_program_is_what_the_word_means_where_the_bisect_was_started(tmp_path: Path) -> None:
    check = tmp_path / "check.sh"
    check.write_text("#!/bin/sh\n")
    check.chmod(0o755)
    assert find_program("./check.sh", tmp_path) == str(tmp_path / "./check.sh")
    assert find_program("./check.sh", tmp_path.parent) is None
    assert find_program("check.sh", tmp_path) is None
    assert find_program("check.sh", tmp_path.parent, str(tmp_path)) == str(check)
    before = CommandTest(("./check.sh",), tmp_path).key
    check.write_text("#!/bin/sh\nexit 1\n")
    assert CommandTest(("./check.sh",), tmp_path).key != before
    assert CommandTest(("sh", "check.sh"), tmp_path).key != CommandTest(("sh", "check.sh"), tmp_path.parent).key
    assert os.fspath(tmp_path) not in before


def test_a_program_that_is_gone_is_no_verdict(tmp_path: Path) -> None:
    install = Install(tmp_path, "b1", "cpu", "x", 1, "0" * 40, "1" * 40, "key", (), ())
    for word in ("./gone.sh", "gone"):
        with pytest.raises(AbortError, match=f"no program {word}") as caught:
            CommandTest((word,), tmp_path).judge(install, tmp_path / "log")
        assert caught.value.exit_code == Code.ENVIRONMENT
    assert CommandTest(("false",), tmp_path).judge(install, tmp_path / "log").verdict is Verdict.BAD
