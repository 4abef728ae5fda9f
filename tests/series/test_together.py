"""What is wrong with several patches is told for all of them, and hostile numbers cost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.revision import Hunk
from patchctl.series.apply import apply_hunks
from tests.series.world import World, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
    made.commit({"a.c": text(), "b.c": text()}, "start")
    return made


def test_every_broken_revision_is_named_in_one_run(world: World, patchctl: Callable[..., Any]) -> None:
    for name in ("one", "two"):
        world.patch(name, {"a.c": text({5: name})})
        (world.patches(name) / "b1.patch").write_text("junk\n")
    world.stack("one", "two")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, "one/b1.patch:1:1" in ran.stderr, "two/b1.patch:1:1" in ran.stderr) == (3, True, True)


def test_a_patch_before_what_it_requires_is_refused_with_its_place(world: World, patchctl: Callable[..., Any]) -> None:
    world.patch("one", {"a.c": text({5: "x"})}, requires=["two"])
    world.patch("two", {"b.c": text({5: "x"})})
    world.stack("one", "two")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, "s.yaml:4:" in ran.stderr, "requires two, which comes after it" in ran.stderr) == (3, True, True)


def test_a_patch_that_requires_itself_is_refused(world: World, patchctl: Callable[..., Any]) -> None:
    world.patch("one", {"a.c": text({5: "x"})}, requires=["one"])
    world.stack("one")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.endswith("one requires itself\n")) == (3, True)


def test_a_patch_named_twice_is_refused(world: World, patchctl: Callable[..., Any]) -> None:
    world.patch("one", {"a.c": text({5: "x"})})
    world.stack("one", "one")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, "one is named twice" in ran.stderr) == (3, True)


def test_a_hunk_that_says_a_huge_line_is_looked_for_only_in_the_file() -> None:
    hunk = Hunk(10**12, (b"b\n", b"c\n"), (b"B\n", b"c\n"), 0, 1, 1)
    found = apply_hunks(b"a\nb\nc\nd\n", [hunk], search=True)
    assert found is not None
    assert found.content == b"a\nB\nc\nd\n"
