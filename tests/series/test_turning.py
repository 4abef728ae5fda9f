"""The first cause of a conflict is the commit of upstream that breaks the patch, not the first near its lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.world import World, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

MINE = {10: "mine", 14: "mine too"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"engine.c": text(), "notes.md": text()})
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def causes(world: World, patchctl: Patchctl, patch: str = "p") -> dict[str, list[int]]:
    ran = patchctl("check", "s", "--onto", world.tip, "--json", cwd=world.workspace)
    assert ran.code == 4, ran
    (row,) = (row for row in json.loads(ran.stdout)["patches"] if row["id"] == patch)
    return {one["path"]: [cause["pr"] for cause in one["upstream_commits"]] for one in row["conflicts"]}


def test_the_commit_that_breaks_it_is_named_first(world: World, patchctl: Patchctl) -> None:
    world.patch("p", {"engine.c": text(MINE)})
    world.stack("p")
    between = {12: "between the lines of the patch"}
    world.commit({"engine.c": text(between)}, "engine : near (#31)")
    world.commit({"notes.md": text({3: "x"})}, "notes (#32)")
    world.commit({"engine.c": text({**between, 10: "theirs"})}, "engine : on it (#37)")
    world.commit({"engine.c": text({**between, 10: "theirs", 14: "later"})}, "engine : later (#40)")
    assert causes(world, patchctl) == {"engine.c": [37, 31, 40]}


@pytest.mark.parametrize("breaks", range(1, 8))
def test_it_is_found_wherever_it_stands(breaks: int, world: World, patchctl: Patchctl) -> None:
    world.patch("p", {"engine.c": text(MINE)})
    world.stack("p")
    for number in range(1, 8):
        theirs = {10: "theirs"} if number >= breaks else {}
        world.commit({"engine.c": text({12: f"version {number}", **theirs})}, f"engine : again (#{number})")
    assert causes(world, patchctl)["engine.c"][0] == breaks


def test_of_a_change_taken_back_and_made_again_one_that_breaks_is_named(world: World, patchctl: Patchctl) -> None:
    world.patch("p", {"engine.c": text(MINE)})
    world.stack("p")
    for number, line in enumerate(["theirs", "line 10", "theirs again"], 1):
        world.commit({"engine.c": text({10: line})}, f"engine : now {line} (#{number})")
    assert causes(world, patchctl)["engine.c"][0] in {1, 3}


def test_each_file_has_its_own(world: World, patchctl: Patchctl) -> None:
    world.patch("p", {"engine.c": text(MINE), "notes.md": text(MINE)})
    world.stack("p")
    world.commit({"notes.md": text({10: "theirs"})}, "notes (#1)")
    world.commit({"engine.c": text({10: "theirs"})}, "engine (#2)")
    assert causes(world, patchctl) == {"engine.c": [2], "notes.md": [1]}


def test_a_patch_is_tried_on_what_it_requires(world: World, patchctl: Patchctl) -> None:
    under = world.patch("under", {"engine.c": text({10: "under"})})
    world.patch("p", {"engine.c": text({10: "under, then mine", 14: "mine too"})}, on=under, base=world.tip,
                requires=["under"])  # fmt: skip
    world.stack("under", "p")
    world.commit({"engine.c": text({12: "near"})}, "engine : near (#1)")
    world.commit({"engine.c": text({12: "near", 14: "theirs"})}, "engine : on it (#2)")
    assert causes(world, patchctl)["engine.c"] == [2, 1]


def test_a_patch_is_tried_on_all_before_it_when_it_does_not_say_what_it_requires(
    world: World, patchctl: Patchctl
) -> None:
    under = world.patch("under", {"engine.c": text({10: "under"})})
    world.patch("p", {"engine.c": text({10: "under, then mine", 14: "mine too"})}, on=under, base=world.tip)
    world.stack("under", "p")
    world.commit({"engine.c": text({12: "near"})}, "engine : near (#1)")
    world.commit({"engine.c": text({12: "near", 14: "theirs"})}, "engine : on it (#2)")
    assert causes(world, patchctl)["engine.c"] == [2, 1]


def test_a_patch_that_never_applied_is_told_by_its_lines_alone(world: World, patchctl: Patchctl) -> None:
    other = world.commit({"engine.c": text({10: "elsewhere"})}, parent=world.tip)
    world.patch("p", {"engine.c": text({10: "mine"})}, on=other, base=world.tip)
    world.stack("p")
    world.commit({"engine.c": text({10: "theirs"})}, "engine : on it (#1)")
    assert causes(world, patchctl)["engine.c"] == [1]


def test_a_whole_file_removed_is_the_cause(world: World, patchctl: Patchctl) -> None:
    world.patch("p", {"engine.c": text(MINE)})
    world.stack("p")
    world.commit({"engine.c": text({12: "near"})}, "engine : near (#1)")
    world.commit({"engine.c": None}, "engine : gone (#2)")
    world.commit({"engine.c": "another\n"}, "engine : another (#3)")
    assert causes(world, patchctl)["engine.c"][0] == 2
