"""``patchctl edit``: a patch in the middle of a stack changed in a worktree, with what comes after it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.vanish import VANISHED, vanish
from tests.series.world import World, show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

NAMES = [f"p{number:02}" for number in range(1, 13)]
MIDDLE, LATER = "p06", "p09"
ME = ("-c", "user.name=Me", "-c", "user.email=me@example.invalid")
LINES = {name: 10 * at for at, name in enumerate(NAMES, 1)}


def engine(edits: dict[int, str]) -> str:
    return text(edits, count=130)


def stacked(upto: str) -> dict[int, str]:
    return {LINES[name]: name for name in NAMES[: NAMES.index(upto) + 1]}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Twelve patches on one file, each on a line of its own, each made on the one before."""
    world = World(tmp_path)
    base = world.commit({"engine.c": engine({}), "notes.md": "notes\n"})
    on = base
    for name in NAMES:
        on = world.patch(name, {"engine.c": engine(stacked(name))}, on=on, base=base)
    world.stack(*NAMES)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


@pytest.fixture
def work(world: World) -> Path:
    return world.workspace / "work" / "s"


@pytest.fixture
def opened(world: World, patchctl: Patchctl) -> World:
    ran = patchctl("edit", "s", MIDDLE, cwd=world.workspace)
    assert ran.code == 0, ran
    return world


def checked(world: World, patchctl: Patchctl) -> tuple[dict[str, str], str | None]:
    ran = patchctl("check", "s", "--json", "--no-alone", cwd=world.workspace)
    found = json.loads(ran.stdout)
    result = found["result"]
    return {patch["id"]: patch["outcome"] for patch in found["patches"]}, result and result["commit"]


def made(world: World) -> list[str]:
    """Return the revisions that were not there at first; what a kill left is hidden, and swept a minute later."""
    patches = world.workspace / "patches"
    old = ("b1.patch", "README.md")
    files = (path for path in patches.rglob("[!.]*") if path.is_file() and path.name not in old)
    return sorted(str(path.relative_to(patches)) for path in files)


def change(work: Path, edits: dict[int, str]) -> None:
    (work / "engine.c").write_text(engine(edits))


def quiet() -> dict[int, str]:
    """The middle patch says something else on its line, far from every other."""
    return {**stacked(MIDDLE), LINES[MIDDLE]: "better"}


def clashing() -> dict[int, str]:
    """The middle patch takes the line that a later one changes."""
    return {**stacked(MIDDLE), LINES[LATER]: "taken"}


def solution() -> dict[int, str]:
    return {**stacked(LATER), LINES[LATER]: "p09 after all"}


# --- begin ------------------------------------------------------------------------------------------------------------


def test_the_worktree_has_the_stack_up_to_the_patch_and_its_change_on_top(
    world: World, work: Path, patchctl: Patchctl
) -> None:
    ran = patchctl("edit", "s", MIDDLE, cwd=world.workspace)
    assert ran.stdout.splitlines() == [
        "p06 is open in work/s: change it, commit or not",
        "then: patchctl edit s p06 --continue   (or --abort)",
    ]
    assert (work / "engine.c").read_text() == engine(stacked(MIDDLE))
    assert show(work, "log", "--format=%s").splitlines() == [f"{name} it" for name in reversed(NAMES[:6])] + ["step"]
    assert show(work, "show", "--format=", "--numstat") == "1\t1\tengine.c"


def test_nothing_changed_writes_nothing(opened: World, work: Path, patchctl: Patchctl) -> None:
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert ran.code == 0
    assert "p06 did not change; nothing was written" in ran.stdout
    assert made(opened) == []
    assert show(work, "rev-parse", "HEAD") == checked(opened, patchctl)[1]


# --- continue ---------------------------------------------------------------------------------------------------------


def test_a_change_becomes_one_new_revision_and_the_rest_stays(opened: World, work: Path, patchctl: Patchctl) -> None:
    change(work, quiet())
    ran = patchctl("edit", "s", MIDDLE, "--continue", "--json", cwd=opened.workspace)
    assert ran.code == 0, ran
    assert json.loads(ran.stdout)["written"] == ["patches/p06/b1-2.patch"]
    assert made(opened) == ["p06/b1-2.patch"]
    outcomes, commit = checked(opened, patchctl)
    assert set(outcomes.values()) == {"clean", "offset"}
    assert commit == show(work, "rev-parse", "HEAD")
    assert (work / "engine.c").read_text() == engine({**stacked("p12"), LINES[MIDDLE]: "better"})
    mail = (opened.patches(MIDDLE) / "b1-2.patch").read_text()
    assert "From: Ada Author <ada@example.invalid>" in mail
    assert mail.count("prerequisite-patch-id: ") == 5


def test_a_change_of_blanks_alone_is_a_change(opened: World, work: Path, patchctl: Patchctl) -> None:
    """git patch-id does not see it; Python and Makefiles do."""
    change(work, {**stacked(MIDDLE), LINES[MIDDLE]: "  p06"})
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch"]
    assert "+  p06\n" in (opened.patches(MIDDLE) / "b1-2.patch").read_text()


def test_extra_commits_are_folded_and_an_amended_message_is_the_patchs(
    opened: World, work: Path, patchctl: Patchctl
) -> None:
    git("-C", work, *ME, "commit", "-q", "--amend", "-m", "engine : better\n\nWhy:\n\n---\nand more")
    change(work, quiet())
    git("-C", work, *ME, "commit", "-qam", "fixup! later")
    (work / "helper.c").write_text("new\n")
    ran = patchctl("edit", "s", "--continue", cwd=opened.workspace)
    assert ran.code == 0, ran
    assert show(work, "log", "-1", "--skip=6", "--format=%an|%B").strip() == (
        "Ada Author|engine : better\n\nWhy:\n\n ---\nand more"
    )
    assert show(work, "show", "--format=", "--name-only", "HEAD~6").splitlines() == ["engine.c", "helper.c"]
    assert checked(opened, patchctl)[1] == show(work, "rev-parse", "HEAD")


def test_a_message_alone_makes_a_revision(opened: World, work: Path, patchctl: Patchctl) -> None:
    git("-C", work, *ME, "commit", "-q", "--amend", "-m", "engine : says more")
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch"]


def test_a_commit_undone_with_git_keeps_author_and_message(opened: World, work: Path, patchctl: Patchctl) -> None:
    git("-C", work, "reset", "-q", "HEAD^")
    change(work, quiet())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert "Subject: [PATCH] p06 it" in (opened.patches(MIDDLE) / "b1-2.patch").read_text()


def test_a_conflict_later_stops_is_solved_and_gets_a_revision_too(
    opened: World, work: Path, patchctl: Patchctl
) -> None:
    change(work, clashing())
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert ran.code == 4
    assert "p09 conflicts with the change of p06 in engine.c" in ran.stdout
    assert "patchctl edit s p06 --continue" in ran.stdout
    assert made(opened) == []
    again = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert again.code == 4
    assert "conflict markers are left" in again.stderr
    change(work, solution())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch", "p09/b1-2.patch"]
    outcomes, commit = checked(opened, patchctl)
    assert set(outcomes.values()) == {"clean", "offset"}
    assert commit == show(work, "rev-parse", "HEAD")
    assert (work / "engine.c").read_text() == engine({**stacked("p12"), LINES[LATER]: "p09 after all"})


def test_a_conflict_solved_once_is_solved_again(opened: World, work: Path, patchctl: Patchctl) -> None:
    change(work, clashing())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 4
    change(work, solution())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    first = {name: (opened.workspace / "patches" / name).read_bytes() for name in made(opened)}
    for name in first:
        (opened.workspace / "patches" / name).unlink()
    assert patchctl("edit", "s", MIDDLE, cwd=opened.workspace).code == 0
    change(work, clashing())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert {name: (opened.workspace / "patches" / name).read_bytes() for name in made(opened)} == first


def test_skip_leaves_the_later_patch_as_it_was(opened: World, work: Path, patchctl: Patchctl) -> None:
    assert patchctl("edit", "s", MIDDLE, "--skip", cwd=opened.workspace).code == 2
    change(work, clashing())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 4
    assert patchctl("edit", "s", MIDDLE, "--skip", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch"]
    assert checked(opened, patchctl)[0]["p09"] == "conflict"


def test_what_only_the_old_stack_could_merge_is_written_so_that_a_new_machine_gets_the_same_tree(
    opened: World, work: Path, isolated: Path, patchctl: Patchctl
) -> None:
    change(work, {**stacked(MIDDLE), LINES["p08"] - 2: "in the context of p08"})
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch", "p08/b1-2.patch"]
    here = checked(opened, patchctl)
    shutil.rmtree(isolated / "cache")
    assert checked(opened, patchctl)[1] == here[1] == show(work, "rev-parse", "HEAD")


def test_a_later_patch_that_would_find_the_wrong_one_of_two_places_is_written(
    world: World, work: Path, isolated: Path, patchctl: Patchctl
) -> None:
    """By itself its hunk applies three lines too early: there stands the same text."""
    alike = [line for _ in range(6) for line in ("{\n", "  a\n", "}\n")]
    world.commit({"alike.c": "".join(alike)})
    top = world.patch("top", {"alike.c": "// top\n" + "".join(alike)})
    fourth = [*alike[:10], "  b\n", *alike[11:]]
    world.patch("fourth", {"alike.c": "// top\n" + "".join(fourth)}, on=top, base=world.tip)
    world.stack("top", "fourth")
    assert patchctl("edit", "s", "top", cwd=world.workspace).code == 0
    (work / "alike.c").write_text("// top\n// and\n// three\n// more\n" + "".join(alike))
    assert patchctl("edit", "s", "top", "--continue", cwd=world.workspace).code == 0
    assert (work / "alike.c").read_text() == "// top\n// and\n// three\n// more\n" + "".join(fourth)
    assert (world.patches("fourth") / "b2-2.patch").exists()
    here = checked(world, patchctl)
    shutil.rmtree(isolated / "cache")
    assert checked(world, patchctl)[1] == here[1] == show(work, "rev-parse", "HEAD")


def test_a_later_patch_whose_change_moved_into_the_edited_one_is_named(
    opened: World, work: Path, patchctl: Patchctl
) -> None:
    change(work, {**stacked(MIDDLE), LINES["p07"]: "p07"})
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert ran.code == 0
    assert "p07 brings nothing any more" in ran.stderr
    assert checked(opened, patchctl)[0]["p07"] == "absorbed"


def test_a_later_patch_that_is_solved_to_nothing_is_named(opened: World, work: Path, patchctl: Patchctl) -> None:
    change(work, clashing())
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 4
    change(work, {**stacked("p08"), LINES[LATER]: "taken"})
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert (ran.code, "p09 brings nothing any more" in ran.stderr) == (0, True)
    assert made(opened) == ["p06/b1-2.patch"]


# --- a new one --------------------------------------------------------------------------------------------------------


def test_a_new_patch_takes_its_place_only_at_the_end(world: World, work: Path, patchctl: Patchctl) -> None:
    stack = world.workspace / "stacks" / "s.yaml"
    before = stack.read_text()
    ran = patchctl("edit", "s", "--new", "fresh", "--after", MIDDLE, cwd=world.workspace)
    assert ran.code == 0, ran
    assert (stack.read_text(), world.patches("fresh").exists()) == (before, False)
    (work / "fresh.c").write_text("fresh\n")
    git("-C", work, "add", ".")
    early = patchctl("edit", "s", "fresh", "--continue", cwd=world.workspace)
    assert (early.code, "commit what you did with git" in early.stderr) == (2, True)
    git("-C", work, *ME, "commit", "-qm", "engine : a fresh file\n\nBecause.")
    ran = patchctl("edit", "s", "fresh", "--continue", cwd=world.workspace)
    assert ran.code == 0, ran
    assert stack.read_text() == before.replace("p06, ", "p06, fresh, ")
    assert sorted(path.name for path in world.patches("fresh").iterdir()) == ["README.md", "b1.patch"]
    assert "title: engine : a fresh file" in (world.patches("fresh") / "README.md").read_text().replace('"', "")
    outcomes, commit = checked(world, patchctl)
    assert set(outcomes.values()) == {"clean"}
    assert commit == show(work, "rev-parse", "HEAD")
    assert patchctl("lint", cwd=world.workspace).code == 0


@pytest.mark.parametrize("after", [None, "p12"])
def test_a_new_patch_may_be_the_first_or_the_last(
    after: str | None, world: World, work: Path, patchctl: Patchctl
) -> None:
    stack = world.stack(*([*NAMES] if after else []))
    assert patchctl("edit", "s", "--new", "fresh", cwd=world.workspace).code == 0
    (work / "fresh.c").write_text("fresh\n")
    git("-C", work, "add", ".")
    git("-C", work, *ME, "commit", "-qm", "fresh")
    assert patchctl("edit", "s", "--continue", cwd=world.workspace).code == 0
    assert ("p12, fresh]" if after else "patches: [fresh]") in stack.read_text()


def test_a_stack_without_a_list_of_patches_says_what_it_needs(world: World, work: Path, patchctl: Patchctl) -> None:
    stack = world.stack()
    stack.write_text(stack.read_text().replace("patches: []\n", ""))
    ran = patchctl("edit", "s", "--new", "fresh", cwd=world.workspace)
    assert (ran.code, 'give it "patches: []"' in ran.stderr, work.exists()) == (2, True, False)


@pytest.mark.parametrize(
    "words",
    [
        "--new p03", "--new No", "--new x --after p99", "p02 --after p01", "p99", "", "p01 --new x",
        "--new x --continue",
    ],
)  # fmt: skip
def test_words_that_mean_nothing_are_refused_before_anything_is_made(
    words: str, world: World, patchctl: Patchctl
) -> None:
    before = digest_of(world.workspace)
    ran = patchctl("edit", "s", *words.split(), cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (2, 1), ran
    assert digest_of(world.workspace) == before


# --- what is not to be lost, and what is not to be made ---------------------------------------------------------------


def test_abort_leaves_no_trace(world: World, work: Path, patchctl: Patchctl) -> None:
    before = digest_of(world.workspace)
    for _ in range(2):
        assert patchctl("edit", "s", MIDDLE, cwd=world.workspace).code == 0
        change(work, clashing())
        assert patchctl("edit", "s", MIDDLE, "--continue", cwd=world.workspace).code == 4
        assert patchctl("edit", "s", MIDDLE, "--abort", cwd=world.workspace).code == 0
        assert digest_of(world.workspace) == before
    assert patchctl("edit", "s", MIDDLE, "--abort", cwd=world.workspace).code == 2


def test_an_open_edit_is_neither_started_over_nor_taken_by_another_command(
    opened: World, work: Path, patchctl: Patchctl
) -> None:
    change(work, quiet())
    for words in (
        ("edit", "s", MIDDLE), ("edit", "s", LATER), ("edit", "s", "--new", "x"), ("apply", "s"),
        ("apply", "s", "--continue"), ("apply", "s", "--abort"),
    ):  # fmt: skip
        ran = patchctl(*words, cwd=opened.workspace)
        assert (ran.code, ran.stderr.count("\n"), "an edit of p06 is open" in ran.stderr) == (9, 1, True), (words, ran)
    assert patchctl("edit", "s", LATER, "--continue", cwd=opened.workspace).code == 2
    assert (work / "engine.c").read_text() == engine(quiet())


def test_an_open_apply_is_not_taken_by_an_edit(world: World, patchctl: Patchctl) -> None:
    world.commit({"engine.c": engine({LINES["p05"]: "upstream"})})
    world.stack(*NAMES)
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    assert patchctl("edit", "s", "p01", cwd=world.workspace).code == 9
    assert patchctl("edit", "s", "p01", "--continue", cwd=world.workspace).code == 2
    assert patchctl("apply", "s", "--abort", cwd=world.workspace).code == 0
    ran = patchctl("edit", "s", MIDDLE, cwd=world.workspace)
    assert (ran.code, "p05 does not apply; solve that first" in ran.stderr) == (4, True)
    assert patchctl("edit", "s", "p01", cwd=world.workspace).code == 0


@pytest.mark.parametrize("deed", ["edit", "new file", "commit"])
def test_leftovers_in_the_worktree_are_refused(deed: str, world: World, work: Path, patchctl: Patchctl) -> None:
    assert patchctl("apply", "s", cwd=world.workspace).code == 0
    (work / ("mine.c" if deed == "new file" else "engine.c")).write_text("mine\n")
    if deed == "commit":
        git("-C", work, *ME, "commit", "-qam", "mine")
    before = digest_of(work)
    ran = patchctl("edit", "s", MIDDLE, cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (9, 1), ran
    assert digest_of(work) == before


def test_an_emptied_patch_a_strange_head_and_what_the_policy_refuses_stop_with_the_work_kept(
    opened: World, work: Path, patchctl: Patchctl
) -> None:
    change(work, stacked("p05"))
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert (ran.code, "nothing is left of p06" in ran.stderr) == (3, True)
    change(work, quiet())
    (work / "link").symlink_to("/etc/passwd")
    git("-C", work, "add", "link")
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert (ran.code, "would be a symlink" in ran.stderr) == (8, True)
    (work / "link").unlink()
    head = show(work, "rev-parse", "HEAD")
    git("-C", work, "reset", "-q", "--soft", "HEAD~3")
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert (ran.code, "does not stand on" in ran.stderr) == (9, True)
    git("-C", work, "reset", "-q", "--soft", head)
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert made(opened) == ["p06/b1-2.patch"]


def test_a_patch_by_reference_is_not_edited(world: World, patchctl: Patchctl) -> None:
    world.page("ref", commit=world.commit({"notes.md": "more\n"}, "notes (#9)"))
    world.stack("p01", "ref", base=show(world.upstream, "rev-parse", "master^"))
    ran = patchctl("edit", "s", "ref", cwd=world.workspace)
    assert (ran.code, "by reference" in ran.stderr) == (2, True)


# --- cut off ----------------------------------------------------------------------------------------------------------


def kept(world: World, work: Path) -> tuple[dict[str, bytes], str, str, str]:
    files = {name: (world.workspace / "patches" / name).read_bytes() for name in made(world)}
    stack = (world.workspace / "stacks" / "s.yaml").read_text()
    return files, show(work, "rev-parse", "HEAD"), show(work, "status", "--porcelain"), stack


def restored(saved: Path, world: World) -> None:
    shutil.rmtree(world.workspace)
    shutil.copytree(saved, world.workspace, symlinks=True)


def goes_on(world: World, work: Path, saved: Path, words: list[str], ends: int, patchctl: Patchctl) -> int:
    """Kill ``words`` at every few steps and run it again; both ways must end alike. Returns how often it was killed."""
    shutil.copytree(world.workspace, saved, symlinks=True)
    assert vanish(words, world.workspace, 100_000) == ends
    expected = kept(world, work)
    killed = 0
    for step in [1, 2, 3, 4, 5, *range(7, 400, 23)]:
        restored(saved, world)
        if vanish(words, world.workspace, step) != VANISHED:
            break
        killed += 1
        ran = patchctl(*words, cwd=world.workspace)
        over = not (work / ".git" / "patchctl-session.json").exists()
        assert ran.code == ends or (over and ran.code == 2), (step, ran)
        assert kept(world, work) == expected, step
    return killed


def test_continue_killed_at_any_step_goes_on(opened: World, work: Path, tmp_path: Path, patchctl: Patchctl) -> None:
    change(work, quiet())
    words = ["edit", "s", MIDDLE, "--continue"]
    assert goes_on(opened, work, tmp_path / "saved", words, 0, patchctl) > 6
    assert made(opened) == ["p06/b1-2.patch"]


def test_continue_into_and_out_of_a_conflict_killed_at_any_step_goes_on(
    opened: World, work: Path, tmp_path: Path, patchctl: Patchctl
) -> None:
    change(work, clashing())
    words = ["edit", "s", MIDDLE, "--continue"]
    assert goes_on(opened, work, tmp_path / "saved", words, 4, patchctl) > 6
    restored(tmp_path / "saved", opened)
    assert patchctl(*words, cwd=opened.workspace).code == 4
    change(work, solution())
    assert goes_on(opened, work, tmp_path / "saved-2", words, 0, patchctl) > 6
    assert made(opened) == ["p06/b1-2.patch", "p09/b1-2.patch"]


def test_a_new_patch_killed_at_any_step_of_its_end_goes_on(
    world: World, work: Path, tmp_path: Path, patchctl: Patchctl
) -> None:
    assert patchctl("edit", "s", "--new", "fresh", "--after", MIDDLE, cwd=world.workspace).code == 0
    (work / "fresh.c").write_text("fresh\n")
    git("-C", work, "add", ".")
    git("-C", work, *ME, "commit", "-qm", "fresh")
    words = ["edit", "s", "fresh", "--continue"]
    assert goes_on(world, work, tmp_path / "saved", words, 0, patchctl) > 6
    assert "p06, fresh, p07" in (world.workspace / "stacks" / "s.yaml").read_text()


def test_begin_killed_at_any_step_starts_over(world: World, work: Path, patchctl: Patchctl) -> None:
    assert patchctl("check", "s", cwd=world.workspace).code == 0
    words = ["edit", "s", MIDDLE]
    for step in [1, 2, 3, 5, *range(8, 100, 13)]:
        ended = vanish(words, world.workspace, step)
        ran = patchctl(*words, cwd=world.workspace)
        is_open = ran.code == 9 and "an edit of p06 is open" in ran.stderr
        assert ran.code == 0 or is_open, (step, ran)
        assert (work / "engine.c").read_text() == engine(stacked(MIDDLE)), step
        assert [path.name for path in work.parent.iterdir()] == ["s"], step
        assert patchctl(*words, "--abort", cwd=world.workspace).code == 0
        if ended != VANISHED:
            return
    pytest.fail("it never came to its end")


def test_locks_of_a_git_that_was_killed_with_its_patchctl_are_cleared(
    opened: World, work: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    monkeypatch.setattr("patchctl.series.worktree.PATIENCE", 0.1)
    change(work, quiet())
    (work / ".git" / "index.lock").write_bytes(b"")
    ran = patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace)
    assert (ran.code, "a git of yours is at work there" in ran.stderr) == (9, True)
    assert (work / ".git" / "index.lock").exists()  # it may be yours
    (work / ".git" / "patchctl-at-work").touch()
    assert patchctl("edit", "s", MIDDLE, "--continue", cwd=opened.workspace).code == 0
    assert subprocess.run(["git", "-C", work, "diff", "--quiet", "HEAD"], check=False).returncode == 0


def test_a_process_group_killed_by_the_system_loses_nothing(
    opened: World, work: Path, tmp_path: Path, patchctl: Patchctl
) -> None:
    """With its git processes this time, at moments that nobody chose."""
    change(work, clashing())
    command = [sys.executable, "-m", "patchctl", "edit", "s", MIDDLE, "--continue"]
    shutil.copytree(opened.workspace, tmp_path / "saved", symlinks=True)
    found = []
    for delay in (30.0, 0.25, 0.4, 0.55, 0.7):
        restored(tmp_path / "saved", opened)
        child = subprocess.Popen(
            command, cwd=opened.workspace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(delay)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert patchctl(*command[3:], cwd=opened.workspace).code == 4, delay
        found.append(kept(opened, work))
    assert found == found[:1] * 5
    assert found[0][2] == "UU engine.c"
