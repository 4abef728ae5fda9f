"""``patchctl apply``: a worktree, conflicts solved by a person, new revisions; and what happens when it is cut off."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.vanish import VANISHED, vanish
from tests.series.world import World, show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

SOLVED = {3: "one", 15: "both"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Upstream changed line 15 in b2; ``two``, made on b1, changes it too, and ``three`` needs ``two``."""
    world = World(tmp_path)
    first = world.commit({"engine.c": text(), "notes.md": "notes\n"})
    two = world.patch("two", {"engine.c": text({15: "ours"})})
    world.patch("three", {"engine.c": text({15: "ours", 28: "three"})}, on=two, base=first, requires=["two"])
    world.commit({"engine.c": text({15: "theirs"})}, "engine : theirs (#7)")
    world.patch("one", {"engine.c": text({3: "one", 15: "theirs"})})
    world.patch("four", {"notes.md": "more notes\n"})
    world.stack("one", "two", "three", "four")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


@pytest.fixture
def work(world: World) -> Path:
    return world.workspace / "work" / "s"


@pytest.fixture
def in_conflict(world: World, patchctl: Patchctl) -> World:
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert ran.code == 4, ran
    return world


def outcomes(world: World, patchctl: Patchctl, *more: str) -> dict[str, str]:
    ran = patchctl("check", "s", "--json", *more, cwd=world.workspace)
    return {patch["id"]: patch["outcome"] for patch in json.loads(ran.stdout)["patches"]}


def result(world: World, patchctl: Patchctl, *more: str) -> str:
    ran = patchctl("check", "s", "--json", *more, cwd=world.workspace)
    commit: str = json.loads(ran.stdout)["result"]["commit"]
    return commit


def solve(work: Path) -> None:
    (work / "engine.c").write_text(text(SOLVED))


def test_a_stack_that_applies_is_checked_out_and_leaves_no_session(
    world: World, work: Path, patchctl: Patchctl
) -> None:
    world.stack("one", "four")
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert (ran.code, ran.stdout) == (0, "applied in work/s\n")
    assert (work / "engine.c").read_text() == text({3: "one", 15: "theirs"})
    assert show(work, "rev-parse", "HEAD") == result(world, patchctl)
    assert show(work, "status", "--porcelain") == ""
    assert show(work, "log", "--format=%s", "-3").splitlines() == ["four it", "one it", "engine : theirs (#7)"]
    assert patchctl("apply", "s", "--continue", cwd=world.workspace).code == 2


def test_a_conflict_stops_in_the_worktree_and_says_how_to_go_on(world: World, work: Path, patchctl: Patchctl) -> None:
    ran = patchctl("apply", "stacks/s.yaml", cwd=world.workspace)
    assert ran.code == 4
    assert ran.stdout.splitlines() == [
        "two conflicts in engine.c",
        "solve it in work/s, then: patchctl apply stacks/s.yaml --continue   (or --skip, --abort)",
    ]
    held = (work / "engine.c").read_text()
    assert "<<<<<<<" in held
    assert "theirs\n" in held
    assert "ours\n" in held
    assert show(work, "log", "-1", "--format=%s") == "one it"


def test_a_solution_becomes_a_revision_and_the_stack_is_clean(
    in_conflict: World, work: Path, patchctl: Patchctl
) -> None:
    world = in_conflict
    before = (world.patches("two") / "b1.patch").read_bytes()
    solve(work)
    ran = patchctl("apply", "s", "--continue", "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    assert json.loads(ran.stdout)["written"] == ["patches/two/b2.patch"]
    assert (world.patches("two") / "b1.patch").read_bytes() == before
    assert outcomes(world, patchctl) == {"one": "clean", "two": "clean", "three": "offset", "four": "clean"}
    assert result(world, patchctl) == show(work, "rev-parse", "HEAD")
    mail = (world.patches("two") / "b2.patch").read_text()
    assert f"base-commit: {world.tip}" in mail
    assert mail.count("prerequisite-patch-id: ") == 1
    assert patchctl("apply", "s", cwd=world.workspace).code == 0


def test_an_undated_patch_keeps_the_date_of_the_base_when_it_follows_a_solved_one(
    world: World, work: Path, patchctl: Patchctl
) -> None:
    path = world.patches("four") / "b2.patch"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("Date:")))
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    solve(work)
    assert patchctl("apply", "s", "--continue", cwd=world.workspace).code == 0
    assert result(world, patchctl) == show(work, "rev-parse", "HEAD")


def test_markers_left_in_a_file_are_told_and_nothing_is_lost(
    in_conflict: World, work: Path, patchctl: Patchctl
) -> None:
    before = (work / "engine.c").read_bytes()
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert ran.code == 4
    assert "conflict markers are left in engine.c" in ran.stderr
    assert (work / "engine.c").read_bytes() == before
    solve(work)
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0


def test_an_existing_revision_is_never_overwritten(world: World, work: Path, patchctl: Patchctl) -> None:
    old = (world.patches("two") / "b1.patch").rename(world.patches("two") / "b2.patch")
    before = old.read_bytes()
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    solve(work)
    ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
    assert "wrote patches/two/b2-2.patch" in ran.stdout
    assert old.read_bytes() == before
    assert outcomes(world, patchctl)["two"] == "clean"


def test_what_was_solved_once_is_solved_again(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    solve(work)
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0
    made = in_conflict.patches("two") / "b2.patch"
    first = made.read_bytes()
    made.unlink()
    shutil.rmtree(work)
    ran = patchctl("apply", "s", cwd=in_conflict.workspace)
    assert ran.code == 0, ran
    assert made.read_bytes() == first
    assert "two is solved as it was before; to do it anew: --abort, patchctl cache --free solutions" in ran.stdout
    made.unlink()
    assert patchctl("apply", "s", "--abort", cwd=in_conflict.workspace).code == 0
    assert patchctl("cache", "--free", "solutions", cwd=in_conflict.workspace).code == 0
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4


def test_a_solution_may_add_files_whatever_a_person_ignores_elsewhere(
    world: World, work: Path, isolated: Path, patchctl: Patchctl
) -> None:
    ignore = isolated / ".config" / "git" / "ignore"
    ignore.parent.mkdir(parents=True)
    ignore.write_text("*\n")
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    solve(work)
    (work / "helper.c").write_text("new\n")
    ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
    assert (ran.code, "helper.c; git add those that belong to the patch" in ran.stderr) == (4, True)
    git("-C", work, "add", "--force", "helper.c")
    assert patchctl("apply", "s", "--continue", cwd=world.workspace).code == 0
    assert "helper.c" in (world.patches("two") / "b2.patch").read_text()
    assert show(work, "show", "HEAD:helper.c") == "new"


def test_a_person_may_commit_the_solution_with_git(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    solve(work)
    git("-C", work, "-c", "user.name=me", "-c", "user.email=me@example.invalid", "commit", "-qam", "solved")
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0
    assert result(in_conflict, patchctl) == show(work, "rev-parse", "HEAD")


def test_hooks_in_the_worktree_do_not_run(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    """Whoever put them there: what patchctl does with git is not somebody's commit."""
    hooks = work / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "reference-transaction", "pre-commit", "post-checkout", "fsmonitor-watchman"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {work.parent}/ran\n")
        (hooks / name).chmod(0o755)
    git("-C", work, "config", "core.fsmonitor", str(hooks / "fsmonitor-watchman"))
    (work / "engine.c").write_text(text(SOLVED))
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0
    assert not (work.parent / "ran").exists()


def test_a_solution_that_leaves_nothing_counts_as_upstreams(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    (work / "engine.c").write_text(text({3: "one", 15: "theirs"}))
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert ran.code == 0, ran
    assert not (in_conflict.patches("two") / "b2.patch").exists()
    assert show(work, "log", "--format=%s", "-3").splitlines() == ["four it", "three it", "one it"]
    assert "two: nothing is left of it here, so no revision was written" in ran.stderr
    shutil.rmtree(work)
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4, "nobody wants that remembered"


def test_a_solution_that_loses_a_file_of_the_patch_is_told(world: World, work: Path, patchctl: Patchctl) -> None:
    """After ``git checkout HEAD -- .`` nothing is in conflict any more, and what is written anew may be a part."""
    first = show(world.upstream, "rev-parse", "master~1")
    gone = {"engine.c": text({15: "ours"}), "notes.md": "ours\n", "added.c": "added\n"}
    world.patch("two", gone, on=first, base=first)
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    git("-C", work, "checkout", "HEAD", "--", ".")
    solve(work)
    ran = patchctl("apply", "s", "--continue", "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    # What is not there at all, as after a rename upstream, is seen in the patch; what is there and left alone is not.
    assert json.loads(ran.stdout)["lost"] == {"two": {"untouched": ["notes.md"], "deleted": []}}
    assert "two: its new revision leaves notes.md as it was; the one before changed it" in ran.stderr
    # It is asked for again, not taken from memory.
    (world.patches("two") / "b2.patch").unlink()
    shutil.rmtree(work)
    assert "two conflicts in engine.c\n" in patchctl("apply", "s", cwd=world.workspace).stdout


def test_a_solution_that_deletes_a_file_is_told(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    in_conflict.stack("one", "two", "three")
    assert patchctl("apply", "s", "--abort", cwd=in_conflict.workspace).code == 0
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4
    solve(work)
    (work / "notes.md").unlink()
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert (ran.code, "two: its new revision deletes notes.md; the one before did not" in ran.stderr) == (0, True), ran


def test_markers_that_were_added_with_git_are_markers_still(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    git("-C", work, "add", "-A")
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert (ran.code, "conflict markers are left in engine.c" in ran.stderr) == (4, True), ran
    assert not (in_conflict.patches("two") / "b2.patch").exists()
    solve(work)
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0


def test_markers_that_upstream_has_are_no_conflict(world: World, work: Path, patchctl: Patchctl) -> None:
    shown = {29: "<<<<<<< as git writes it"}
    world.commit({"engine.c": text({15: "theirs", **shown})})
    world.stack("two")
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    (work / "engine.c").write_text(text({15: "both", **shown}))
    ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
    assert (ran.code, ran.stderr) == (0, "")


def test_a_worktree_that_went_back_with_git_is_told(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    """Else the patch would take back the one before it."""
    git("-C", work, "reset", "-q", "--hard", "HEAD~1")
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert (ran.code, "does not stand on" in ran.stderr) == (9, True), ran
    assert not (in_conflict.patches("two") / "b2.patch").exists()
    assert patchctl("apply", "s", "--abort", cwd=in_conflict.workspace).code == 0
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4


@pytest.mark.parametrize("deed", ["new file", "other file"])
def test_what_is_not_of_the_conflict_outlives_an_abort(
    deed: str, in_conflict: World, work: Path, patchctl: Patchctl
) -> None:
    (work / ("mine.txt" if deed == "new file" else "notes.md")).write_text("mine\n")
    ran = patchctl("apply", "s", "--abort", cwd=in_conflict.workspace)
    assert (ran.code, ran.stdout) == (0, "aborted; what you did is in work/s.aside-1\n")
    aside = work.with_name("s.aside-1")
    assert (aside / ("mine.txt" if deed == "new file" else "notes.md")).read_text() == "mine\n"
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4
    solve(work)
    assert patchctl("apply", "s", "--abort", cwd=in_conflict.workspace).stdout == "aborted; the worktree is gone\n"


def test_skip_leaves_out_the_patch_and_what_needs_it(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    before = digest_of(in_conflict.workspace / "patches")
    ran = patchctl("apply", "s", "--skip", cwd=in_conflict.workspace)
    assert (ran.code, ran.stdout) == (0, "skipped two, three\napplied in work/s\n")
    assert show(work, "log", "--format=%s", "-3").splitlines() == ["four it", "one it", "engine : theirs (#7)"]
    assert (work / "engine.c").read_text() == text({3: "one", 15: "theirs"})
    assert digest_of(in_conflict.workspace / "patches") == before
    assert show(work, "rev-parse", "HEAD") == result(in_conflict, patchctl, "--without", "two")


def test_what_does_not_need_the_skipped_patch_is_not_skipped(in_conflict: World, patchctl: Patchctl) -> None:
    page = in_conflict.patches("three") / "README.md"
    patchctl("apply", "s", "--abort", cwd=in_conflict.workspace)
    page.write_text("---\ntitle: three\n---\n# Why\n")
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4
    ran = patchctl("apply", "s", "--skip", "--json", cwd=in_conflict.workspace)
    said = json.loads(ran.stdout)
    assert (ran.code, said["skipped"], said["stopped_at"]) == (0, ["two"], None)


def test_abort_leaves_no_trace_even_when_the_stack_is_broken(world: World, patchctl: Patchctl) -> None:
    before = digest_of(world.workspace)
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    page = world.patches("four") / "README.md"
    sound = page.read_bytes()
    page.write_text("---\nnonsense: [\n")
    ran = patchctl("apply", "s", "--abort", cwd=world.workspace)
    page.write_bytes(sound)
    assert (ran.code, ran.stdout) == (0, "aborted; the worktree is gone\n")
    assert digest_of(world.workspace) == before
    assert patchctl("apply", "s", "--abort", cwd=world.workspace).code == 2


def test_abort_of_a_finished_apply_keeps_what_was_done_in_the_worktree(
    world: World, work: Path, patchctl: Patchctl
) -> None:
    world.stack("one")
    assert patchctl("apply", "s", cwd=world.workspace).code == 0
    (work / "engine.c").write_text("mine\n")
    git("-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-qam", "mine", cwd=work)
    ran = patchctl("apply", "s", "--abort", cwd=world.workspace)
    assert (ran.code, ran.stdout) == (0, "no apply was open; what you did is in work/s.aside-1\n")
    assert not work.exists()
    aside = work.with_name("s.aside-1")
    assert show(aside, "show", "HEAD:engine.c") == "mine"
    assert patchctl("apply", "s", cwd=world.workspace).code == 0
    assert patchctl("apply", "s", "--abort", cwd=world.workspace).code == 0
    assert not work.exists()


def test_an_open_apply_is_not_started_over(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    solve(work)
    ran = patchctl("apply", "s", cwd=in_conflict.workspace)
    assert ran.code == 9
    assert "--continue, --skip or --abort" in ran.stderr
    assert (work / "engine.c").read_text() == text(SOLVED)


@pytest.mark.parametrize("deed", ["edit", "new file", "commit", "folder"])
def test_what_a_person_did_in_the_worktree_is_never_dropped(
    deed: str, world: World, work: Path, patchctl: Patchctl
) -> None:
    world.stack("one", "four")
    if deed == "folder":
        work.mkdir(parents=True)
    else:
        assert patchctl("apply", "s", cwd=world.workspace).code == 0
    (work / ("engine.c" if deed in {"edit", "commit"} else "mine.c")).write_text("mine\n")
    if deed == "commit":
        git("-C", work, "-c", "user.name=me", "-c", "user.email=me@example.invalid", "commit", "-qam", "mine")
    before = digest_of(work)
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (9, 1), ran
    assert digest_of(work) == before
    assert (work / ("engine.c" if deed in {"edit", "commit"} else "mine.c")).read_text() == "mine\n"


def test_a_stack_that_changed_meanwhile_is_told(in_conflict: World, work: Path, patchctl: Patchctl) -> None:
    solve(work)
    path = in_conflict.patches("four") / "b2.patch"
    path.write_bytes(path.read_bytes().replace(b"more notes", b"even notes"))
    ran = patchctl("apply", "s", "--continue", cwd=in_conflict.workspace)
    assert ran.code == 3
    assert "the stack changed since this apply began; end it with --abort" in ran.stderr
    assert (work / "engine.c").read_text() == text(SOLVED)


def test_onto_makes_the_revision_for_the_commit_that_was_named(world: World, work: Path, patchctl: Patchctl) -> None:
    base = show(world.upstream, "rev-parse", "master^")
    world.stack("two", base=base)
    assert outcomes(world, patchctl) == {"two": "clean"}
    assert patchctl("apply", "s", "--onto", "b2", cwd=world.workspace).code == 4
    assert patchctl("apply", "s", "--continue", "--onto", "b2", cwd=world.workspace).code == 2
    solve(work)
    ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
    assert "wrote patches/two/b2.patch" in ran.stdout
    assert outcomes(world, patchctl, "--onto", "b2") == {"two": "clean"}
    assert outcomes(world, patchctl) == {"two": "clean"}


def test_a_store_that_is_gone_costs_what_was_solved_in_the_worktree_nothing(
    in_conflict: World, work: Path, isolated: Path, patchctl: Patchctl
) -> None:
    """The worktree borrowed its objects: files and new revisions stay, git in it does not work any more."""
    solve(work)
    assert patchctl("apply", "s", "--continue", cwd=in_conflict.workspace).code == 0
    (in_conflict.patches("two") / "b2.patch").rename(work / "kept.patch")
    shutil.rmtree(isolated / "cache" / "store")
    ran = patchctl("apply", "s", cwd=in_conflict.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (9, 1), ran
    assert "move what is yours, then --abort" in ran.stderr
    assert (work / "engine.c").read_text() == text({**SOLVED, 28: "three"})
    assert patchctl("apply", "s", "--abort", cwd=in_conflict.workspace).code == 0
    assert patchctl("apply", "s", cwd=in_conflict.workspace).code == 4


def test_a_policy_refusal_comes_before_any_worktree(world: World, work: Path, patchctl: Patchctl) -> None:
    world.patch("link", {"evil": ("120000", b"/etc/passwd")})
    world.stack("link")
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert ran.code == 8
    assert "evil" in ran.stderr
    assert not work.exists()


# --- cut off ----------------------------------------------------------------------------------------------------------

STEPS = [1, 2, 3, 5, 8, 12, 16, 20, 24, 28, 32, 37, 42, 48, 55, 63, 72, 82]


def test_apply_killed_at_any_step_starts_over(world: World, work: Path, patchctl: Patchctl) -> None:
    assert patchctl("check", "s", cwd=world.workspace).code == 4
    reached = 0
    for step in STEPS:
        ended = vanish(["apply", "s"], world.workspace, step)
        reached += ended == VANISHED
        ran = patchctl("apply", "s", cwd=world.workspace)
        assert ran.code == 4 or (ended == 4 and ran.code == 9), (step, ran)
        assert "<<<<<<<" in (work / "engine.c").read_text(), step
        assert show(work, "log", "-1", "--format=%s") == "one it", step
        assert [path.name for path in work.parent.iterdir()] == ["s"], step
        assert patchctl("apply", "s", "--abort", cwd=world.workspace).code == 0
        if ended == 4:
            break
    assert reached > 8


def test_continue_killed_at_any_step_goes_on(world: World, work: Path, tmp_path: Path, patchctl: Patchctl) -> None:
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    solve(work)
    saved = tmp_path / "saved"
    shutil.copytree(world.workspace, saved, symlinks=True)
    expected = None
    reached = 0
    for step in [10_000, *STEPS, 95, 110, 130]:
        shutil.rmtree(world.workspace)
        shutil.copytree(saved, world.workspace, symlinks=True)
        ended = vanish(["apply", "s", "--continue"], world.workspace, step)
        reached += ended == VANISHED
        if ended == VANISHED:
            ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
            closed = not (work / ".git" / "patchctl-session.json").exists()
            assert ran.code == 0 or (closed and ran.code == 2), (step, ran)
        made = {path.name: path.read_bytes() for path in world.patches("two").iterdir()}
        found = (made, show(work, "rev-parse", "HEAD"), show(work, "status", "--porcelain"))
        expected = expected or found
        assert found == expected, step
    assert sorted(expected[0]) == ["README.md", "b1.patch", "b2.patch"]
    assert reached > 8


def test_what_a_person_keeps_in_the_worktree_is_never_replaced(world: World, work: Path, patchctl: Patchctl) -> None:
    """Ignored files, stashes and branches are work too, though git status is clean."""
    assert patchctl("apply", "s", "--skip", cwd=world.workspace).code == 2
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    assert patchctl("apply", "s", "--skip", cwd=world.workspace).code == 0
    (work / ".git" / "info").mkdir(exist_ok=True)
    (work / ".git" / "info" / "exclude").write_text("build/\n")
    (work / "build").mkdir()
    (work / "build" / "precious").write_text("hours\n")
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert (ran.code, "build/" in ran.stderr) == (9, True)
    shutil.rmtree(work / "build")
    git("-C", work, "branch", "mine")
    ran = patchctl("apply", "s", cwd=world.workspace)
    assert (ran.code, "refs/heads/mine" in ran.stderr) == (9, True)


def test_a_conflict_without_markers_wants_a_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    """Upstream deleted the file that the patch changes: going on without a word would bring it back."""
    world = World(tmp_path)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.commit({"a.c": text(), "b.c": text()}, "start")
    world.patch("ours", {"a.c": text({5: "ours"})})
    world.commit({"a.c": None}, "remove it (#3)")
    world.stack("ours")
    work = world.workspace / "work" / "s"
    assert patchctl("apply", "s", cwd=world.workspace).code == 4
    ran = patchctl("apply", "s", "--continue", cwd=world.workspace)
    assert (ran.code, "undecided" in ran.stderr, "a.c" in ran.stderr) == (4, True, True)
    git("-C", work, "rm", "-q", "a.c")
    (work / "b.c").write_text(text({5: "ours"}))
    assert patchctl("apply", "s", "--continue", cwd=world.workspace).code == 0
    assert patchctl("check", "s", cwd=world.workspace).code == 0
