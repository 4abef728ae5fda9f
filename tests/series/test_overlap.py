"""What patches have to do with each other and with upstream: warned of at check, acknowledged in the page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.revision import Change, Hunk
from patchctl.series.ownership import Ownership, reduced
from tests.series.world import World, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

FUNCTION = "int twice(int value) {\n    return value * 2;\n}\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"engine.c": text(), "notes.md": "notes\n"})
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def warned(world: World, patchctl: Patchctl, *, code: int = 0) -> dict[str, list[tuple[str, list[str]]]]:
    ran = patchctl("check", "s", "--json", "--no-alone", cwd=world.workspace)
    assert ran.code == code, ran
    rows = json.loads(ran.stdout)["patches"]
    found = {row["id"]: [(one["kind"], one["patches"]) for one in row["warnings"]] for row in rows}
    return {name: some for name, some in found.items() if some}


def test_a_patch_on_lines_of_an_earlier_one_should_require_it(world: World, patchctl: Patchctl) -> None:
    one = world.patch("one", {"engine.c": text({3: "one"})})
    two = world.patch("two", {"engine.c": text({3: "one", 20: "two"})}, on=one, base=world.tip)
    world.patch("three", {"engine.c": text({3: "three", 20: "two", 21: "next"})}, on=two, base=world.tip)
    world.stack("one", "two", "three")
    assert warned(world, patchctl) == {"three": [("requires", ["one", "two"])]}
    world.page("three", requires=["two"])
    assert warned(world, patchctl) == {"three": [("requires", ["one"])]}
    world.page("three", requires=["two", "one"])
    assert warned(world, patchctl) == {}


def test_what_another_requirement_brings_along_is_not_asked_for(world: World, patchctl: Patchctl) -> None:
    one = world.patch("one", {"new.c": "one line\n"})
    two = world.patch("two", {"new.c": "one line\ntwo lines\n"}, on=one, base=world.tip, requires=["one"])
    world.patch("three", {"new.c": "one line\ntwo lines\nthree\n"}, on=two, base=world.tip)
    world.stack("one", "two", "three")
    assert warned(world, patchctl) == {"three": [("requires", ["two"])]}
    ran = patchctl("check", "s", cwd=world.workspace)
    assert "warning  three: needs lines of two; add to requires" in ran.stdout


def test_the_same_hunk_twice_and_a_superset_are_told_apart(world: World, patchctl: Patchctl) -> None:
    here, there = text({10: FUNCTION.rstrip()}), "notes\n" + FUNCTION
    world.patch("one", {"engine.c": here, "a.md": "first file of one\nand more\n"})
    world.patch("some", {"engine.c": here, "notes.md": there})
    world.patch("all", {"engine.c": here, "a.md": "first file of one\nand more\n", "b.md": "own file here\nmore\n"})
    world.stack("one", "some")
    assert warned(world, patchctl) == {"some": [("same-hunk", ["one"])]}
    world.stack("one", "all")
    assert warned(world, patchctl) == {"all": [("superset", ["one"])]}


def test_what_was_taken_back_in_between_may_come_again(world: World, patchctl: Patchctl) -> None:
    changed = {"engine.c": text({10: "one way to do the thing\nand another way"})}
    one = world.patch("one", changed)
    back = world.patch("back", {"engine.c": text()}, on=one, base=world.tip, requires=["one"])
    world.patch("again", changed, on=back, base=world.tip, requires=["back"])
    world.stack("one", "back", "again")
    assert warned(world, patchctl) == {}


def test_lines_upstream_added_since_the_first_revision_are_not_deleted_in_silence(
    world: World, patchctl: Patchctl
) -> None:
    old = world.tip
    world.patch("own", {"engine.c": text({10: "our own way"})})
    newer = text({10: "line 10\nupstream: a check that matters"})
    world.commit({"engine.c": newer}, "engine : a check")
    world.patch("own", {"engine.c": text({10: "our own way"})})
    world.stack("own")
    assert warned(world, patchctl) == {"own": [("deletes-upstream", [])]}
    assert (
        f"since {(old or '')[:9]}: 'upstream: a check that matters'"
        in patchctl("check", "s", cwd=world.workspace).stdout
    )
    (world.patches("own") / "b1.patch").unlink()
    assert warned(world, patchctl) == {}


def test_lines_that_already_stand_beside_themselves_are_told(world: World, patchctl: Patchctl) -> None:
    world.commit({"code.c": f"start\n{FUNCTION}end\n"})
    world.patch("again", {"code.c": f"start\n{FUNCTION}{FUNCTION}end\n"})
    world.patch("braces", {"engine.c": text({10: "}\n}"})})
    world.stack("again", "braces")
    assert warned(world, patchctl) == {"again": [("double", [])]}


def test_what_a_page_acknowledges_is_not_said_again(world: World, patchctl: Patchctl) -> None:
    world.commit({"code.c": f"start\n{FUNCTION}end\n"})
    world.patch("again", {"code.c": f"start\n{FUNCTION}{FUNCTION}end\n"})
    world.stack("again")
    page = world.patches("again") / "README.md"
    page.write_text("---\ntitle: again\nacknowledged: [double]\n---\n# Why\n")
    assert warned(world, patchctl) == {}
    page.write_text("---\ntitle: again\nacknowledged: [doubble]\n---\n# Why\n")
    ran = patchctl("lint", cwd=world.workspace)
    assert (ran.code, "acknowledged" in ran.stdout + ran.stderr) == (3, True)


def test_a_stack_with_a_conflict_still_warns(world: World, patchctl: Patchctl) -> None:
    one = world.patch("one", {"engine.c": text({3: "one"})})
    world.patch("two", {"engine.c": text({3: "two"})}, on=one, base=world.tip)
    world.patch("bad", {"engine.c": text({3: "bad"})})
    world.stack("one", "two", "bad")
    assert warned(world, patchctl, code=4) == {"two": [("requires", ["one"])]}


def test_a_warm_check_asks_git_nothing_for_its_warnings(world: World, patchctl: Patchctl) -> None:
    from patchctl.git import COUNTER

    world.patch("one", {"engine.c": text({3: "one"})})
    world.stack("one")
    warned(world, patchctl)
    before = COUNTER.processes
    warned(world, patchctl)
    assert COUNTER.processes == before
    assert git("-C", world.upstream, "rev-parse", "master")


def hunk(start: int, old: str, new: str) -> Hunk:
    lines = [tuple(f"{word}\n".encode() for word in words.split()) for words in (old, new)]
    return Hunk(start, lines[0], lines[1], 0, 0, 1)


def change(*hunks: Hunk, path: str = "f", new: bool = False, gone: bool = False) -> Change:
    old_path, new_path = None if new else path, None if gone else path
    return Change(old_path, new_path, None, None, "", "", tuple(hunks), None, is_copy=False, line=1)


def test_lines_are_followed_when_others_move_them() -> None:
    ownership = Ownership()
    ownership.follow("one", [change(hunk(10, "a", "x y z"))])
    ownership.follow("above", [change(hunk(0, "", "n n n n n"))])
    assert ownership.follow("two", [change(hunk(16, "y", "q"))]).needs == {"one"}
    assert ownership.follow("far", [change(hunk(40, "a", "b"))]).needs == set()
    assert ownership.follow("beside", [change(hunk(5, "a", "b"))]).needs == {"above"}


def test_removed_lines_have_the_numbers_they_have_in_the_base() -> None:
    ownership = Ownership()
    ownership.follow("one", [change(hunk(2, "", "x x x"), hunk(6, "a b", ""))])
    made = ownership.follow("two", [change(hunk(9, "c d", "e"))])
    assert made.removes == {"f": {9: b"c\n", 10: b"d\n"}}
    assert made.needs == set()


def test_a_file_belongs_to_who_made_it_and_is_needed_whole() -> None:
    ownership = Ownership()
    ownership.follow("made", [change(hunk(0, "", "a b c"), new=True)])
    ownership.follow("mode", [change()])
    assert ownership.follow("mode-too", [change(path="f")]).needs == {"made"} | {"mode"}
    gone = ownership.follow("gone", [change(hunk(0, "a b c", ""), gone=True)])
    assert gone.needs == {"made", "mode", "mode-too"}
    assert ownership.follow("new", [change(hunk(0, "", "z"), new=True)]).needs == set()


def test_needs_are_named_in_the_order_of_the_stack() -> None:
    closures = {"c": {"a"}, "b": set(), "a": set()}
    assert reduced({"c", "a", "b"}, ["a", "b", "c"], closures) == ["b", "c"]
