"""``patchctl repin``: the next stack without what landed, a worktree where a person is needed, and nothing lost."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.built import copied_demo
from tests.series.vanish import each_step
from tests.series.world import World, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

QUICK = ("--no-build",)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Upstream goes on from b1 to b3: it lands one patch, moves another, leaves one alone, and clashes with none."""
    world = World(tmp_path)
    world.commit({"landed.c": text(), "moved.c": text(), "left.c": text(), "clash.c": text()})
    landed = world.patch("landed", {"landed.c": text({3: "ours"})})
    world.patch("after-landed", {"landed.c": text({3: "ours", 25: "more"})}, on=landed, base=world.tip,
                requires=["landed"])  # fmt: skip
    world.patch("moved", {"moved.c": text({20: "ours"})})
    world.patch("left", {"left.c": text({3: "ours"})})
    clash = world.patch("clash", {"clash.c": text({3: "ours"})})
    world.patch("after-clash", {"clash.c": text({3: "ours", 28: "after"})}, on=clash, base=world.tip,
                requires=["clash"])  # fmt: skip
    world.stack("landed", "after-landed", "moved", "left", name="b1")
    path = world.stack("left", "clash", "after-clash", "moved", name="hard")
    path.write_text("# the hard one\n" + path.read_text().replace("\n", "  # b1\n", 1))
    squash = world.commit({"landed.c": text({3: "ours", 4: "tidied"})}, "engine : land it (#7)")
    front = f"---\ntitle: landed\nupstream: {{commit: {squash}}}\ndrop_when: {{commit: {squash}}}\n---\n# Why\n"
    (world.patches("landed") / "README.md").write_text(front)
    world.commit({"moved.c": "new\n" + text(), "clash.c": text({3: "theirs"})}, "engine : move (#8)")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def run(world: World, patchctl: Patchctl, *words: str) -> Any:
    return patchctl("repin", *words, cwd=world.workspace)


def to_tip(world: World, *more: str) -> tuple[str, ...]:
    return ("--to", world.tip or "", *QUICK, *more)


def actions(ran: Any) -> dict[str, str]:
    return {patch["id"]: patch["action"] for patch in json.loads(ran.stdout)["patches"]}


def files(world: World) -> dict[str, bytes]:
    """Return every file of the workspace but those of worktrees, leftovers of a kill included."""
    root = world.workspace
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("work/")}


def outcomes(world: World, patchctl: Patchctl, stack: str) -> dict[str, str]:
    ran = patchctl("check", stack, "--json", "--no-alone", cwd=world.workspace)
    return {patch["id"]: patch["outcome"] for patch in json.loads(ran.stdout)["patches"]}


def solve(world: World, content: str, stack: str = "hard") -> None:
    (world.workspace / "work" / f"{stack}~repin" / "clash.c").write_text(content)


# --- what needs no person ---------------------------------------------------------------------------------------------


def test_what_landed_goes_what_moved_is_made_anew_and_the_old_stack_stays(world: World, patchctl: Patchctl) -> None:
    patchctl("lock", "b1", cwd=world.workspace)
    before = files(world)
    ran = run(world, patchctl, "b1", *to_tip(world))
    assert ran.code == 0
    assert [" ".join(line.split()) for line in ran.stdout.splitlines()] == [
        f"b1 -> b3 on {(world.tip or '')[:9]} (b3): 3 of 4 patches stay",
        f"landed retire landed as {landed_as(world)[:9]} in b2",
        "after-landed refresh offset",
        "moved refresh offset",
        "left carry clean",
        "wrote patches/after-landed/b3.patch",
        "wrote patches/moved/b3.patch",
        "wrote patches/landed/README.md",
        "wrote stacks/b3.yaml",
        "wrote stacks/b3.lock.yaml",
    ]
    after = files(world)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {"patches/landed/README.md"}
    assert "retired: {build: 2, " in (world.patches("landed") / "README.md").read_text()
    assert set(outcomes(world, patchctl, "b3").values()) == {"clean"}
    assert patchctl("check", "b1", cwd=world.workspace).code == 0


def landed_as(world: World) -> str:
    return (world.patches("landed") / "README.md").read_text().split("commit: ")[1][:40]


def test_run_twice_it_changes_nothing(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "b1", *to_tip(world))
    before = files(world)
    ran = run(world, patchctl, "b1", *to_tip(world))
    assert (ran.code, files(world)) == (0, before)
    assert "wrote" not in ran.stdout


def test_what_needs_a_patch_that_landed_needs_it_no_more(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "b1", *to_tip(world))
    assert outcomes(world, patchctl, "b3")["after-landed"] == "clean"
    linted = patchctl("lint", "stacks/b3.yaml", cwd=world.workspace)
    assert linted.code == 0, linted
    # On a base that has not got it, it is needed as before.
    stack = world.workspace / "stacks" / "b1.yaml"
    stack.write_text(stack.read_text().replace("[landed, ", "["))
    ran = patchctl("check", "b1", cwd=world.workspace)
    assert ran.code == 3
    assert "after-landed requires landed, which the stack does not have" in ran.stderr


def test_a_dry_run_says_the_same_and_writes_nothing(world: World, patchctl: Patchctl) -> None:
    before = files(world)
    dry = run(world, patchctl, "b1", *to_tip(world, "--dry-run", "--json"))
    assert (dry.code, files(world)) == (0, before)
    assert json.loads(dry.stdout)["dry_run"]
    wet = run(world, patchctl, "b1", *to_tip(world, "--json"))
    assert actions(dry) == actions(wet)


def test_a_stack_that_moves_in_place_keeps_its_name_and_comments(world: World, patchctl: Patchctl) -> None:
    path = world.workspace / "stacks" / "b1.yaml"
    path.write_text(path.read_text() + "# at the end\n")
    old = world.tip or ""
    base = path.read_text().split("commit: ")[1][:40]
    expected = path.read_text().replace(base, old).replace("[landed, ", "[")
    assert run(world, patchctl, "b1", *to_tip(world, "--in-place")).code == 0
    assert path.read_text() == expected
    before = files(world)
    assert run(world, patchctl, "b1", *to_tip(world, "--in-place")).code == 0
    assert files(world) == before
    assert patchctl("lint", cwd=world.workspace).code == 0, "what retired is no orphan"


def test_what_one_sign_alone_speaks_for_is_carried_and_said(world: World, patchctl: Patchctl) -> None:
    # Upstream makes the change in other words around it: merged it brings nothing, and nothing else says so.
    world.commit({"left.c": text({3: "ours", 5: "theirs"}), "moved.c": text({1: "x"})}, "engine : same")
    ran = run(world, patchctl, "b1", *to_tip(world))
    row = next(line for line in ran.stdout.splitlines() if line.split()[0] == "left")
    assert row.split()[1:3] == ["carry", "absorbed"]
    assert "review, carried: " in row
    assert "left" in (world.workspace / "stacks" / "b4.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["b1"], "say where to with --to REF"),
        (["b1", "--to", "b3", "--continue"], "give no --to"),
        (["b1", "--to", "b3", "--in-place", "--release", "x"], "--in-place keeps the one there is"),
        (["b1", "--to", "b3", "--release", "b1"], "is the release of stacks/b1.yaml itself"),
        (["b1", "--to", "b3", "--release", "hard"], "stacks/hard.yaml exists and stands on"),
        (["b1", "--to", "b3", "--release", "../x"], "is no name of a release"),
        (["b1", "--continue"], "no repin is open"),
        (["b1", "--abort"], "nothing to abort"),
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, patchctl: Patchctl, words: list[str], why: str) -> None:
    before = files(world)
    ran = run(world, patchctl, *words)
    assert ran.code == 2
    assert why in ran.stderr
    assert files(world) == before


def test_it_builds_unless_told_not_to(world: World, patchctl: Patchctl) -> None:
    ran = run(world, patchctl, "b1", "--to", world.tip or "", "--json")
    assert ran.code == 5, "this upstream has no CMakeLists.txt"
    assert "wrote" not in ran.stdout
    assert json.loads(ran.stdout)["build"]["variants"]["cpu"]["state"] == "failed"
    assert (world.workspace / "stacks" / "b3.lock.yaml").exists()


@pytest.mark.slow
def test_it_really_builds_and_tests_the_new_stack(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    """To the demo's newest upstream: it has one patch, one applies, and the third, which conflicts, is left out."""
    demo = copied_demo(tmp_path_factory, monkeypatch, tmp_path / "demo")
    stack = demo.root / "stacks" / "demo.yaml"
    stack.write_text("".join(line for line in stack.read_text().splitlines(True) if "    debug:" not in line))
    assert patchctl("repin", "demo", "--to", "b38", cwd=demo.root).code == 4
    ran = patchctl("repin", "demo", "--skip", "--json", cwd=demo.root)
    assert ran.code == 10, ran
    assert actions(ran) == {"whole-characters": "retire", "fresh-sampler": "refresh", "request-seed": "leave out"}
    variants = json.loads(ran.stdout)["build"]["variants"]
    assert {name: it["state"] for name, it in variants.items()} == {"release": "built"}
    assert (demo.root / "out" / "b38" / "release" / "bin" / "demo-server").is_file()
    evidence = json.loads((demo.root / "stacks" / "b38.evidence.json").read_text())
    assert evidence["variants"]["release"]["proven"]


# --- with a person ----------------------------------------------------------------------------------------------------


def test_a_conflict_stops_in_a_worktree_and_goes_on(world: World, patchctl: Patchctl) -> None:
    before = files(world)
    ran = run(world, patchctl, "hard", *to_tip(world, "--json"))
    found = json.loads(ran.stdout)
    assert (ran.code, found["stopped_at"], found["conflicts"]) == (4, "clash", ["clash.c"])
    assert actions(ran) == {"left": "carry", "clash": "solve", "after-clash": "wait", "moved": "refresh"}
    assert files(world) == before
    assert run(world, patchctl, "hard", *to_tip(world)).code == 9, "it is open"
    assert run(world, patchctl, "hard", "--continue").code == 4, "markers are left"
    solve(world, text({3: "both"}))
    ran = run(world, patchctl, "hard", "--continue", *QUICK, "--json")
    assert ran.code == 0, ran
    assert actions(ran) == {"left": "carry", "clash": "refresh", "after-clash": "refresh", "moved": "refresh"}
    assert sorted(json.loads(ran.stdout)["written"]) == [
        "patches/after-clash/b3.patch", "patches/clash/b3.patch", "patches/moved/b3.patch",
        "stacks/b3.lock.yaml", "stacks/b3.yaml",
    ]  # fmt: skip
    assert set(outcomes(world, patchctl, "b3").values()) == {"clean"}
    assert not (world.workspace / "work").exists()
    after = files(world)
    assert {name: after[name] for name in before} == before
    assert run(world, patchctl, "hard", *to_tip(world)).code == 0
    assert files(world) == after


def test_what_a_person_leaves_out_is_said_each_time(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world))
    ran = run(world, patchctl, "hard", "--skip", *QUICK)
    assert ran.code == 10
    assert run(world, patchctl, "hard", *to_tip(world)).code == 10
    for again in (ran, run(world, patchctl, "hard", *to_tip(world))):
        for patch in ("clash", "after-clash"):
            assert f"warning: {patch} is neither in the base nor in b3: it was left out" in again.stderr
    assert list(outcomes(world, patchctl, "b3")) == ["left", "moved"]


def test_a_conflict_that_was_left_out_is_not_remembered_as_solved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    world = World(tmp_path)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.commit({"one.c": text(), "two.c": text()})
    for name in ("one", "two"):
        world.patch(name, {f"{name}.c": text({3: "ours"})})
    world.stack("one", "two", name="hard")
    world.commit({"one.c": text({3: "theirs"}), "two.c": text({3: "theirs"})})
    assert run(world, patchctl, "hard", *to_tip(world)).code == 4
    ran = run(world, patchctl, "hard", "--skip", "--json")
    assert json.loads(ran.stdout)["stopped_at"] == "two"
    assert run(world, patchctl, "hard", "--abort").code == 0
    again = run(world, patchctl, "hard", *to_tip(world, "--json"))
    assert (again.code, json.loads(again.stdout)["stopped_at"]) == (4, "one")


def test_what_was_not_to_be_built_is_not_built_after_a_conflict(world: World, patchctl: Patchctl) -> None:
    assert run(world, patchctl, "hard", *to_tip(world)).code == 4  # with --no-build
    solve(world, text({3: "both"}))
    ran = run(world, patchctl, "hard", "--continue", "--json")
    assert (ran.code, json.loads(ran.stdout)["build"]) == (0, None)


def test_what_is_solved_to_nothing_retires(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world))
    solve(world, text({3: "theirs"}))
    ran = run(world, patchctl, "hard", "--continue", *QUICK, "--json")
    assert ran.code == 0, ran
    assert actions(ran)["clash"] == "retire"
    assert "retired: {build: 3, reason: " in (world.patches("clash") / "README.md").read_text()
    assert outcomes(world, patchctl, "b3") == {"left": "clean", "after-clash": "clean", "moved": "clean"}
    again = run(world, patchctl, "hard", *to_tip(world, "--json"))
    assert (again.code, again.stderr, actions(again)["clash"]) == (0, "", "retire")


def test_markers_that_were_added_are_told_and_what_is_yours_outlives_an_abort(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world))
    work = world.workspace / "work" / "hard~repin"
    git("-C", work, "add", "-A")
    ran = run(world, patchctl, "hard", "--continue", *QUICK)
    assert (ran.code, "conflict markers are left" in ran.stderr) == (4, True), ran
    (work / "mine.txt").write_text("mine\n")
    ran = run(world, patchctl, "hard", "--abort", "--json")
    assert json.loads(ran.stdout) == {"schema_version": 1, "aborted": True, "aside": "work/hard~repin.aside-1"}
    assert (work.with_name("hard~repin.aside-1") / "mine.txt").is_file()


def test_ended_with_abort_nothing_was_written(world: World, patchctl: Patchctl) -> None:
    before = files(world)
    run(world, patchctl, "hard", *to_tip(world))
    assert run(world, patchctl, "hard", "--abort").code == 0
    assert files(world) == before
    assert not (world.workspace / "work").exists()


def test_what_was_solved_once_is_solved_again(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world))
    solve(world, text({3: "both"}))
    run(world, patchctl, "hard", "--continue", *QUICK)
    for name in ("clash", "after-clash", "moved"):
        (world.patches(name) / "b3.patch").unlink()
    for name in ("b3.yaml", "b3.lock.yaml"):
        (world.workspace / "stacks" / name).unlink()
    ran = run(world, patchctl, "hard", *to_tip(world))
    assert ran.code == 0, ran
    assert "clash is solved as it was before" in ran.stdout
    assert set(outcomes(world, patchctl, "b3").values()) == {"clean"}


def test_a_patch_is_merged_from_what_it_was_made_on_though_the_one_below_was_made_anew(
    world: World, patchctl: Patchctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(world, patchctl, "hard", *to_tip(world))
    solve(world, text({3: "both", 26: "in its context"}))
    run(world, patchctl, "hard", "--continue", *QUICK)
    (world.patches("after-clash") / "b3.patch").unlink()
    for name in ("b3.yaml", "b3.lock.yaml"):
        (world.workspace / "stacks" / name).unlink()
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "another"))
    ran = run(world, patchctl, "hard", *to_tip(world, "--json"))
    assert ran.code == 0, ran
    found = {patch["id"]: patch["outcome"] for patch in json.loads(ran.stdout)["patches"]}
    assert (found["clash"], found["after-clash"]) == ("clean", "3way")


def test_a_stack_that_was_edited_meanwhile_in_place_is_not_written_over(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world, "--in-place"))
    solve(world, text({3: "both"}))
    path = world.workspace / "stacks" / "hard.yaml"
    path.write_text("# mine\n" + path.read_text())
    ran = run(world, patchctl, "hard", "--continue", *QUICK)
    assert ran.code == 3
    assert "is not what it was when this repin began" in ran.stderr
    assert path.read_text().startswith("# mine\n")


# --- killed -----------------------------------------------------------------------------------------------------------


def kept(world: World) -> dict[str, bytes]:
    """Return the files that count: what a kill leaves beside them is hidden."""
    return {name: content for name, content in files(world).items() if "/." not in name}


def test_killed_at_any_instant_it_can_be_run_again(world: World, patchctl: Patchctl) -> None:
    words = ["repin", "b1", *to_tip(world)]
    run(world, patchctl, "b1", *to_tip(world, "--dry-run"))  # what a kill does to the store is tested elsewhere
    pristine = world.workspace.with_name("pristine")
    shutil.copytree(world.workspace, pristine)
    assert patchctl(*words, cwd=world.workspace).code == 0
    expected = kept(world)
    reset(world, pristine)
    steps = 0
    for _ in each_step(words, world.workspace, pace=3):
        assert {name: kept(world)[name] for name in kept_before(pristine)} == kept_before(pristine)
        assert patchctl(*words, cwd=world.workspace).code == 0
        assert kept(world) == expected
        reset(world, pristine)
        steps += 1
    assert steps > 3


def kept_before(pristine: Path) -> dict[str, bytes]:
    """Return the old stack's own files, which nothing may change at any time."""
    names = ["stacks/b1.yaml", "patches/landed/b1.patch", "patches/moved/b1.patch"]
    return {name: (pristine / name).read_bytes() for name in names}


def test_killed_while_going_on_it_can_go_on_again(world: World, patchctl: Patchctl) -> None:
    run(world, patchctl, "hard", *to_tip(world, "--in-place"))
    solve(world, text({3: "both"}))
    pristine = world.workspace.with_name("pristine")
    shutil.copytree(world.workspace, pristine, symlinks=True)
    words = ["repin", "hard", "--continue", *QUICK]
    assert patchctl(*words, cwd=world.workspace).code == 0
    expected = kept(world)
    reset(world, pristine)
    steps = 0
    for _ in each_step(words, world.workspace, pace=19):
        if patchctl(*words, cwd=world.workspace).code == 2:  # all but the lock was written when it was killed
            assert run(world, patchctl, "hard", *to_tip(world, "--in-place")).code == 0
        assert kept(world) == expected
        reset(world, pristine)
        steps += 1
    assert steps > 2


def reset(world: World, pristine: Path) -> None:
    shutil.rmtree(world.workspace)
    shutil.copytree(pristine, world.workspace, symlinks=True)
