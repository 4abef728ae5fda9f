"""What a revision was made on is what it records, whatever the stack has become since."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.world import World, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

FIRST, SECOND = {10: "first"}, {10: "first", 12: "second"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two patches, the second made on top of the first, and an upstream that moved on a line of the same file."""
    world = World(tmp_path)
    base = world.commit({"engine.c": text()})
    first = world.patch("first", {"engine.c": text(FIRST)})
    world.patch("second", {"engine.c": text(SECOND)}, on=first, base=base, message="second it")
    world.commit({"engine.c": text({20: "upstream's"})})
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def outcomes(world: World, patchctl: Patchctl) -> dict[str, str]:
    ran = patchctl("check", "s", "--json", "--no-alone", cwd=world.workspace)
    return {row["id"]: row["outcome"] for row in json.loads(ran.stdout)["patches"]}


def records(world: World) -> int:
    return (world.patches("second") / "b1.patch").read_text().count("prerequisite-patch-id: ")


def test_a_newer_revision_of_a_predecessor_does_not_hide_the_older_one(world: World, patchctl: Patchctl) -> None:
    old = (world.patches("first") / "b1.patch").read_bytes()
    base = git("-C", world.upstream, "rev-parse", "master~1").decode().strip()
    world.patch("first", {"engine.c": text({10: "first, in other words"})}, on=base, base=base)
    newer = (world.patches("first") / "b1.patch").read_bytes()
    (world.patches("first") / "b1.patch").write_bytes(old)
    (world.patches("first") / "b1-2.patch").write_bytes(newer)
    world.stack("first", "second")
    assert (records(world), outcomes(world, patchctl)) == (1, {"first": "offset", "second": "3way"})


def test_a_predecessor_that_the_stack_no_longer_has_is_still_what_it_was_made_on(
    world: World, patchctl: Patchctl
) -> None:
    world.stack("second")
    assert outcomes(world, patchctl) == {"second": "3way"}


def test_a_revision_that_cannot_be_read_hides_no_other(world: World, patchctl: Patchctl) -> None:
    world.stack("second")
    (world.patches("first") / "b0.patch").write_bytes(b"\0 no patch\n")
    (world.patches("other") / "b1.patch").mkdir(parents=True)
    assert outcomes(world, patchctl) == {"second": "3way"}


def test_without_what_it_records_nothing_is_merged(world: World, patchctl: Patchctl, tmp_path: Path) -> None:
    world.stack("second")
    world.patches("first").rename(tmp_path / "gone")
    assert outcomes(world, patchctl) == {"second": "conflict"}
