"""``patchctl forecast``: what happens to the patches on the way to a later commit, for people and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.vanish import each_step
from tests.series.world import World, text
from tests.test_sandbox import needs_sandbox
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Upstream lands the first patch, goes against the second, and takes that back; the third needs the second."""
    world = World(tmp_path)
    base = world.commit({"one.c": text(), "two.c": text(), "far.c": text()})
    world.patch("one", {"one.c": text({3: "ours"})})
    two = world.patch("two", {"two.c": text({3: "ours"})})
    world.patch("three", {"two.c": text({3: "ours", 28: "more"})}, on=two, base=base, requires=["two"])
    world.commit({"one.c": text({3: "ours"})}, "engine : land it (#7)")
    world.commit({"far.c": text({1: "x"})}, "far away (#8)")
    world.commit({"two.c": text({3: "theirs"})}, "\x1b[31mengine\x1b[0m : other way (#9)")
    world.commit({"two.c": text()}, "Revert that (#10)")
    world.stack("one", "two", "three", base=base)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def said(ran: Any) -> list[str]:
    return [" ".join(line.split()) for line in ran.stdout.splitlines()]


def test_each_change_is_one_line_with_commit_pull_request_and_author(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("forecast", "s", cwd=world.workspace)
    assert (ran.code, said(ran)) == (
        0,
        [
            f"s from b1 to b5 ({(world.tip or '')[:9]}): 4 commits, 3 patches",
            "b2 #7 one absorbed Ada Author: engine : land it (#7)",
            "b4 #9 two conflict two.c Ada Author: \\x1b[31mengine\\x1b[0m : other way (#9)",
            "b4 #9 three blocked Ada Author: \\x1b[31mengine\\x1b[0m : other way (#9)",
            "b4 #9 (the stack) conflict two, three Ada Author: \\x1b[31mengine\\x1b[0m : other way (#9)",
            "b5 #10 two applies Ada Author: Revert that (#10)",
            "b5 #10 three applies Ada Author: Revert that (#10)",
            "b5 #10 (the stack) applies Ada Author: Revert that (#10)",
            "on b5: 2 apply, 1 is absorbed",
        ],
    )


def test_json_has_the_rows_of_both_ends_and_every_event(world: World, patchctl: Patchctl) -> None:
    found = json.loads(patchctl("forecast", "s", "--json", cwd=world.workspace).stdout)
    assert (found["schema_version"], found["stack"], found["commits"]) == (1, "s", 4)
    assert (found["base"]["build"], found["to"]) == (1, {"commit": world.tip, "build": 5})
    assert found["start"]["sequence"]["one"] == {"outcome": "clean", "conflicts": []}
    assert found["end"]["alone"]["one"] == {"outcome": "absorbed", "conflicts": []}
    event = found["events"][0]
    assert {**event, "commit": ""} == {
        "commit": "", "build": 2, "subject": "engine : land it (#7)", "author": "Ada Author", "pr": 7, "patch": "one",
        "alone": False, "before": "applies", "after": "absorbed", "conflicts": [],
    }  # fmt: skip
    assert [one["patch"] for one in found["events"] if one["patch"] is None] == [None, None]


def test_up_to_a_commit_before_the_first_change_there_is_nothing_to_tell(world: World, patchctl: Patchctl) -> None:
    world.stack("two", base=None)
    ran = patchctl("forecast", "s", "--to", world.tip, cwd=world.workspace)
    assert said(ran)[1:] == ["nothing starts or stops to conflict, and nothing is absorbed", "on b5: 1 applies"]


def test_a_commit_before_the_base_is_refused(world: World, patchctl: Patchctl) -> None:
    first = json.loads(patchctl("forecast", "s", "--json", cwd=world.workspace).stdout)["base"]["commit"]
    world.stack("one", "two", "three")
    ran = patchctl("forecast", "s", "--to", first, cwd=world.workspace)
    assert ran.code == 2
    assert "a forecast looks forward" in ran.stderr


def test_killed_at_any_instant_it_says_the_same_when_asked_again(
    world: World, patchctl: Patchctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = patchctl("forecast", "s", cwd=world.workspace).stdout
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "again"))
    steps = 0
    for _ in each_step(["forecast", "s"], world.workspace, first=40, pace=45):
        steps += 1
    assert steps > 1
    assert patchctl("forecast", "s", cwd=world.workspace).stdout == expected


# --- what compiles ----------------------------------------------------------------------------------------------------

CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(mini C)\nadd_library(all_of SHARED one.c)\n"
ONE = '#include "api.h"\n' + "\n" * 20 + "int one(void) { return depth; }\n"


@pytest.fixture
def mini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Upstream renames at b4 what the patch uses: it merges, and does not compile. At b6 upstream breaks itself."""
    world = World(tmp_path)
    base = world.commit({"CMakeLists.txt": CMAKE, "one.c": ONE, "api.h": "static const int depth = 1;\n"})
    world.patch("uses", {"one.c": ONE.replace("\n" * 20, "\n" * 5 + "int two(void) { return depth; }\n" + "\n" * 15)})
    world.commit({"notes.md": "x\n"}, "notes (#2)")
    world.commit({"notes.md": "y\n"}, "notes (#3)")
    renamed = {"one.c": ONE.replace("depth", "level"), "api.h": "static const int level = 1;\n"}
    world.commit(renamed, "engine : rename (#4)")
    world.commit({"notes.md": "z\n"}, "notes (#5)")
    world.commit({"api.h": "this is no C\n"}, "engine : oops (#6)")
    path = world.stack("uses", base=base)
    path.write_text(path.read_text().replace("targets: [all]", "targets: [all_of]"))
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def test_what_merges_and_no_longer_compiles_is_found_by_search(mini: World, patchctl: Patchctl) -> None:
    ran = patchctl("forecast", "s", "--compiles", "--no-sandbox", "--json", cwd=mini.workspace)
    assert ran.code == 0, ran
    found = json.loads(ran.stdout)
    assert [one["after"] for one in found["events"]] == [], "the merge is clean all the way"
    (broken,) = found["compiles"]["breaks"]
    assert (broken["good"]["build"], broken["bad"]["build"], broken["bad"]["pr"], broken["exact"]) == (3, 4, 4, True)
    assert "depth" in broken["detail"]
    assert (found["compiles"]["by"], found["compiles"]["variant"]) == ("search", "cpu")


@needs_sandbox
def test_unattended_it_is_found_in_a_sandbox(mini: World, patchctl: Patchctl) -> None:
    folder = mini.workspace
    assert patchctl("lock", "s", cwd=folder).code == 0
    git("-C", folder, "init", "--quiet")
    git("-C", folder, "add", "--all")
    git("-C", folder, "-c", "user.name=T", "-c", "user.email=t@t", "commit", "--quiet", "-m", "all")
    ran = patchctl("forecast", "s", "--compiles", "--json", cwd=folder)
    assert ran.code == 0, ran
    (broken,) = json.loads(ran.stdout)["compiles"]["breaks"]
    assert (broken["good"]["build"], broken["bad"]["build"], broken["exact"]) == (3, 4, True)
    assert "depth" in broken["detail"]


def test_unattended_only_what_a_committed_lock_lists_is_compiled(mini: World, patchctl: Patchctl) -> None:
    ran = patchctl("forecast", "s", "--compiles", cwd=mini.workspace)
    assert ran.code == 3
    assert "has no lock, so nothing of it is built unattended" in ran.stderr


def test_how_to_compile_belongs_to_compiling(mini: World, patchctl: Patchctl) -> None:
    ran = patchctl("forecast", "s", "--no-sandbox", cwd=mini.workspace)
    assert (ran.code, "belong to --compiles" in ran.stderr) == (2, True)
