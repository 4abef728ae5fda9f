"""``patchctl refresh``: new revisions for a base, where they are needed, and no others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.world import World, text
from tests.upstreams.maker import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Six patches made on b1: on b2 one each is clean, offset, 3way, absorbed, in conflict; the last needs that one."""
    world = World(tmp_path)
    files = {f"{name}.c": text() for name in ("clean", "offset", "merged", "has", "clash")}
    world.commit(files)
    world.patch("clean", {"clean.c": text({3: "ours"})})
    world.patch("offset", {"offset.c": text({20: "ours"})})
    world.patch("merged", {"merged.c": text({20: "ours"})})
    world.patch("has", {"has.c": text({3: "same"})})
    clash = world.patch("clash", {"clash.c": text({3: "ours"})})
    world.patch("after", {"clash.c": text({3: "ours", 28: "after"})}, on=clash, base=world.tip)
    world.commit(
        {
            "offset.c": "new\n" + text(),
            "merged.c": text({18: "theirs"}),
            "has.c": text({3: "same"}),
            "clash.c": text({3: "theirs"}),
        },
        "upstream (#2)",
    )
    world.stack("clean", "offset", "merged", "has", "clash", "after")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def outcomes(world: World, patchctl: Patchctl, *more: str) -> tuple[dict[str, str], str | None]:
    found = json.loads(patchctl("check", "s", "--json", "--no-alone", *more, cwd=world.workspace).stdout)
    return {patch["id"]: patch["outcome"] for patch in found["patches"]}, (found["result"] or {}).get("commit")


def made(world: World) -> list[str]:
    folder = world.workspace / "patches"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("b2*.patch"))


def test_what_applies_other_than_exactly_is_made_anew_and_the_rest_is_left_and_said(
    world: World, patchctl: Patchctl
) -> None:
    ran = patchctl("refresh", "s", cwd=world.workspace)
    assert ran.code == 4
    assert [" ".join(line.split()) for line in ran.stdout.splitlines()[1:]] == [
        "clean clean stands on the same files here",
        "offset offset wrote patches/offset/b2.patch",
        "merged 3way wrote patches/merged/b2.patch",
        "has absorbed upstream has it",
        "clash conflict conflicts in clash.c",
        "after offset waits for clash, which touches the same files",
        "1 of 6 conflicts. Open with: patchctl apply s",
    ]
    assert made(world) == ["merged/b2.patch", "offset/b2.patch"]
    found = outcomes(world, patchctl)[0]
    assert (found["offset"], found["merged"], found["clash"]) == ("clean", "clean", "conflict")
    assert f"base-commit: {world.tip}" in (world.patches("merged") / "b2.patch").read_text()


def test_a_second_refresh_writes_nothing_and_the_commit_stays(world: World, patchctl: Patchctl) -> None:
    world.stack("clean", "offset", "merged", "has")
    before = outcomes(world, patchctl)[1]
    assert patchctl("refresh", "s", cwd=world.workspace).code == 0
    assert outcomes(world, patchctl)[1] == before
    held = digest_of(world.workspace)
    assert patchctl("refresh", "s", cwd=world.workspace).code == 0
    assert digest_of(world.workspace) == held


def test_only_what_is_named_is_made_anew(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("refresh", "s", "merged", "--json", cwd=world.workspace)
    assert ran.code == 0
    assert {one["id"]: one["written"] for one in json.loads(ran.stdout)["patches"] if one["written"]} == {
        "merged": "patches/merged/b2.patch"
    }
    assert patchctl("refresh", "s", "clash", cwd=world.workspace).code == 4
    ran = patchctl("refresh", "s", "mergd", cwd=world.workspace)
    assert (ran.code, 'did you mean "merged"' in ran.stderr) == (2, True)


def test_onto_makes_revisions_for_that_commit_and_leaves_the_stack_on_its_base(
    world: World, patchctl: Patchctl
) -> None:
    stack = world.stack("clean", "offset", "clash", base=_first(world))
    before = stack.read_bytes(), outcomes(world, patchctl)
    ran = patchctl("refresh", "s", "--onto", "b2", cwd=world.workspace)
    assert "Open with: patchctl apply s --onto b2" in ran.stdout
    assert made(world) == ["offset/b2.patch"]
    assert (stack.read_bytes(), outcomes(world, patchctl)) == before
    assert outcomes(world, patchctl, "--onto", "b2")[0]["offset"] == "clean"


def test_a_patch_that_lost_what_was_below_it_is_made_anew_by_name(world: World, patchctl: Patchctl) -> None:
    one = world.patch("one", {"clean.c": "top\n" + text()})
    world.patch("two", {"clean.c": "top\n" + text({9: "two"})}, on=one, base=world.tip)
    world.stack("two")
    assert patchctl("refresh", "s", cwd=world.workspace).code == 0
    assert outcomes(world, patchctl)[0]["two"] == "offset"
    assert patchctl("refresh", "s", "two", cwd=world.workspace).code == 0
    assert "two/b2-2.patch" in made(world)
    assert outcomes(world, patchctl)[0]["two"] == "clean"


def _first(world: World) -> str:
    from tests.series.world import show

    return show(world.upstream, "rev-parse", "master^")
