"""``patchctl import`` on the command line: its words, its JSON, what a person is told next."""

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

DIFF = "--- a/engine.c\n+++ b/engine.c\n@@ -2,3 +2,3 @@\n line 2\n-line 3\n+three\n line 4\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"engine.c": text()})
    world.stack()
    (world.workspace / "say-three.diff").write_text(DIFF)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def test_the_command_is_listed_and_explains_itself(world: World, patchctl: Patchctl) -> None:
    assert "\n  import " in patchctl("--help", cwd=world.workspace).stdout
    ran = patchctl("import", "--help", cwd=world.workspace)
    assert (ran.code, "patchctl import '#24911' --stack b9187" in ran.stdout) == (0, True)


def test_it_says_what_it_wrote_and_what_to_do_next(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("import", "say-three.diff", "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    first, last = ran.stdout.splitlines()
    assert first == "imported say-three  b1.patch"
    assert last.startswith("1 patch in ")
    assert last.endswith("next: patchctl check stacks/s.yaml")


def test_one_object_tells_what_was_imported(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("import", "say-three.diff", "--base", world.tip, "--json", cwd=world.workspace)
    found = json.loads(ran.stdout)
    assert {**found, "tree": ""} == {
        "schema_version": 1, "imported": ["say-three"], "stack": None, "base": world.tip, "tree": "", "notes": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--fork x@y --stack f --id one --title T", "--id, --title means nothing with --fork"),
        ("--update one --head 1 --base b1", "--base means nothing with --update"),
        ("say-three.diff --stack s --head 1", "--head is the head of a pull request; say-three.diff is none"),
        ("b1 --head 1", "--head is the head of a pull request; b1 is none"),
        ("--fork x@y", "--fork makes a stack; name it with --stack"),
        ("--update one", "--update needs --head SHA"),
        ("say-three.diff --update one", "say what to import"),
    ],
)
def test_words_that_would_do_nothing_are_refused(words: str, said: str, world: World, patchctl: Patchctl) -> None:
    before = digest_of(world.workspace)
    ran = patchctl("import", *words.split(), cwd=world.workspace)
    assert (ran.code, said in ran.stderr, ran.stderr.count("\n")) == (2, True, 1), ran
    assert digest_of(world.workspace) == before


def test_an_error_is_one_object_too(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("import", "gone.diff", "--json", cwd=world.workspace)
    assert (ran.code, json.loads(ran.stdout)["error"]["code"]) == (2, 2)


def test_a_new_stack_takes_the_upstream_of_the_others_or_the_one_given(world: World, patchctl: Patchctl) -> None:
    words = ("import", "say-three.diff", "--base", world.tip, "--stack")
    assert patchctl(*words, "stacks/new.yaml", cwd=world.workspace).code == 0
    assert "repo: https://example.invalid/up.git\n" in (world.workspace / "stacks" / "new.yaml").read_text()
    path = world.workspace / "stacks" / "s.yaml"
    path.write_text(path.read_text().replace("invalid/up", "invalid/other"))
    ran = patchctl(*words, "newer", cwd=world.workspace)
    assert (ran.code, "--upstream https://example.invalid/other" in ran.stderr) == (2, True), ran
    given = ("--upstream", "https://example.invalid/up.git")
    assert patchctl(*words, "newer", *given, cwd=world.workspace).code == 0
    assert patchctl("check", "newer", cwd=world.workspace).code == 0


def test_what_the_tree_policy_refuses_is_told_at_once(world: World, patchctl: Patchctl) -> None:
    (world.workspace / "link.diff").write_text(
        "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n@@ -0,0 +1 @@\n+target\n"
    )
    ran = patchctl("import", "link.diff", "--stack", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert "note: the tree policy refuses link: 'link' would be a symlink" in ran.stderr
    assert patchctl("check", "s", cwd=world.workspace).code == 8


def test_a_stack_without_a_list_of_patches_says_what_to_write(world: World, patchctl: Patchctl) -> None:
    path = world.workspace / "stacks" / "s.yaml"
    path.write_text(path.read_text().replace("patches: []\n", ""))
    ran = patchctl("import", "say-three.diff", "--stack", "s", cwd=world.workspace)
    assert (ran.code, 'add a line "patches: []"' in ran.stderr) == (3, True)
    assert not (world.workspace / "patches" / "say-three").exists()
