"""What lint says of the patches of a stack among each other: what check warns of, and upstream is never asked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.git import COUNTER
from tests.series.world import World, text
from tests.upstreams.maker import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Patchctl = Callable[..., Any]

WAYS = "one way to do the thing\nand another way"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack whose second patch needs the first, and whose third makes the change of the second again, and more."""
    world = World(tmp_path)
    world.commit({"engine.c": text(), "notes.md": "notes\n"})
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    one = world.patch("one", {"engine.c": text({3: "one"})})
    ways = text({3: "three", 20: WAYS})
    world.patch("two", {"engine.c": ways}, on=one, base=world.tip)
    world.patch("three", {"engine.c": text({20: WAYS}), "notes.md": "more\n"})
    world.stack("one", "two", "three")
    return world


def warned(world: World, patchctl: Patchctl, *words: str) -> list[str]:
    ran = patchctl("lint", *words, cwd=world.workspace)
    return [line.partition(": ")[2] for line in ran.stdout.splitlines() if line.startswith("stacks/")]


AGAIN = "warning: three holds all of two; one of them is enough (engine.c)"
NEEDS = "warning: two needs lines of one; add to requires"


def test_changes_that_two_patches_make_are_told_where_nothing_but_the_patches_is_here(
    world: World, patchctl: Patchctl, tmp_path: Path
) -> None:
    before = digest_of(tmp_path)
    ran = patchctl("lint", "-v", cwd=world.workspace)
    assert (ran.code, ran.stdout.count("stacks/s.yaml:")) == (0, 1), ran
    assert f"stacks/s.yaml:4:21: {AGAIN}\n" in ran.stdout
    assert "stacks/s.yaml: its base is not here; its patches were only compared with each other" in ran.stderr
    assert patchctl("lint", "--strict", cwd=world.workspace).code == 3
    assert warned(world, patchctl, "s") == [AGAIN]
    assert (digest_of(tmp_path), Path(os.environ["PATCHCTL_CACHE"]).exists()) == (before, False)


def test_what_needs_the_base_is_told_once_it_is_here_and_upstream_is_not_asked(
    world: World, patchctl: Patchctl
) -> None:
    patchctl("check", "s", cwd=world.workspace)
    shutil.rmtree(world.upstream)
    assert warned(world, patchctl) == [NEEDS, AGAIN]
    world.page("two", requires=["one"])
    assert warned(world, patchctl) == [AGAIN]
    page = world.patches("three") / "README.md"
    page.write_text(page.read_text().replace("title", "acknowledged: [superset]\ntitle", 1))
    assert warned(world, patchctl) == []


def test_a_file_that_no_check_has_brought_is_not_fetched(world: World, patchctl: Patchctl) -> None:
    patchctl("check", "s", cwd=world.workspace)
    other = world.workspace / "stacks" / "other.yaml"
    newer = world.commit({"later.c": text(count=40)}, "later")
    world.patch("late", {"later.c": text({9: "late"}, count=40)})
    world.stack("one", "two", "late", name="other", base=newer)
    # Its commit came with another stack's, its new file did not.
    patchctl("check", "s", "--onto", newer, cwd=world.workspace)
    COUNTER.commands.clear()
    assert [line for line in warned(world, patchctl, str(other)) if "needs lines" in line] == []
    assert "fetch" not in COUNTER.commands
    patchctl("check", "other", cwd=world.workspace)
    assert NEEDS in warned(world, patchctl, str(other))


def test_what_lint_could_not_see_is_not_kept_as_what_there_is(world: World, patchctl: Patchctl) -> None:
    """The commit that a first revision was made on is asked for lines that upstream added since."""
    world.patch("own", {"engine.c": text({10: "our own way"})})
    world.commit({"engine.c": text({10: "line 10\nupstream: a check that matters"})}, "engine : a check")
    world.patch("own", {"engine.c": text({10: "our own way"})})
    world.stack("own", name="own")
    words = ("check", "own", "--no-alone")
    first = (world.patches("own") / "b1.patch").read_bytes()
    (world.patches("own") / "b1.patch").unlink()
    assert patchctl(*words, cwd=world.workspace).code == 0
    (world.patches("own") / "b1.patch").write_bytes(first)
    assert warned(world, patchctl, "own") == []
    assert "deletes 1 line that upstream added" in patchctl(*words, cwd=world.workspace).stdout
