"""``patchctl bisect`` with real builds: the answer, what it cost, and that nothing is lost or guessed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.bisect.run import LOOK
from patchctl.bisect.workshop import ROOM
from patchctl.ledger import Ledger
from tests.bisect.world import World, make_world
from tests.test_full_disk import SCRIPT as FULL_DISK
from tests.test_full_disk import can_mount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

COMMITS, STEP, BROKEN = 48, 21, range(33, 37)
NAMES = tuple(f"p{number:02}" for number in range(8))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """An upstream whose commit 21 sets a flag, patches that set theirs; what was built once is built for all tests."""
    folder = tmp_path_factory.mktemp("bisect")
    world = make_world(folder, commits=COMMITS, patches=len(NAMES), culprit="0", step=STEP, broken=BROKEN, same=[20])
    world.stack("bare", 1, [])
    world.stack("old", 1, NAMES)
    world.stack("new", COMMITS, NAMES)
    world.stack("none", COMMITS, [])
    world.stack("here", 1, NAMES[:4])
    world.stack(
        "late", COMMITS, NAMES, "tests: [{name: flag-off, command: {run: ['{bin}/engine'], output: 'upstream=0'}}]"
    )
    return world, folder / "cache"


@pytest.fixture
def world(made: tuple[World, Path], monkeypatch: pytest.MonkeyPatch) -> World:
    world, cache = made
    monkeypatch.setenv("PATCHCTL_CACHE", str(cache))
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    monkeypatch.setattr("patchctl.bisect.workshop.KEPT", 10_000)  # what one test built, the next need not
    return world


@pytest.fixture
def bisect(world: World, patchctl: Patchctl) -> Patchctl:
    def call(*words: object) -> Any:
        return patchctl("bisect", *words, cwd=world.workspace)

    return call


def script(folder: Path, text: str, name: str = "check.sh") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def bad_when(folder: Path, pattern: str) -> Path:
    return script(folder, f"engine | grep -Eq '{pattern}' && exit 1\nexit 0")


def answer(ran: Any) -> dict[str, Any]:
    return json.loads(ran.stdout)


UPSTREAM = ("--good", "bare", "--bad", "none")


# --- the answer -------------------------------------------------------------------------------------------------------


def test_the_commit_is_named_with_all_that_a_person_wants(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = bad_when(tmp_path, "upstream=1")
    ran = bisect("--json", *UPSTREAM, "--", check)
    assert ran.code == 0, ran
    found = answer(ran)
    (commit,) = found["culprit"]["commits"]
    assert (found["culprit"]["kind"], found["culprit"]["ids"]) == ("upstream", [world.base(STEP)])
    assert (commit["build"], commit["subject"], commit["pr"]) == (STEP, "engine : step 21 (#21)", "#21")
    assert commit["author"] == "Ada Author <ada@example.invalid>"
    assert commit["stat"] == "2 files changed, 3 insertions(+), 3 deletions(-)"
    points = math.ceil(math.log2(COMMITS - 1)) + 2
    assert len(found["points"]) <= points
    assert (found["tests"], found["repeats"]) == (len(found["points"]) + 2, 2)  # each end once more
    assert (found["schema_version"], found["confidence"], found["certain"]) == (1, 1.0, True)
    assert (found["axes"]["commits"], found["outcome"], found["notes"]) == (COMMITS - 1, "found", [])

    again = answer(bisect("--json", *UPSTREAM, "--", check))
    assert (again["tests"], again["repeats"], again["builds"], again["culprit"]) == (0, 0, 0, found["culprit"])
    said = bisect(*UPSTREAM, "--", check).stdout
    assert said.startswith(f"culprit: upstream {world.base(STEP)[:9]} (b21) engine : step 21 (#21)\n")
    assert "0 tests, 0 builds" in said


@pytest.mark.parametrize(
    ("ends", "pattern", "kind", "ids"),
    [
        (("bare", "late"), "p03=1", "patch", ["p03"]),
        (("here", "old"), "p05=1", "patch", ["p05"]),
        (("old", "here"), "p06=0", "patch", ["p06"]),
        (("bare", "late"), "p02=1.*p05=1", "interaction", ["p02", "p05"]),
        (("bare", "late"), "upstream=1.*p04=1", "interaction", ["p04", STEP]),
        (("old", "new"), "upstream=1.*p01=1", "interaction", ["p01", STEP]),
        (("old", "new"), "upstream=1", "upstream", [STEP]),
    ],
)
def test_both_axes(
    ends: tuple[str, str], pattern: str, kind: str, ids: list[Any], bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    ran = bisect("--json", "--good", ends[0], "--bad", ends[1], "--", bad_when(tmp_path, pattern))
    assert ran.code == 0, ran
    found = answer(ran)
    assert found["culprit"]["kind"] == kind
    assert found["culprit"]["ids"] == [world.base(one) if isinstance(one, int) else one for one in ids]
    commits, patches = math.ceil(math.log2(COMMITS - 1)), 3
    permitted = {"upstream": commits + 3, "patch": patches + 4}.get(kind, commits + patches + 4)
    permitted += sum(point["verdict"] == "skip" for point in found["points"])
    assert len(found["points"]) <= permitted or len(found["culprit"]["patches"]) == 2
    # What is bad without the patches that both ends carry was seen bad twice.
    repeats = 1 if kind == "upstream" else 2
    assert (found["repeats"], found["tests"]) == (repeats, len(found["points"]) + repeats)


def test_a_culprit_that_cannot_be_tried_without_patches_says_what_that_leaves_open(
    bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    check = script(tmp_path, "engine | grep -q p00=1 || exit 125\nengine | grep -q upstream=0")
    words = ("--good", "old", "--bad", "new", "--", check)
    ran = bisect("--json", *words)
    assert (ran.code, answer(ran)["culprit"]["ids"]) == (0, [world.base(STEP)])
    (note,) = answer(ran)["notes"]
    assert note == f"whether it takes one of the patches is not known: b{STEP} with no patch cannot be tested"
    assert f"  {note}\n" in bisect(*words).stdout
    assert f"* {note}\n" in bisect("--markdown", *words).stdout


def test_a_removed_patch_says_that_its_removal_broke_it(bisect: Patchctl, tmp_path: Path) -> None:
    said = bisect("--good", "old", "--bad", "here", "--", bad_when(tmp_path, "p06=0")).stdout
    assert said.startswith("culprit: the removal of the patch p06\n")


def test_history_can_run_backwards(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    """What the older base lacks is a fix; the commit that brought it is named, and that it is missing."""
    ran = bisect("--json", "--good", "none", "--bad", "bare", "--", bad_when(tmp_path, "upstream=0"))
    found = answer(ran)
    assert (found["culprit"]["ids"], found["culprit"]["reverse"]) == ([world.base(STEP)], True)
    assert "culprit: without upstream" in bisect("--good", "none", "--bad", "bare", "--", tmp_path / "check.sh").stdout


def test_a_broken_range_is_reported_as_one_never_the_commit_after_it(bisect: Patchctl, tmp_path: Path) -> None:
    names = "|".join(f"b{build} " for build in range(1, 33))
    check = script(tmp_path, f"engine | grep -Eq '^({names})' && exit 0\nexit 1")
    ran = bisect("--json", *UPSTREAM, "--", check)
    assert ran.code == 10, ran
    found = answer(ran)
    assert found["culprit"]["kind"] == "range"
    assert [commit["build"] for commit in found["culprit"]["commits"]] == [33, 34, 35, 36, 37]
    skipped = [point for point in found["points"] if point["verdict"] == "skip"]
    assert all("gate failed" in look["detail"] or "compile" in look["detail"] for p in skipped for look in p["looks"])
    assert len(found["points"]) <= math.ceil(math.log2(COMMITS - 1)) + 2 + len(skipped)


def test_markdown_for_a_ci(bisect: Patchctl, tmp_path: Path) -> None:
    said = bisect(*UPSTREAM, "--markdown", "--", bad_when(tmp_path, "upstream=1")).stdout
    assert said.startswith("### culprit: upstream ")
    assert "| b21 | bad | 1 | exit 1 |" in said
    assert "--try" in said


# --- the predicate ----------------------------------------------------------------------------------------------------


def test_a_test_of_the_stack_judges(bisect: Patchctl, world: World) -> None:
    found = answer(bisect("--json", "--stack", "late", "--good-base", world.base(1), "--bad-base", world.base(COMMITS),
                          "--test", "flag-off"))  # fmt: skip
    assert found["culprit"]["ids"] == [world.base(STEP)]
    near = bisect(*UPSTREAM, "--test", "flag-of")
    assert (near.code, "there is no test flag-of" in near.stderr) == (2, True)


def test_only_the_failure_that_matches_is_bad(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    """The commits 10 to 15 fail in another way: without the pattern they would be blamed."""
    text = "engine | grep -q '^b1[0-5] ' && exit 3\nengine | grep -q upstream=0 && exit 0\necho 'wrong: 1'; exit 1"
    found = answer(bisect("--json", *UPSTREAM, "--match", "wrong: [0-9]", "--", script(tmp_path, text)))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    verdicts = {point["build"]: point["looks"][0] for point in found["points"]}
    assert verdicts[12] == {"verdict": "skip", "value": None, "detail": "exit 3, but not with wrong: [0-9]"}
    assert verdicts[COMMITS]["detail"] == "wrong: 1"


def test_a_number_is_measured_until_it_is_sure(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = script(tmp_path, "engine | sed -E 's/.*speed ([0-9]+).*/{\"speed\": \\1}/'")
    words = ("--json", *UPSTREAM, "--bench", "speed", "--threshold")
    found = answer(bisect(*words, "5%", "--", check))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert (found["certain"], found["confidence"] >= 0.95) == (False, True)
    verdicts = {point["build"]: point["verdict"] for point in found["points"] if point["verdict"] != "skip"}
    assert verdicts == {build: "bad" if build >= STEP else "good" for build in verdicts}
    assert re.search(f"^ +b{COMMITS} +bad .* speed 80", bisect("--log").stdout, re.MULTILINE)
    less = bisect(*words, "30%", "--", check)
    assert (less.code, answer(less)["outcome"]) == (10, "no culprit")
    assert "by less than 30 %: medians 100 and 80 (-20.0%); to find less, lower" in answer(less)["why"]
    other = bisect(*words, "+5%", "--", check)
    assert (other.code, "where less is worse, give a --threshold without a +" in other.stderr) == (2, True)
    assert bisect(*words, "5%", "--jobs", "2", "--", check).code == 2


@pytest.mark.parametrize(("bad", "outcome", "most"), [(0, "no culprit", 6), (7, "found", 16)])
def test_a_number_that_is_0_where_all_is_well_takes_no_more_looks_than_another(
    bad: int, outcome: str, most: int, bisect: Patchctl, tmp_path: Path
) -> None:
    check = script(tmp_path, f"engine | grep -q upstream=0 && echo errors 0 || echo errors {bad}")
    found = answer(bisect("--json", *UPSTREAM, "--bench", "errors", "--threshold", "+5%", "--", check))
    assert (found["outcome"], found["tests"] <= most) == (outcome, True), found["tests"]


def test_a_number_that_may_be_just_below_or_above_the_threshold_is_unknown(
    bisect: Patchctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for less it takes what was measured; there it is beyond doubt."""
    monkeypatch.setattr("patchctl.bisect.evidence.COMPARED", (4, 6))
    count = tmp_path / "count"
    text = f"n=$(cat {count} 2>/dev/null || echo 0); echo $((n + 1)) > {count}\nengine | grep -q upstream=0 && s=100"
    check = script(tmp_path, f'{text}\necho "speed $((${{s:-80}} + n % 3 - 1))"')
    words = ("--json", *UPSTREAM, "--bench", "speed", "--threshold")
    ran = bisect(*words, "20%", "--", check)
    found = answer(ran)
    assert (ran.code, found["outcome"], found["culprit"], found["tests"]) == (10, "unknown", None, 12)
    assert found["why"].startswith("12 tests do not tell whether the ends differ by 20 %: medians 100 and 80")
    found = answer(bisect(*words, "15%", "--budget", "30", "--", check))
    assert (found["outcome"], found["points"][0]["taken"]) == ("found", 0)


def test_since_when_a_patch_does_not_apply_needs_no_command(
    patchctl: Patchctl, tmp_path: Path, monkeypatch: Any
) -> None:
    world = make_world(tmp_path, commits=60, patches=3, clash=37)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.stack("s", 1, world.names)
    words = ["bisect", "--json", "--stack", "s", "--bad-base", world.base(60), "--until", "applies"]
    ran = patchctl(*words, cwd=world.workspace)
    assert ran.code == 0, ran
    found = answer(ran)
    assert (found["culprit"]["ids"], found["builds"]) == (["p01", world.base(37)], 0)
    alone = answer(patchctl(*words, "--patch", "p01", cwd=world.workspace))
    assert alone["culprit"]["ids"] == ["p01", world.base(37)]
    none = patchctl(*words, "--patch", "p02", cwd=world.workspace)
    assert none.code == 10
    assert answer(none)["why"] == "both ends are good: nothing to find, with the bad base it applies too"


def test_since_when_it_does_not_compile(bisect: Patchctl, world: World) -> None:
    found = answer(bisect("--json", "--stack", "bare", "--bad-base", world.base(35), "--until", "compiles"))
    assert found["culprit"]["ids"] == [world.base(33)]


# --- noise ------------------------------------------------------------------------------------------------------------


def flaky(folder: Path, every: int = 3) -> Path:
    """Fails two times in three where the flag is set, counted, so that every run of the tests sees the same."""
    count = folder / "count"
    text = f"n=$(cat {count} 2>/dev/null || echo 0); echo $((n + 1)) > {count}\nengine | grep -q upstream=0 && exit 0\n"
    return script(folder, f"{text}[ $((n % {every})) -eq 0 ] && exit 0\nexit 1", f"flaky{every}.sh")


def test_a_test_that_turns_out_flaky_is_repeated_until_sure(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    found = answer(bisect("--json", *UPSTREAM, "--", flaky(tmp_path)))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert (found["certain"], found["confidence"] >= 0.95) == (False, True)
    assert found["tests"] > len(found["points"])
    assert found["probabilities"][0]["label"] == f"b{STEP}"
    assert found["probabilities"][0]["share"] > 0.95


def test_when_the_budget_ends_first_nothing_is_guessed(bisect: Patchctl, tmp_path: Path) -> None:
    ran = bisect("--json", *UPSTREAM, "--confidence", "0.99", "--budget", "12", "--", flaky(tmp_path))
    assert ran.code == 10
    assert (answer(ran)["outcome"], answer(ran)["culprit"]) == ("unknown", None)
    assert answer(ran)["tests"] == 12
    assert "--budget" in answer(ran)["why"]
    told = bisect(*UPSTREAM, "--confidence", "0.99", "--budget", "2", "--", flaky(tmp_path, 2)).stdout
    assert told.startswith("unknown: 2 tests did not suffice")


# --- what cannot be answered ------------------------------------------------------------------------------------------


def test_a_wrong_direction_is_told(bisect: Patchctl, tmp_path: Path) -> None:
    ran = bisect(*UPSTREAM, "--", bad_when(tmp_path, "upstream=0"))
    assert ran.code == 2
    assert "the ends are the other way round" in ran.stderr


@pytest.mark.parametrize(("exit_code", "words"), [(0, "both ends are good"), (1, "both ends are bad")])
def test_ends_that_agree_are_told(exit_code: int, words: str, bisect: Patchctl, tmp_path: Path) -> None:
    ran = bisect(*UPSTREAM, "--", script(tmp_path, f"exit {exit_code}"))
    assert (ran.code, words in ran.stdout) == (10, True)


@pytest.mark.parametrize("status", [126, 127])
def test_126_and_127_of_the_good_end_stop_it_and_elsewhere_are_bad(
    status: int, bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    ran = bisect(*UPSTREAM, "--", script(tmp_path, f"exit {status}"))
    assert (ran.code, f"exit {status} on the good end" in ran.stderr) == (9, True)
    check = script(tmp_path, f"engine | grep -q upstream=0 && exit 0\nexit {status}")
    assert answer(bisect("--json", *UPSTREAM, "--", check))["culprit"]["ids"] == [world.base(STEP)]
    # What was bad there is no verdict where the same point is the good end.
    assert bisect("--good", "none", "--bad", "bare", "--", check).code == 9


def test_a_command_that_cannot_run_is_not_remembered_as_what_it_said(
    bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    """What is missing when it begins, and what goes missing on the way: told, nothing of it kept."""
    there, log = tmp_path / "there", tmp_path / "ran"
    check = script(tmp_path, f"[ -e {there} ] || exit 127\necho x >> {log}\n"
                             f"[ $(wc -l < {log}) -eq 4 ] && rm {there}\nengine | grep -q upstream=0")  # fmt: skip
    assert bisect(*UPSTREAM, "--", check).code == 9
    there.touch()
    gone = bisect("--continue")
    assert (gone.code, "exit 127 on the good end" in gone.stderr) == (9, True)
    there.touch()
    found = answer(bisect("--continue", "--json"))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert found["from_ledger"] >= 2


def test_a_script_that_is_edited_on_the_way_stops_it(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    log = tmp_path / "ran"
    check = script(tmp_path, f"echo x >> {log}\n[ $(wc -l < {log}) -eq 4 ] && echo '# more' >> $0\n"
                             "engine | grep -q upstream=0")  # fmt: skip
    ran = bisect(*UPSTREAM, "--", check)
    assert (ran.code, "edited while the bisect ran" in ran.stderr) == (2, True)
    found = answer(bisect("--continue", "--json"))
    assert (found["culprit"]["ids"], found["from_ledger"]) == ([world.base(STEP)], 0)


def test_a_script_that_is_gone_on_the_way_stops_it(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = bad_when(tmp_path, "upstream=1|gone")
    assert bisect(*UPSTREAM, "--budget", "7", "--", check).code == 10
    text = check.read_text()
    check.unlink()
    ran = bisect("--continue")
    assert (ran.code, f"there is no program {check}" in ran.stderr) == (9, True)
    check.write_text(text)
    check.chmod(0o755)
    assert answer(bisect("--continue", "--json"))["culprit"]["ids"] == [world.base(STEP)]


def test_what_is_no_verdict_stops_it(bisect: Patchctl, tmp_path: Path) -> None:
    ran = bisect(*UPSTREAM, "--", script(tmp_path, "exit 200"))
    assert (ran.code, "ended with exit 200, which is no verdict" in ran.stderr) == (9, True)
    killed = bisect(*UPSTREAM, "--", script(tmp_path, "kill -KILL $$", "killed.sh"))
    assert (killed.code, "the command died of SIGKILL, which is no verdict" in killed.stderr) == (9, True)


def test_a_crash_is_bad(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = script(tmp_path, "engine | grep -q upstream=0 && exit 0\nkill -SEGV $$")
    found = answer(bisect("--json", *UPSTREAM, "--", check))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert any(point["looks"][0]["detail"] == "died of SIGSEGV" for point in found["points"])


def test_a_command_that_does_not_exist_is_told_before_a_build(world: World, patchctl: Patchctl, tmp_path: Path,
                                                                        monkeypatch: Any) -> None:  # fmt: skip
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
    ran = patchctl("bisect", *UPSTREAM, "--", "no-such-program", cwd=world.workspace)
    assert (ran.code, "there is no program no-such-program; the builds have: engine" in ran.stderr) == (9, True)
    assert not (tmp_path / "cache" / "bisect").exists()


def test_a_script_that_is_not_executable_is_told_so(bisect: Patchctl, tmp_path: Path) -> None:
    check = bad_when(tmp_path, "upstream=1")
    check.chmod(0o644)
    ran = bisect(*UPSTREAM, "--", check)
    assert (ran.code, f"make it so: chmod +x {check}" in ran.stderr) == (9, True)


def test_when_everything_between_is_skipped_all_of_it_is_left(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = script(tmp_path, f"engine | grep -q '^b1 ' && exit 0\nengine | grep -q '^b{COMMITS} ' && exit 1\nexit 125")
    ran = bisect("--json", *UPSTREAM, "--", check)
    assert ran.code == 10
    assert len(answer(ran)["culprit"]["ids"]) == COMMITS - 1


def test_an_end_that_cannot_be_tested_says_why_with_its_code(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check = bad_when(tmp_path, "upstream=1")
    broken = bisect("--stack", "bare", "--bad-base", world.base(34), "--", check)
    assert (broken.code, "the end b34 cannot be tested: gate failed" in broken.stderr
            or "the end b34 cannot be tested: compile failed" in broken.stderr) == (5, True)  # fmt: skip
    skipped = bisect(*UPSTREAM, "--", script(tmp_path, "exit 125"))
    assert (skipped.code, "the end b1 cannot be tested: exit 125" in skipped.stderr) == (125, True)


def test_a_culprit_is_refused_when_nothing_that_was_compiled_differs(bisect: Patchctl, tmp_path: Path) -> None:
    """The commit 20 changes a text file alone; a test that blames it looks at something else."""
    names = "|".join(f"b{build} " for build in range(1, 20))
    ran = bisect("--json", *UPSTREAM, "--", script(tmp_path, f"engine | grep -Eq '^({names})' && exit 0\nexit 1"))
    assert ran.code == 10
    assert answer(ran)["culprit"] is None
    assert "what was compiled and installed is the same" in answer(ran)["why"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the ends"),
        (["--good", "old", "--", "true"], "--bad is missing"),
        (["--stack", "old", "--", "true"], "--bad-base is missing"),
        (["--good", "old", "--bad", "new", "--bad-base", "b3", "--", "true"], "are for --stack"),
        ([*UPSTREAM], "nothing is given to tell good from bad"),
        ([*UPSTREAM, "--until", "applies", "--", "true"], "--until and COMMAND are given"),
        ([*UPSTREAM, "--bench", "speed"], "nothing is given"),
        ([*UPSTREAM, "--match", "(", "--", "true"], "is no regular expression"),
        ([*UPSTREAM, "--bench", "x", "--threshold", "much", "--", "true"], "is no share"),
        ([*UPSTREAM, "--threshold", "5%", "--", "true"], "--threshold 5% is for --bench METRIC"),
        (["--continue", "--threshold", "5%"], "go alone"),
        ([*UPSTREAM, "--bench", "x", "--threshold", "+0.05", "--", "true"], "+0.05 could be +5% or +0.05%"),
        (["--stack", "old", "--patch", "p0", "--bad-base", "b3", "--until", "applies"], "no patch 'p0'"),
        (["--continue", "--good", "old"], "go alone"),
        ([*UPSTREAM, "--try", "b3", "--", "true"], "is no point of this bisect"),
        ([*UPSTREAM, "--try", "b3", "--markdown", "--", "true"], "--try tests one point: --markdown is for all"),
        (["--log", "--try", "b3"], "--try tests one point: --log is for all"),
        (["--stack", "old", "--bad-base", "ea5f", "--until", "applies"], "ea5f is an abbreviated commit id"),
        (["--stack", "old", "--bad-base", "b999", "--until", "applies"], "has no branch, tag or build b999"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: list[str], said: str, bisect: Patchctl) -> None:
    ran = bisect(*words)
    assert (ran.code, said in ran.stderr) == (2, True), ran


# --- resume and log ---------------------------------------------------------------------------------------------------


def started(world: World, *words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "patchctl", "bisect", *map(str, words)]
    return subprocess.Popen(
        command, cwd=world.workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def counted(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def counting(folder: Path, pause: float = 0.0) -> tuple[Path, Path]:
    """A script that writes down on which build it ran; with a pause it can be stopped."""
    log = folder / "ran"
    return script(folder, f"engine | cut -d' ' -f1 >> {log}\nsleep {pause}\nengine | grep -q upstream=0"), log


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_was_seen_before_it_was_stopped_is_not_asked_again(
    number: signal.Signals, world: World, bisect: Patchctl, tmp_path: Path
) -> None:
    check, log = counting(tmp_path, pause=0.2)
    running = started(world, *UPSTREAM, "--", check)
    while len(counted(log)) < 5 and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, number)
    assert running.wait() == (130 if number == signal.SIGINT else -9)
    before = counted(log)
    found = answer(bisect("--continue", "--json"))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    after = counted(log)[len(before) :]
    # The one that was under way may run again; what was seen does not.
    seen = before[:-1] if number == signal.SIGKILL else before
    assert sum(after.count(build) for build in set(seen[:4])) <= 2
    assert found["tests"] == len(after)
    assert bisect("--continue").code == 0
    assert len(counted(log)) == len(before) + len(after)


def test_each_look_is_kept_the_moment_it_was_taken(world: World, bisect: Patchctl, tmp_path: Path) -> None:
    """Killed while a look is under way, four times: only that look is taken again, nothing that was seen before."""
    log = tmp_path / "ran"
    count = f"engine | cut -d' ' -f1 >> {log}"
    kill = f"case $(wc -l < {log}) in 2|4|6|8) kill -9 $PPID; exit 125;; esac"
    check = script(tmp_path, f"{count}\n{kill}\nengine | grep -q upstream=0")
    assert started(world, *UPSTREAM, "--", check).wait() == -9
    for _ in range(3):
        assert started(world, "--continue").wait() == -9
    assert len(counted(log)) == 8
    found = answer(bisect("--continue", "--json"))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    killed = Counter(counted(log)[at] for at in (1, 3, 5, 7))
    taken = {f"b{point['build']}": len(point["looks"]) for point in found["points"] if point["verdict"] != "skip"}
    assert Counter(counted(log)) == Counter(taken) + killed


def test_killed_at_any_instant_it_goes_on_and_ends_right(
    world: World, patchctl: Patchctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In configure, in a compile, in a test: whatever is half done then is not believed, what was seen is not lost."""
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
    check, log = counting(tmp_path)
    words: tuple[object, ...] = (*UPSTREAM, "--", check)
    for seconds in (0.7, 1.0, 0.8, 1.3):
        running = started(world, *words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        words = ("--continue",) if (tmp_path / "cache" / "ledger.sqlite").exists() else words
    ran = patchctl("bisect", "--json", *UPSTREAM, "--", check, cwd=world.workspace)
    found = answer(ran)
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert len(counted(log)) <= math.ceil(math.log2(COMMITS - 1)) + 4 + 4  # one for each time it was killed, at most


def test_the_log_holds_every_point_with_what_tests_it_again(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    check, log = counting(tmp_path)
    found = answer(bisect("--json", *UPSTREAM, "--", check))
    shown = bisect("--log")
    assert shown.code == 0
    assert shown.stdout.splitlines()[-1].startswith("culprit: upstream")
    assert bisect("--log", "--markdown").stdout.startswith("### culprit: upstream")
    points = answer(bisect("--log", "--json"))["points"]
    assert [point["point"] for point in points] == [point["point"] for point in found["points"]]
    assert len(counted(log)) == found["tests"]
    for point in points[:2]:
        assert point["replay"] in shown.stdout
        words = shlex.split(point["replay"])[2:]
        ran = bisect(*words)
        assert (ran.code, f"  {point['verdict']}  " in ran.stdout) == ({"good": 0, "bad": 6}[point["verdict"]], True)
    assert len(counted(log)) == found["tests"] + 2


def test_an_unfinished_bisect_says_how_to_go_on(bisect: Patchctl, tmp_path: Path) -> None:
    check = script(tmp_path, "engine | grep -q upstream=0 && exit 0\nexit 1")
    assert bisect(*UPSTREAM, "--budget", "3", "--", check).code == 10
    shown = bisect("--log").stdout
    assert "not finished; go on with: patchctl bisect --continue" in shown
    assert len(re.findall(r"--try", shown)) == 2
    left = answer(bisect("--log", "--json"))
    assert (left["outcome"], left["why"]) == ("unknown", "not finished")
    assert bisect("--log", "--markdown").stdout.startswith("### unknown: not finished\n")
    # The good end was looked at twice, the bad one once: its second look is the only repeat that is left.
    rest = answer(bisect("--json", *UPSTREAM, "--", check))
    assert (rest["repeats"], rest["from_ledger"]) == (1, 1)


def test_it_can_be_continued_from_another_folder(patchctl: Patchctl, world: World) -> None:
    script(world.workspace, "engine | grep -Eq 'upstream=1|elsewhere' && exit 1\nexit 0")
    words = ("--good", "stacks/bare.yaml", "--bad", "stacks/none.yaml", "--", "./check.sh")
    first = patchctl("bisect", "--json", *words, cwd=world.workspace)
    assert first.code == 0, first
    there = patchctl("bisect", "--json", "--continue", cwd=world.workspace / "patches")
    assert (there.code, answer(there)["tests"]) == (0, 0), there
    fresh = patchctl("bisect", "--json", *words[:-2], "--fresh", *words[-2:], cwd=world.workspace)
    assert answer(fresh)["culprit"] == answer(first)["culprit"]


def test_no_bisect_yet_is_told(world: World, patchctl: Patchctl, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path))
    assert "no bisect was started" in patchctl("bisect", "--continue", cwd=world.workspace).stderr


def test_fresh_believes_nothing(bisect: Patchctl, tmp_path: Path) -> None:
    check, log = counting(tmp_path)
    first = answer(bisect("--json", *UPSTREAM, "--", check))["tests"]
    assert answer(bisect("--json", *UPSTREAM, "--fresh", "--", check))["tests"] == first
    assert len(counted(log)) == 2 * first


def test_a_script_that_was_edited_is_another_test(bisect: Patchctl, tmp_path: Path) -> None:
    assert bisect(*UPSTREAM, "--", bad_when(tmp_path, "upstream=1")).code == 0
    assert bisect(*UPSTREAM, "--", bad_when(tmp_path, "upstream=7")).code == 10


# --- several at once, a full disk -------------------------------------------------------------------------------------


def test_several_points_at_once_give_the_same_answer_and_leave_nothing_running(
    bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    check, log = counting(tmp_path, pause=0.2)
    ends = ("--stack", "bare", "--good-base", world.base(STEP - 8), "--bad-base", world.base(STEP + 8))
    found = answer(bisect("--json", *ends, "--jobs", "3", "--", check))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert found["tests"] == sum(len(point["looks"]) for point in found["points"])  # helpers took them, for this bisect
    mine = subprocess.run(["pgrep", "-f", str(check)], capture_output=True, text=True, check=False).stdout
    assert mine == ""
    looked = len(counted(log))
    assert looked > len(found["points"])  # points that turned out not to be needed
    assert answer(bisect("--json", *ends, "--", check))["tests"] == 0


def test_what_a_helper_has_seen_is_not_looked_at_again(bisect: Patchctl, tmp_path: Path, world: World) -> None:
    """What is needed two points on is tested while the first is, and the point between them is not done by then."""
    first, one, two, three, last = (STEP + away for away in (-15, -7, -3, -1, 1))
    log = tmp_path / "ran"
    check = script(
        tmp_path,
        f"build=$(engine | cut -d' ' -f1); echo $build >> {log}\n"
        f"wait_for() {{ for _ in $(seq 500); do [ -e {tmp_path}/$1 ] && break; sleep 0.02; done; sleep 0.3; }}\n"
        f"case $build in b{one}) wait_for b{three};; b{two}) [ -e {tmp_path}/b{one} ] || sleep 60;; esac\n"
        f"touch {tmp_path}/$build\nengine | grep -q upstream=0",
    )
    ends = ("--stack", "bare", "--good-base", world.base(first), "--bad-base", world.base(last))
    assert answer(bisect("--json", *ends, "--budget", "4", "--", check))["tests"] == 4  # both ends, each twice
    found = answer(bisect("--json", *ends, "--jobs", "4", "--", check))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    looks = {point["build"]: len(point["looks"]) for point in found["points"]}
    assert looks == {first: 2, one: 1, two: 1, three: 1, STEP: 1, last: 2}
    assert (found["tests"], found["from_ledger"]) == (4, 2)
    assert counted(log).count(f"b{three}") == 1


@pytest.mark.parametrize("more", [["--fresh"], ["--confidence", "0.5"]], ids=["fresh", "flaky"])
def test_several_at_once_see_for_the_bisect_that_started_them(
    more: list[str], bisect: Patchctl, tmp_path: Path, world: World
) -> None:
    """The bisect finds under its own keys what its helpers saw: it runs nothing itself."""
    parents = tmp_path / "parents"
    check = script(tmp_path, f"echo $PPID >> {parents}\nengine | grep -q upstream=0")
    ends = ("--stack", "bare", "--good-base", world.base(STEP - 2), "--bad-base", world.base(STEP + 1))
    found = answer(bisect("--json", *ends, "--jobs", "2", *more, "--", check))
    assert found["culprit"]["ids"] == [world.base(STEP)]
    assert found["tests"] == sum(len(point["looks"]) for point in found["points"]) <= len(counted(parents))
    assert str(os.getpid()) not in counted(parents)


def test_what_helpers_test_counts_for_the_budget(bisect: Patchctl, tmp_path: Path) -> None:
    check, _ = counting(tmp_path)
    ran = bisect("--json", *UPSTREAM, "--jobs", "2", "--budget", "4", "--", check)
    assert (ran.code, answer(ran)["tests"], answer(ran)["culprit"]) == (10, 4, None)


def test_a_disk_that_takes_nothing_is_told(world: World, bisect: Patchctl, tmp_path: Path) -> None:
    check = bad_when(tmp_path, "upstream=1")
    limited = script(tmp_path, f'ulimit -f 0\nexec {sys.executable} -m patchctl bisect "$@"', "limited.sh")
    words = [str(limited), *UPSTREAM, "--fresh", "--", str(check)]
    done = subprocess.run(words, cwd=world.workspace, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search("File too large|disk|cannot use the ledger", done.stderr)
    assert bisect(*UPSTREAM, "--", check).code == 0


def test_what_was_built_without_room_is_not_built_upon(
    bisect: Patchctl, tmp_path: Path, world: World, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = bad_when(tmp_path, "upstream=1|no room")
    with monkeypatch.context() as patched:
        patched.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
        patched.setattr("patchctl.bisect.workshop.ROOM", 2**60)
        ran = bisect(*UPSTREAM, "--", check)
        assert (ran.code, "too little to believe a build" in ran.stderr) == (9, True)
    (slot,) = (tmp_path / "cache" / "bisect").glob("*/slot0")
    assert (slot / "src").is_dir()
    assert not (slot / "build" / "cpu").exists()


@pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
@pytest.mark.parametrize("size", [300, ROOM // 1024 + 450, ROOM // 1024 + 650])
def test_a_full_disk_is_told_and_nothing_is_lost(size: int, world: World, tmp_path: Path) -> None:
    """Full while the first point is configured, and too full for a later one: with room it goes on where it was.

    CMake blames a full disk on the sources, or ends well: neither may be remembered as how a commit builds.
    """
    check, log = counting(tmp_path)
    place = tmp_path / "disk"
    place.mkdir()
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh", place, size]
    words += [world.workspace, sys.executable, "-m", "patchctl", "bisect", "--json", *UPSTREAM, "--", check]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    refused = place.with_suffix(".err").read_text()
    assert (place.with_suffix(".code").read_text().strip(), "Traceback" in refused) == ("9", False), refused
    assert re.search("disk is full|No space left", refused)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["culprit"]["ids"] == [world.base(STEP)]
    assert len(counted(log)) <= math.ceil(math.log2(COMMITS - 1)) + 4  # what was seen before was not asked again


def test_the_report_finds_the_last_bisect_of_a_release(bisect: Patchctl, tmp_path: Path, made: Any) -> None:
    found = answer(bisect("--json", *UPSTREAM, "--", bad_when(tmp_path, "upstream=1")))
    ledger = Ledger(made[1] / "ledger.sqlite")
    assert {"schema_version": 1, **ledger.get("bisect", "none")} == found
    ledger.close()


def test_what_a_point_costs_in_the_ledger_is_a_row_a_look(bisect: Patchctl, tmp_path: Path, made: Any) -> None:
    check = bad_when(tmp_path, "upstream=1|never-seen-before")
    found = answer(bisect("--json", *UPSTREAM, "--", check))
    ledger = Ledger(made[1] / "ledger.sqlite")
    rows = ledger._ask("SELECT COUNT(*) FROM results WHERE kind=?", (LOOK,))
    assert int(rows[0][0]) >= found["tests"] > 0
    ledger.close()
