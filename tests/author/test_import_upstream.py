"""Patches from commits, ranges and pull requests; a pin moves on purpose only."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.author.fork_world import BOB, ForkWorld
from tests.series.world import show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

URL = "example.invalid/up"


def outcomes(world: ForkWorld, patchctl: Patchctl) -> dict[str, str]:
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    return {patch["id"]: patch["outcome"] for patch in json.loads(ran.stdout)["patches"]}


def page(world: ForkWorld, patch: str) -> str:
    return (world.patches(patch) / "README.md").read_text()


@pytest.fixture
def later(world: ForkWorld) -> str:
    """Upstream went on: a commit that the stack's base does not have."""
    tip = world.tip
    commit = world.commit({"notes.md": "later\n"}, "notes : later (#77)")
    world.stack(base=tip)
    return commit


@pytest.fixture
def pull(world: ForkWorld) -> str:
    """Return the head of pull request 7: two commits by two people, with upstream's newest merged in between."""
    fork = show(world.upstream, "rev-parse", "master~1")
    one = world.fork_commit({"engine.c": text({3: "three"})}, "engine : say three\n\nWhy not.", on=fork)
    merge = {"engine.c": text({3: "three", 15: "upstream"})}
    merged = world.fork_commit(merge, "Merge master", on=one, merge=[world.tip or ""])
    two = {"engine.c": text({3: "three", 15: "upstream", 25: "bob"})}
    message = "engine : bob's part\n\nCo-authored-by: Cee <c@example.invalid>"
    head = world.fork_commit(two, message, on=merged, author=BOB)
    world.pull_request(7, head)
    return head


def test_upstreams_own_commit_is_taken_by_reference(world: ForkWorld, later: str, patchctl: Patchctl) -> None:
    ran = patchctl("import", later, "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert [path.name for path in world.patches("notes-later").iterdir()] == ["README.md"]
    assert f"from:\n  commit: {later}\n" in page(world, "notes-later").replace('"', "")
    assert outcomes(world, patchctl) == {"notes-later": "clean"}
    again = patchctl("import", later, "--stack", "s", cwd=world.workspace)
    assert (again.code, "is here already" in again.stderr) == (2, True)


def test_upstreams_own_commit_needs_no_base(world: ForkWorld, later: str, patchctl: Patchctl) -> None:
    assert patchctl("import", later, "--id", "mine", "--title", "Later", cwd=world.workspace).code == 0
    assert page(world, "mine").startswith("---\ntitle: Later\nfrom:\n")


def test_a_commit_that_is_not_upstreams_is_a_file(world: ForkWorld, patchctl: Patchctl) -> None:
    own = world.fork_commit({"notes.md": "mine\n"}, "notes : mine", on=world.tip)
    world.pull_request(9, own)
    ran = patchctl("import", own, "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert (world.patches("notes-mine") / "b2.patch").is_file()
    assert outcomes(world, patchctl) == {"notes-mine": "clean"}


def test_an_empty_commit_and_a_merge_are_no_patches(world: ForkWorld, patchctl: Patchctl) -> None:
    side = world.fork_commit({"notes.md": "side\n"}, "side", on=show(world.upstream, "rev-parse", "master~1"))
    merge = world.fork_commit({"engine.c": text(), "notes.md": "evil\n"}, "merge", on=world.tip, merge=[side])
    world.pull_request(9, merge)
    empty = world.commit({}, "nothing")
    before = digest_of(world.workspace)
    for commit, said in ((empty, "changes nothing"), (merge, "is a merge")):
        ran = patchctl("import", commit, "--stack", "s", cwd=world.workspace)
        assert (ran.code, digest_of(world.workspace)) == (3, before), ran
        assert said in ran.stderr


def test_a_range_is_its_commits_in_order_without_empty_ones(world: ForkWorld, patchctl: Patchctl) -> None:
    base = world.tip
    world.commit({"notes.md": "one\n"}, "notes : one")
    world.commit({}, "nothing")
    last = world.commit({"notes.md": "two\n"}, "notes : two")
    world.stack(base=base)
    ran = patchctl("import", f"{base}..{last}", "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert outcomes(world, patchctl) == {"notes-one": "clean", "notes-two": "clean"}
    assert "requires: [notes-one]" in page(world, "notes-two")
    back = patchctl("import", f"{last}..{base}", "--stack", "s", cwd=world.workspace)
    assert (back.code, "does not descend" in back.stderr) == (3, True)


def test_a_pull_request_is_its_own_commits_squashed_with_everybody_named(
    world: ForkWorld, pull: str, patchctl: Patchctl, isolated: Path
) -> None:
    ran = patchctl("import", "up/up#7", "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert outcomes(world, patchctl) == {"engine-say-three": "clean"}
    revision = (world.patches("engine-say-three") / "b2.patch").read_text()
    assert "From: Ada Author" in revision
    assert "* engine : bob's part" in revision
    assert f"Co-authored-by: {BOB}\nCo-authored-by: Cee <c@example.invalid>" in revision
    assert "+bob" in revision
    assert "upstream\n" not in [line[1:] for line in revision.splitlines(keepends=True) if line.startswith("+")]
    assert f"  head: {pull}\n" in page(world, "engine-say-three").replace('"', "")
    store = next((isolated / "cache").rglob("patchctl-birth")).parent
    assert show(store, "rev-parse", f"refs/patchctl/pins/{pull}") == pull


def test_a_pull_request_with_one_commit_keeps_its_message(world: ForkWorld, patchctl: Patchctl) -> None:
    head = world.fork_commit({"notes.md": "mine\n"}, "notes : mine\n\nBecause.\n---\nnot a mail's end", on=world.tip)
    world.pull_request(8, head)
    ran = patchctl("import", "#8", "--stack", "s", "--head", head, cwd=world.workspace)
    assert ran.code == 0, ran
    assert "Because.\n ---\nnot a mail's end" in (world.patches("notes-mine") / "b2.patch").read_text()
    assert outcomes(world, patchctl) == {"notes-mine": "clean"}


def test_a_pull_request_without_a_stack_stands_on_its_fork_point(world: ForkWorld, patchctl: Patchctl) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    world.pull_request(8, world.fork_commit({"notes.md": "mine\n"}, "notes : mine", on=old))
    assert patchctl("import", "#8", cwd=world.workspace).code == 0
    assert f"base-commit: {old}" in (world.patches("notes-mine") / "b1.patch").read_text()


def test_a_pull_request_that_is_gone_or_moved_or_brings_nothing_is_refused(
    world: ForkWorld, pull: str, patchctl: Patchctl
) -> None:
    world.pull_request(8, world.tip or "")
    old = show(world.fork, "rev-parse", f"{pull}~1")
    before = digest_of(world.workspace)
    for words, said in (
        (["#99"], "there is no pull request"),
        (["#7", "--head", old], f"moved from {old[:9]} to {pull[:9]}"),
        (["#8"], "brings nothing"),
    ):
        ran = patchctl("import", *words, "--stack", "s", cwd=world.workspace)
        assert (ran.code, digest_of(world.workspace)) == (3, before), ran
        assert said in ran.stderr


def test_a_pull_request_that_conflicts_is_refused_with_its_files(world: ForkWorld, patchctl: Patchctl) -> None:
    old = show(world.upstream, "rev-parse", "master~1")
    world.pull_request(8, world.fork_commit({"engine.c": text({15: "mine"})}, "mine", on=old))
    before = digest_of(world.workspace)
    ran = patchctl("import", "#8", "--stack", "s", cwd=world.workspace)
    assert (ran.code, digest_of(world.workspace)) == (4, before), ran
    assert "conflicts in engine.c" in ran.stderr


def test_a_pin_moves_on_purpose_and_shows_what_changed(world: ForkWorld, pull: str, patchctl: Patchctl) -> None:
    assert patchctl("import", "#7", "--stack", "s", cwd=world.workspace).code == 0
    newer = {"engine.c": text({3: "three", 15: "upstream", 25: "bobby"})}
    head = world.fork_commit(newer, "engine : more of bob", on=pull, author=BOB)
    world.pull_request(7, head)
    again = patchctl("import", "#7", "--stack", "s", cwd=world.workspace)
    assert (again.code, "--update engine-say-three" in again.stderr) == (2, True)
    words = ("import", "--update", "engine-say-three", "--head")
    ran = patchctl(*words, head, cwd=world.workspace)
    assert ran.code == 0, ran
    assert "engine : more of bob" in ran.stdout
    assert "+bobby" in (world.patches("engine-say-three") / "b2-2.patch").read_text()
    assert f"  head: {head}\n" in page(world, "engine-say-three").replace('"', "")
    assert outcomes(world, patchctl) == {"engine-say-three": "clean"}
    before = digest_of(world.workspace)
    assert patchctl(*words, head, cwd=world.workspace).code == 0
    assert digest_of(world.workspace) == before
    gone = patchctl(*words, "1" * 40, cwd=world.workspace)
    assert (gone.code, digest_of(world.workspace)) == (3, before), gone
    assert f"its head moved to {head}" in gone.stderr


def test_a_pin_of_a_patch_in_no_stack_goes_back_only_where_its_new_revision_counts(
    world: ForkWorld, pull: str, patchctl: Patchctl
) -> None:
    assert patchctl("import", "#7", "--upstream", f"https://{URL}.git", cwd=world.workspace).code == 0
    folder = world.patches("engine-say-three")
    (made,) = folder.glob("b*.patch")
    made.rename(folder / "b9.patch")
    before = digest_of(world.workspace)
    earlier = show(world.fork, "rev-parse", f"{pull}~1")
    ran = patchctl(
        "import",
        "--update",
        "engine-say-three",
        "--head",
        earlier,
        "--upstream",
        f"https://{URL}.git",
        cwd=world.workspace,
    )
    assert (ran.code, "its revision for b9 would count" in ran.stderr) == (2, True), ran
    assert digest_of(world.workspace) == before


def test_a_pin_that_goes_back_counts_and_its_older_revision_stays(
    world: ForkWorld, pull: str, patchctl: Patchctl
) -> None:
    assert patchctl("import", "#7", "--stack", "s", cwd=world.workspace).code == 0
    words = ("import", "--update", "engine-say-three", "--head")
    earlier = show(world.fork, "rev-parse", f"{pull}~1")
    for head, file, bob in ((earlier, "b2-2.patch", False), (pull, "b2-3.patch", True)):
        ran = patchctl(*words, head, cwd=world.workspace)
        assert (ran.code, file in ran.stdout) == (0, True), ran
        found = json.loads(patchctl("check", "s", "--json", cwd=world.workspace).stdout)["patches"]
        assert found[0]["revision"] == file
        assert ("+bob" in (world.patches("engine-say-three") / file).read_text()) is bob


def test_a_pin_whose_head_is_gone_for_good_can_still_be_moved(
    world: ForkWorld, pull: str, patchctl: Patchctl, isolated: Path
) -> None:
    """A force-push, then a machine that never saw the head that was pinned."""
    assert patchctl("import", "#7", "--stack", "s", cwd=world.workspace).code == 0
    head = world.fork_commit({"notes.md": "all anew\n"}, "notes : anew", on=world.tip)
    world.pull_request(7, head)
    git("-C", world.upstream, "reflog", "expire", "--expire=now", "--all")
    git("-C", world.upstream, "gc", "--quiet", "--prune=now")
    shutil.rmtree(isolated / "cache")
    ran = patchctl("import", "--update", "engine-say-three", "--head", head, cwd=world.workspace)
    assert ran.code == 0, ran
    assert "the head until now is gone" in ran.stderr
    assert "all anew" in (world.patches("engine-say-three") / "b2-2.patch").read_text()


def test_a_page_says_the_head_that_is_pinned_and_the_same_again_writes_nothing(
    world: ForkWorld, pull: str, patchctl: Patchctl
) -> None:
    earlier = show(world.fork, "rev-parse", f"{pull}~1")
    assert patchctl("import", "#7", "--stack", "s", cwd=world.workspace).code == 0
    assert page(world, "engine-say-three").count(pull) == 2
    words = ("import", "--update", "engine-say-three", "--head", earlier)
    assert "wrote patches/engine-say-three/b2-2.patch; " in patchctl(*words, cwd=world.workspace).stdout
    text = page(world, "engine-say-three")
    assert (text.count(pull), text.count(f"#7 at its head {earlier}.")) == (0, 1)
    before = digest_of(world.workspace)
    again = patchctl(*words, cwd=world.workspace)
    assert (again.code, digest_of(world.workspace)) == (0, before)
    assert "unchanged patches/engine-say-three/b2-2.patch; " in again.stdout
    assert json.loads(patchctl(*words, "--json", cwd=world.workspace).stdout)["changed"] is False


def test_commits_without_a_change_are_told(world: ForkWorld, patchctl: Patchctl) -> None:
    first = world.fork_commit({}, "nothing at all", on=world.tip)
    last = world.fork_commit({"notes.md": "more\n"}, "notes : more", on=first)
    for commit in (first, last):
        git("-C", world.fork, "push", "--quiet", world.upstream, f"{commit}:refs/heads/{commit[:4]}")
    ran = patchctl("import", f"{world.tip}..{first}", "--stack", "s", cwd=world.workspace)
    assert (ran.code, world.ids()) == (3, []), ran
    assert f"only commits without a change: {first[:9]} (nothing at all) changes nothing\n" in ran.stderr
    ran = patchctl("import", f"{world.tip}..{last}", "--stack", "s", cwd=world.workspace)
    assert (ran.code, world.ids()) == (0, ["notes-more"]), ran
    assert f"note: {first[:9]} (nothing at all) changes nothing; left out\n" in ran.stderr


def test_only_a_pinned_pull_request_can_move(world: ForkWorld, patchctl: Patchctl) -> None:
    world.patch("own", {"notes.md": "more\n"})
    world.stack("own")
    for words in (["--head", "1" * 40], ["--head", "main"], []):
        assert patchctl("import", "--update", "own", *words, cwd=world.workspace).code == 2


def test_words_that_name_nothing_are_explained(world: ForkWorld, patchctl: Patchctl) -> None:
    for word, code, said in (
        ("nothing.patch", 2, "no file or folder"),
        ("0123456789", 2, "abbreviated"),
        ("0" * 40, 3, "has no commit"),
        (f"{world.tip}..{world.tip}", 3, "holds no commit"),
    ):
        ran = patchctl("import", word, "--stack", "s", cwd=world.workspace)
        assert (ran.code, said in ran.stderr) == (code, True), ran
    assert patchctl("import", cwd=world.workspace).code == 2
    assert git("-C", world.upstream, "rev-parse", "master")
