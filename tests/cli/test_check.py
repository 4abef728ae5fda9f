"""``patchctl check`` beyond the situations: what it costs, what it leaves out, references, authors and dates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.git import COUNTER
from tests.series.world import URL, World, show, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Four patches on b3; ``c`` needs ``b``, ``d`` needs ``c``."""
    world = World(tmp_path)
    for number in range(3):
        world.commit({f"file{number}.c": text()}, f"engine : step {number}")
    world.patch("a", {"file0.c": text({3: "a"})})
    b = world.patch("b", {"file1.c": text({3: "b"})})
    c = world.patch("c", {"file1.c": text({3: "b", 4: "c"})}, on=b, requires=["b"])
    world.patch("d", {"file1.c": text({3: "b", 4: "c", 5: "d"})}, on=c, requires=["c"])
    world.stack(*IDS)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def rows(ran: Any) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in json.loads(ran.stdout)["patches"]}


def commit_of(isolated: Path, oid: str) -> str:
    return show(next((isolated / "cache" / "store").glob("https*.git")), "cat-file", "commit", oid)


# --- cost -------------------------------------------------------------------------------------------------------------


def test_a_second_check_starts_no_git_process(world: World, patchctl: Patchctl) -> None:
    first = patchctl("check", "s", "--json", cwd=world.workspace)
    before = COUNTER.processes
    again = patchctl("check", "s", "--json", cwd=world.workspace)
    assert COUNTER.processes == before
    assert again.stdout == first.stdout


def test_only_what_follows_a_change_is_judged_again(
    world: World, patchctl: Patchctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert patchctl("check", "s", "--no-alone", cwd=world.workspace).code == 0
    from patchctl.series.judge import Judge

    judged: list[str] = []
    real = Judge.judge
    monkeypatch.setattr(Judge, "judge", lambda self, patch, tree: (judged.append(patch.id), real(self, patch, tree))[1])
    path = world.patches("c") / "b3.patch"
    path.write_bytes(path.read_bytes().replace(b"Subject: [PATCH] c it", b"Subject: [PATCH] c it well"))
    before = len(COUNTER.commands)
    assert patchctl("check", "s", "--no-alone", cwd=world.workspace).code == 0
    assert judged == ["c", "d"]
    assert "fetch" not in COUNTER.commands[before:]


def test_36_patches_do_not_cost_36_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    world = World(tmp_path)
    world.commit({f"file{number}.c": text() for number in range(36)})
    for number in range(36):
        world.patch(f"p{number}", {f"file{number}.c": text({7: f"patch {number}"})})
    world.stack(*(f"p{number}" for number in range(36)))
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    before = COUNTER.processes
    ran = patchctl("check", "s", "--no-alone", cwd=world.workspace)
    assert ran.code == 0
    assert COUNTER.processes - before <= 15, COUNTER.commands[-30:]


# --- parts of a stack -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--only", "c"], ["b", "c"]),
        (["--only", "d", "--only", "a"], ["a", "b", "c", "d"]),
        (["--without", "b"], ["a"]),
        (["--without", "d"], ["a", "b", "c"]),
        (["--only", "c", "--without", "d"], ["b", "c"]),
    ],
)
def test_parts_of_a_stack_are_closed_under_what_is_required(
    words: list[str], expected: list[str], world: World, patchctl: Patchctl
) -> None:
    ran = patchctl("check", "s", "--json", *words, cwd=world.workspace)
    assert (ran.code, list(rows(ran))) == (0, expected)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--only", "c", "--without", "c"], "--only c and --without c cannot both be"),
        (["--only", "d", "--without", "c"], "--only d and --without c cannot both be: d needs what is left out"),
    ],
)
def test_taking_a_patch_and_leaving_it_out_is_a_mistake(
    words: list[str], why: str, world: World, patchctl: Patchctl
) -> None:
    ran = patchctl("check", "s", *words, cwd=world.workspace)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", f"error: {why}\n")


@pytest.mark.parametrize("command", ["check", "apply", "refresh"])
def test_an_empty_onto_is_a_mistake_and_not_another_base(command: str, world: World, patchctl: Patchctl) -> None:
    ran = patchctl(command, "s", "--onto", "", cwd=world.workspace)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr == "error: --onto is empty; give a commit of upstream: 40 digits, bN, branch, tag\n"


def test_a_base_that_nobody_has_is_told_once_with_what_else_is_wrong(world: World, patchctl: Patchctl) -> None:
    world.stack(*IDS, base="a" * 40)
    (world.patches("c") / "README.md").write_text("---\ntitle: x\nretyre: 1\n---\n")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.count("has no commit aaaa"), ran.stderr.count("\n")) == (3, 1, 2)
    assert ran.stderr.splitlines()[0].startswith('patches/c/README.md:3:1: unknown key "retyre"')
    assert ran.stderr.splitlines()[1].startswith("stacks/s.yaml:3:")


def test_a_part_of_the_patches_leaves_the_whole_stack_as_it_was(world: World, patchctl: Patchctl) -> None:
    patchctl("check", "s", "--only", "a", cwd=world.workspace)
    patchctl("check", "s", "--without", "a", cwd=world.workspace)
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    assert {row["outcome"] for row in rows(ran).values()} == {"clean"}


@pytest.mark.parametrize("option", ["--only", "--without"])
def test_an_unknown_id_is_told_with_the_nearest(option: str, world: World, patchctl: Patchctl) -> None:
    world.stack(*IDS, "x")
    world.patch("mtp-fix", {"file2.c": "new\n"})
    world.stack("mtp-fix")
    ran = patchctl("check", "s", option, "mtp-fx", cwd=world.workspace)
    assert (ran.code, ran.stderr) == (2, "error: the stack has no patch 'mtp-fx'; did you mean \"mtp-fix\"?\n")


def test_what_needs_a_conflict_is_blocked_and_the_rest_goes_on(world: World, patchctl: Patchctl) -> None:
    world.commit({"file1.c": text({3: "theirs"})}, "engine : theirs (#12)")
    ran = patchctl("check", "s", "--onto", "b4", "--json", cwd=world.workspace)
    found = rows(ran)
    assert ran.code == 4
    assert {name: row["outcome"] for name, row in found.items()} == {
        "a": "clean",
        "b": "conflict",
        "c": "blocked",
        "d": "blocked",
    }
    assert found["c"]["detail"] == "needs b"
    assert found["b"]["conflicts"][0]["path"] == "file1.c"
    assert [cause["pr"] for cause in found["b"]["conflicts"][0]["upstream_commits"]] == [12]
    assert json.loads(ran.stdout)["result"] is None
    shown = patchctl("check", "s", "--onto", "b4", cwd=world.workspace).stdout.splitlines()
    assert shown[0].startswith("s  4 patches on ")
    assert shown[2].split()[:3] == ["b", "conflict", "file1.c"]
    assert "upstream #12 (b4) changed it" in shown[2]
    assert shown[-1] == "1 of 4 conflicts. Open with: patchctl apply s --onto b4"


def test_alone_shows_what_only_its_neighbours_hide(world: World, patchctl: Patchctl) -> None:
    whole = rows(patchctl("check", "s", "--json", cwd=world.workspace))
    assert whole["c"]["alone"] == {"outcome": "clean"}, "with what it requires"
    world.page("c")
    ran = patchctl("check", "s", "--json", "--only", "a", "--only", "c", cwd=world.workspace)
    assert list(rows(ran)) == ["a", "c"]
    found = rows(patchctl("check", "s", "--json", cwd=world.workspace))
    assert {name: row["alone"]["outcome"] for name, row in found.items()}["b"] == "clean"
    assert (found["c"]["outcome"], found["c"]["alone"]["outcome"]) == ("clean", "conflict")
    assert "alone: conflict" in patchctl("check", "s", cwd=world.workspace).stdout
    assert rows(patchctl("check", "s", "--json", "--no-alone", cwd=world.workspace))["a"]["alone"] is None


def test_what_was_judged_without_its_predecessor_is_judged_again_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    """The files that ``second`` was made on exist only after ``first``, which another stack does not have."""
    world = World(tmp_path)
    base = world.commit({"a.c": text()})
    first = world.patch("first", {"a.c": text({15: "first"})})
    world.patch("second", {"a.c": text({15: "first", 17: "second"})}, on=first, base=base)
    world.commit({"a.c": text({1: "newer"})})
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.stack("second", name="poor")
    world.stack("first", "second", name="whole")
    world.patches("first").rename(tmp_path / "away")
    assert rows(patchctl("check", "poor", "--json", cwd=world.workspace))["second"]["outcome"] == "conflict"
    (tmp_path / "away").rename(world.patches("first"))
    found = rows(patchctl("check", "whole", "--json", cwd=world.workspace))["second"]
    assert found["alone"] == {"outcome": "3way"}
    before = COUNTER.processes
    assert rows(patchctl("check", "whole", "--json", cwd=world.workspace))["second"] == found
    assert COUNTER.processes == before


# --- references -------------------------------------------------------------------------------------------------------


def test_a_commit_of_upstream_is_a_patch_by_itself(world: World, isolated: Path, patchctl: Patchctl) -> None:
    base = world.tip
    taken = world.commit({"file2.c": text({9: "later"})}, "engine : later (#99)\n\nWith a body.")
    world.page("taken", commit=taken)
    world.stack("a", "taken", base=base)
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    row = rows(ran)["taken"]
    assert (ran.code, row["outcome"], row["revision"]) == (0, "clean", None)
    made, theirs = commit_of(isolated, row["commit"]), commit_of(isolated, taken)
    assert made.split("\n\n", 1)[1] == theirs.split("\n\n", 1)[1]
    assert [line for line in made.splitlines() if line.startswith("author")] == [
        line for line in theirs.splitlines() if line.startswith("author")
    ]


def test_a_commit_that_is_in_the_base_is_absorbed(world: World, patchctl: Patchctl) -> None:
    world.page("taken", commit=world.tip)
    world.stack("taken")
    assert rows(patchctl("check", "s", "--json", cwd=world.workspace))["taken"]["outcome"] == "absorbed"


def test_a_merge_or_a_root_is_no_patch(world: World, patchctl: Patchctl) -> None:
    root = show(world.upstream, "rev-list", "--max-parents=0", "master")
    side = world.commit({"side.c": "side\n"}, parent=root)
    merge = world.commit({"side.c": "side\n"}, "merge", merge=[side])
    for commit, parents in ((merge, 2), (root, 0)):
        world.page("taken", commit=commit)
        world.stack("taken")
        ran = patchctl("check", "s", cwd=world.workspace)
        assert ran.code == 3
        assert f"{commit} has {parents} parents; only a commit with one is a patch" in ran.stderr


# --- authors and dates ------------------------------------------------------------------------------------------------


def test_author_and_date_are_the_patchs_own_and_the_committer_always_the_same(
    world: World, isolated: Path, patchctl: Patchctl
) -> None:
    row = rows(patchctl("check", "s", "--json", cwd=world.workspace))["a"]
    author, committer = commit_of(isolated, row["commit"]).splitlines()[2:4]
    when = author.rsplit(" ", 2)[1:]
    assert author.startswith("author Ada Author <ada@example.invalid> ")
    assert when[1] == "+0130"
    assert committer == f"committer patchctl <patchctl@localhost> {' '.join(when)}"


def test_an_undated_patch_has_the_date_of_the_base(world: World, isolated: Path, patchctl: Patchctl) -> None:
    path = world.patches("b") / "b3.patch"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("Date:")))
    row = rows(patchctl("check", "s", "--json", cwd=world.workspace))["b"]
    wanted = show(world.upstream, "log", "-1", "--format=%ad", "--date=raw", world.tip or "")
    assert commit_of(isolated, row["commit"]).splitlines()[2].endswith(f"> {wanted}")


@pytest.mark.parametrize(
    "raw", ["Tomás Öberg".encode("latin-1"), "Tomás Öberg".encode(), b"=?ISO-8859-1?Q?Tom=E1s_=D6berg?="]
)
def test_an_author_in_another_encoding_is_written_as_utf_8(
    raw: bytes, world: World, isolated: Path, patchctl: Patchctl
) -> None:
    path = world.patches("a") / "b3.patch"
    path.write_bytes(path.read_bytes().replace(b"From: Ada Author", b"From: " + raw))
    row = rows(patchctl("check", "s", "--json", cwd=world.workspace))["a"]
    assert commit_of(isolated, row["commit"]).splitlines()[2].startswith("author Tomás Öberg <ada@example.invalid> ")


# --- onto -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b2", "stable", "v1"])
def test_onto_takes_builds_branches_and_tags(name: str, world: World, patchctl: Patchctl) -> None:
    second = show(world.upstream, "rev-parse", "master^")
    world.branch("stable", second)
    world.tag("v1", second, annotated=True)
    ran = patchctl("check", "s", "--onto", name, "--json", cwd=world.workspace)
    assert json.loads(ran.stdout)["base"] == {"commit": second, "build": 2}


def test_a_name_upstream_does_not_have_is_told(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("check", "s", "--onto", "b99", cwd=world.workspace)
    where = f"{URL} (mirror {world.upstream})"
    said = f"error: {where} has no branch, tag or build b99; give the commit's 40 digits\n"
    assert (ran.code, ran.stderr) == (2, said)
