"""A fork's branch as a stack whose tree is the branch's, whatever its merges did; and kills at every step."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.author.fork_world import BOB, ForkWorld
from tests.series.vanish import each_step
from tests.series.world import show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


def imported(world: ForkWorld, patchctl: Patchctl, tip: str) -> list[str]:
    """Import the branch ``mine`` and return its patches; the tree is the branch's, and a check is clean."""
    ran = patchctl("import", "--fork", f"{world.fork}@mine", "--stack", "stacks/f.yaml", "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    found = json.loads(ran.stdout)
    checked = patchctl("check", "f", "--json", cwd=world.workspace)
    assert checked.code == 0, checked
    result = json.loads(checked.stdout)
    assert found["tree"] == result["result"]["tree"] == world.tree(world.fork, tip)
    assert {patch["outcome"] for patch in result["patches"]} == {"clean"}
    assert patchctl("lint", "f", cwd=world.workspace).code == 0
    ids: list[str] = found["imported"]
    return ids


def test_a_line_of_commits_is_a_line_of_patches_without_the_empty_ones(world: ForkWorld, patchctl: Patchctl) -> None:
    one = world.fork_commit({"engine.c": text({3: "one", 15: "upstream"})}, "feat: one", on=world.tip)
    two = world.fork_commit({}, "nothing at all", on=one)
    made = {"new.c": "new\n", "notes.md": None, "run.sh": ("100755", b"#!/bin/sh\n")}
    tip = world.fork_commit(made, "files come and go", on=two, author=BOB)
    assert imported(world, patchctl, tip) == ["one", "files-come-and-go"]
    revision = (world.patches("one") / "b2.patch").read_text()
    assert f"base-commit: {world.tip}" in revision
    assert f"Commit {one} of the branch mine." in (world.patches("one") / "README.md").read_text()


def test_upstream_is_left_out_and_what_its_merge_resolved_is_one_patch(world: ForkWorld, patchctl: Patchctl) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    one = world.fork_commit({"engine.c": text({15: "mine"})}, "engine : mine", on=old)
    two = world.fork_commit({"engine.c": text({15: "mine", 20: "two"})}, "engine : two", on=one)
    solved = {"engine.c": text({15: "upstream and mine", 20: "two"})}
    merge = world.fork_commit(solved, "Merge upstream", on=two, merge=[world.tip or ""])
    tip = world.fork_commit({"notes.md": "after\n"}, "notes : after", on=merge)
    ids = imported(world, patchctl, tip)
    assert ids == ["engine-mine", "engine-two", "merge-upstream-what-the-merge-itself", "notes-after"]
    assert "+mine" in (world.patches("engine-mine") / "b2.patch").read_text()
    assert "+upstream and mine" in (world.patches(ids[2]) / "b2.patch").read_text()
    assert "keeping its own lines" in (world.patches("engine-mine") / "README.md").read_text()


def test_a_merge_with_evil_changes_keeps_them(world: ForkWorld, patchctl: Patchctl) -> None:
    side = world.fork_commit({"notes.md": "side\n"}, "side", on=world.tip, branch="side")
    main = world.fork_commit({"engine.c": text({3: "main", 15: "upstream"})}, "main", on=world.tip)
    evil = {"notes.md": "side\n", "evil.c": "nobody committed this\n"}
    merge = world.fork_commit(evil, "Merge side", on=main, merge=[side])
    assert imported(world, patchctl, merge) == ["main", "side", "merge-side-what-the-merge-itself"]


def test_a_merge_that_resolved_nothing_itself_is_no_patch(world: ForkWorld, patchctl: Patchctl) -> None:
    side = world.fork_commit({"notes.md": "side\n"}, "side", on=world.tip, branch="side")
    main = world.fork_commit({"engine.c": text({3: "main", 15: "upstream"})}, "main", on=world.tip)
    merge = world.fork_commit({"notes.md": "side\n"}, "Merge side", on=main, merge=[side])
    assert imported(world, patchctl, merge) == ["main", "side"]


def test_a_branch_merged_into_upstream_the_other_way_round(world: ForkWorld, patchctl: Patchctl) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    own = world.fork_commit({"notes.md": "own\n"}, "own", on=old, branch="side")
    merge = world.fork_commit({"notes.md": "own\n"}, "Merge own", on=world.tip, merge=[own])
    assert imported(world, patchctl, merge) == ["own"]


def test_files_that_upstream_renamed_removed_or_replaced_by_folders(world: ForkWorld, patchctl: Patchctl) -> None:
    base = world.commit({"a.c": text(), "b.c": "b\n", "d": "a file\n"}, "more files")
    world.commit({"a.c": None, "moved/a.c": text(), "b.c": None}, "move")
    world.sync_fork()
    edits = {"a.c": text({5: "own"}), "b.c": "own\n", "d": None, "d/inner.c": "own\n"}
    own = world.fork_commit(edits, "own", on=base)
    merged = {"a.c": None, "b.c": "own\n", "moved/a.c": text({5: "own"})}
    merge = world.fork_commit(merged, "Merge upstream", on=own, merge=[world.tip or ""])
    world.stack()
    imported(world, patchctl, merge)


def test_commits_that_say_the_same_get_names_of_their_own(world: ForkWorld, patchctl: Patchctl) -> None:
    on = world.tip
    for word in ("one", "two", "three"):
        on = world.fork_commit({"notes.md": f"{word}\n"}, "docs: update (#3)", on=on)
    assert imported(world, patchctl, on or "") == ["update", "update-2", "update-3"]


def test_a_branch_that_does_not_fit_is_refused(world: ForkWorld, patchctl: Patchctl) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    own = world.fork_commit({"notes.md": "own\n"}, "own", on=world.tip)
    world.fork_commit({"x": "x\n"}, "another history", on=None, branch="alien")
    git("-C", world.fork, "branch", "same", world.tip or "")
    newest = world.commit({"notes.md": "newest\n"}, "newest")
    world.stack()
    before = digest_of(world.workspace)
    for branch, more, code, said in (
        ("alien", [], 3, "no history in common"),
        ("same", [], 3, "nothing of its own"),
        ("gone", [], 3, "refs/heads/gone"),
        ("mine", ["--base", newest], 3, "does not descend from"),
        ("mine", ["--base", old], 3, "holds upstream up to"),
        ("mine", ["--stack", "s"], 2, "is there already"),
    ):
        words = ["--fork", f"{world.fork}@{branch}", "--stack", "stacks/f.yaml", *more]
        ran = patchctl("import", *words, cwd=world.workspace)
        assert (ran.code, digest_of(world.workspace)) == (code, before), ran
        assert said in ran.stderr
    assert patchctl("import", "--fork", str(world.fork), "--stack", "f", cwd=world.workspace).code == 2
    assert patchctl("import", "--fork", f"{world.fork}@mine", cwd=world.workspace).code == 2
    assert own


def test_files_that_no_copy_has_are_named_and_nothing_is_made(world: ForkWorld, patchctl: Patchctl) -> None:
    one = world.fork_commit({"large.bin": b"large"}, "a large file", on=world.tip)
    world.fork_commit({"notes.md": "two\n"}, "notes : two", on=one)
    world.lose(one, "large.bin")
    before = digest_of(world.workspace)
    words = ("import", "--fork", f"{world.fork}@mine", "--stack", "stacks/f.yaml")
    ran = patchctl(*words, cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (9, before), ran
    assert "the branch needs files that no copy of the repository has: large.bin" in ran.stderr


def test_a_fork_that_cannot_be_reached_is_named(world: ForkWorld, patchctl: Patchctl, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place, said in (
        (f"file://{tmp_path}/gone", f"the mirror file://{tmp_path}/gone of"),
        (tmp_path / "empty", f"cannot fetch {tmp_path}/empty: "),
    ):
        ran = patchctl("import", "--fork", f"{place}@mine", "--stack", "stacks/f.yaml", cwd=world.workspace)
        assert (ran.code, said in ran.stderr, "check the mirror" in ran.stderr) == (7, True, False), ran
    ran = patchctl("import", "--fork", f"{world.fork}@gone", "--stack", "stacks/f.yaml", cwd=world.workspace)
    assert (ran.code, f"{world.fork} has no commit refs/heads/gone" in ran.stderr) == (3, True), ran


def test_another_import_says_that_it_completed_the_one_that_was_killed(
    world: ForkWorld, patchctl: Patchctl, tmp_path: Path
) -> None:
    """From the point of no return on; what was killed before it is gone, and nothing is said."""
    first = ["import", str(world.put("x.patch", world.mail({"notes.md": "x\n"}, "x"))), "--stack", "s"]
    second = world.put("y.patch", world.mail({"y.md": "y\n"}, "y"))
    untouched = tmp_path / "untouched"
    shutil.copytree(world.workspace, untouched)
    told: set[bool] = set()
    for _ in each_step(first, world.workspace, first=20, pace=2):
        cut = (world.workspace / "patches" / ".import" / "orders.json").exists()
        if cut not in told:
            ran = patchctl("import", second, "--stack", "s", cwd=world.workspace)
            said = "note: completed the import that was cut off: x into stacks/s.yaml; now to this one\n" in ran.stderr
            assert (ran.code, said, world.ids()) == (0, cut, ["x", "y"] if cut else ["y"]), ran
            told.add(cut)
        shutil.rmtree(world.workspace)
        shutil.copytree(untouched, world.workspace)
    assert told == {False, True}


@pytest.mark.parametrize("add", [False, True])
def test_killed_anywhere_the_same_command_completes(
    world: ForkWorld, patchctl: Patchctl, tmp_path: Path, *, add: bool
) -> None:
    on = world.tip
    for word in ("one", "two"):
        on = world.fork_commit({"notes.md": f"{word}\n"}, word, on=on)
    mail = world.put("x.patch", world.mail({"notes.md": "x\n"}, "x"))
    words = ["import", "--fork", f"{world.fork}@mine", "--stack", "stacks/f.yaml"]
    words = ["import", str(mail), "--stack", "s"] if add else words
    untouched = tmp_path / "untouched"
    shutil.copytree(world.workspace, untouched)
    assert patchctl(*words, cwd=world.workspace).code == 0
    whole = digest_of(world.workspace)
    steps = 0
    shutil.rmtree(world.workspace)
    shutil.copytree(untouched, world.workspace)
    for _ in each_step(words, world.workspace, pace=5 if add else 9):
        steps += 1
        ran = patchctl(*words, cwd=world.workspace)
        # Killed after the last thing it does, it was done; then the same again is refused as ever.
        assert ran.code == 0 or "is here already" in ran.stderr or "is there already" in ran.stderr, ran
        assert digest_of(world.workspace) == whole
        shutil.rmtree(world.workspace)
        shutil.copytree(untouched, world.workspace)
    assert steps > 3
