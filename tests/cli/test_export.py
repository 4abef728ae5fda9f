"""``patchctl export``: what leaves applies elsewhere with plain git and plain quilt, and gives the stack's tree."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.series.vanish import VANISHED, vanish
from tests.series.world import World, show, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

SHA = "1867a0c6923eaebb7a53965f6cdbc0ace55142a3"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Made on b1, exported for b2, where one is offset, one merged and one upstream's already; odd files besides."""
    world = World(tmp_path)
    first = world.commit({"engine.c": text(), "moved.c": text(), "gone.c": "gone\n", "has.c": text()})
    one = world.patch("one", {"engine.c": text({9: "one"})}, message="engine : größer\n\nÄ body.\n\n  indented")
    world.patch("two", {"engine.c": text({9: "one", 25: "two"})}, on=one, base=first)
    world.patch("has", {"has.c": text({3: "same"})})
    files = {"gone.c": None, "new dir/ñew.c": "new\n", "empty.c": "", "tool.sh": ("100755", b"#!/bin/sh\n")}
    world.patch("odd", {**files, "moved.c": text({20: "odd"}), "tail.c": "no end of line"})
    world.commit({"engine.c": "top\n" + text(), "moved.c": text({18: "up"}), "has.c": text({3: "same"})}, "up (#2)")
    world.stack("one", "two", "has", "odd")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def page(world: World, patch: str, front: str) -> None:
    (world.patches(patch) / "README.md").write_text(f"---\n{front}\n---\n# Why\n")


def result(world: World, patchctl: Patchctl) -> str:
    tree: str = json.loads(patchctl("check", "s", "--json", cwd=world.workspace).stdout)["result"]["tree"]
    return tree


def cloned(world: World, folder: Path) -> Path:
    git("clone", "--quiet", world.upstream, folder)
    return folder


def am(world: World, folder: Path, *mails: Path, more: tuple[str, ...] = ()) -> Path:
    work = cloned(world, folder)
    git("-C", work, "-c", "user.name=T", "-c", "user.email=t@example.invalid", "am", "--quiet", *more, *mails)
    return work


def quilted(world: World, folder: Path, patches: Path) -> Path:
    """Return a clone with all patches pushed by quilt."""
    work = cloned(world, folder)
    environment = {**os.environ, "QUILT_PATCHES": str(patches), "QUILT_PC": str(folder.with_name("pc"))}
    subprocess.run(["quilt", "--quiltrc=-", "push", "-a", "--fuzz=0"], cwd=work, env=environment, check=True)
    return work


def tree_of_files(work: Path) -> str:
    git("-C", work, "add", "--all", "--force", ".")
    return show(work, "write-tree")


def test_one_mbox_gives_the_stacks_tree_and_messages(world: World, tmp_path: Path, patchctl: Patchctl) -> None:
    ran = patchctl("export", "s", cwd=world.workspace)
    assert ran.code == 0
    assert ran.stdout.splitlines() == [
        f"wrote out/s.mbox: 3 patches on {str(world.tip)[:9]} (b2)",
        "left out, upstream has them: has",
        f"apply with: git am {world.workspace / 'out' / 's.mbox'}",
    ]
    work = am(world, tmp_path / "clone", world.workspace / "out" / "s.mbox")
    assert show(work, "rev-parse", "HEAD^{tree}") == result(world, patchctl)
    assert show(work, "log", "-1", "--skip=2", "--format=%an <%ae>|%B") == (
        "Ada Author <ada@example.invalid>|engine : größer\n\nÄ body.\n\n  indented"
    )


def test_numbered_mails_give_the_stacks_tree_and_read_back_to_the_same_patch_ids(
    world: World, tmp_path: Path, patchctl: Patchctl
) -> None:
    from patchctl.git import Repo
    from patchctl.manifest.revision import parse

    patchctl("export", "s", "--as", "folder", "--output", tmp_path / "mails", cwd=world.workspace)
    mails = sorted((tmp_path / "mails").iterdir())
    assert [mail.name for mail in mails] == ["0001-one.patch", "0002-two.patch", "0003-odd.patch"]
    work = am(world, tmp_path / "clone", *mails)
    assert show(work, "rev-parse", "HEAD^{tree}") == result(world, patchctl)
    assert [parse(mail.read_bytes(), "x").base_commit for mail in mails] == [world.tip, None, None]
    repo = Repo(world.upstream)
    made = show(work, "log", "--reverse", "-p", "--full-index", "--binary", "--no-renames", "--format=commit %H", "-3")
    diffs = [("diff --git" + part).encode() for part in ("\n" + made).split("\ndiff --git")[1:]]
    whole = repo.patch_ids([mail.read_bytes() for mail in mails])
    assert whole[:2] == repo.patch_ids(diffs[:2])
    assert all(whole)


def test_a_quilt_series_gives_the_stacks_tree(world: World, tmp_path: Path, patchctl: Patchctl) -> None:
    ran = patchctl("export", "s", "--as", "quilt", "--output", tmp_path / "patches", cwd=world.workspace)
    assert ran.code == 0, ran
    assert (tmp_path / "patches" / "series").read_text() == "one.patch\ntwo.patch\nodd.patch\n"
    work = quilted(world, tmp_path / "clone", tmp_path / "patches")
    assert tree_of_files(work) == result(world, patchctl)


def test_headers_say_what_the_pages_know(world: World, patchctl: Patchctl) -> None:
    page(world, "one", f"title: Größer\nupstream: {{pr: a/b#7, commit: {SHA}}}\ndrop_when: {{commit: {SHA}}}")
    page(world, "two", "title: Two\nupstream: {pr: a/b#8}")
    world.page("ref", commit=world.commit({"notes.md": "more\n"}, "notes (#9)"))
    world.stack("one", "two", "ref", base=show(world.upstream, "rev-parse", "master^"))
    patchctl("export", "s", cwd=world.workspace)
    mails = (world.workspace / "out" / "s.mbox").read_text().split("\nFrom 0000")
    heads = [mail.partition("\n\n")[0].splitlines() for mail in mails]
    known = ("Description", "Origin", "Forwarded", "Applied-Upstream", "Last-Update")
    one, two, ref = [[line for line in head if line.startswith(known)] for head in heads]
    pull = "https://github.com/a/b/pull/"
    assert one == [
        "Description: Größer", f"Origin: backport, commit:{SHA}", f"Forwarded: {pull}7",
        f"Applied-Upstream: commit:{SHA}", "Last-Update: 2023-11-15",
    ]  # fmt: skip
    assert two == [
        "Description: Two", f"Origin: other, {pull}8", f"Forwarded: {pull}8", "Last-Update: 2023-11-15",
    ]  # fmt: skip
    commit = show(world.upstream, "rev-parse", "master")
    assert ref[1:4] == [
        f"Origin: upstream, commit:{commit}",
        "Forwarded: not-needed",
        f"Applied-Upstream: commit:{commit}",
    ]


def test_a_page_cannot_add_headers_of_its_own(world: World, patchctl: Patchctl) -> None:
    page(world, "one", 'title: "a\\n\\ndiff --git a/x b/x\\e[31m"')
    patchctl("export", "s", cwd=world.workspace)
    mbox = (world.workspace / "out" / "s.mbox").read_text()
    assert "Description: a diff --git a/x b/x [31m\n" in mbox


def test_the_same_stack_gives_the_same_bytes_and_anything_else_is_never_overwritten(
    world: World, tmp_path: Path, patchctl: Patchctl
) -> None:
    for form, name in (("mbox", "s.mbox"), ("quilt", "s-quilt"), ("folder", "s-mails")):
        assert patchctl("export", "s", "--as", form, cwd=world.workspace).code == 0
        again = patchctl("export", "s", "--as", form, cwd=world.workspace)
        assert (again.code, again.stdout.startswith(f"unchanged out/{name}")) == (0, True)
        place = world.workspace / "out" / name
        held = place if form == "mbox" else place / "mine"
        held.write_text("mine\n")
        ran = patchctl("export", "s", "--as", form, cwd=world.workspace)
        assert (ran.code, "exists and holds something else" in ran.stderr) == (2, True)
        assert held.read_text() == "mine\n"


def test_an_export_killed_at_any_step_is_whole_or_not_there(world: World, patchctl: Patchctl) -> None:
    assert patchctl("check", "s", cwd=world.workspace).code == 0
    words = ["export", "s", "--as", "folder"]
    place = world.workspace / "out" / "s-mails"
    for step in range(1, 60):
        ended = vanish(words, world.workspace, step)
        assert not place.exists() or len(list(place.iterdir())) == 3, step
        if ended != VANISHED:
            break
        assert patchctl(*words, cwd=world.workspace).code == 0
        assert [path.name for path in place.parent.iterdir()] == ["s-mails"], step
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
    assert ended == 0
    assert step > 6


def test_line_ends_of_dos_need_a_word_to_git_am(world: World, tmp_path: Path, patchctl: Patchctl) -> None:
    dos = text().replace("\n", "\r\n")
    world.commit({"dos.c": dos})
    world.patch("dos", {"dos.c": dos.replace("line 9\r", "ours\r")})
    world.stack("dos")
    ran = patchctl("export", "s", "--output", tmp_path / "s.mbox", cwd=world.workspace)
    assert f"apply with: git am --keep-cr {tmp_path / 's.mbox'}" in ran.stdout
    work = am(world, tmp_path / "clone", tmp_path / "s.mbox", more=("--keep-cr",))
    assert show(work, "rev-parse", "HEAD^{tree}") == result(world, patchctl)
    patchctl("export", "s", "--as", "quilt", "--output", tmp_path / "patches", cwd=world.workspace)
    assert tree_of_files(quilted(world, tmp_path / "clone-2", tmp_path / "patches")) == result(world, patchctl)


def test_what_cannot_be_exported_says_so_and_makes_nothing(world: World, tmp_path: Path, patchctl: Patchctl) -> None:
    world.patch("raw", {"raw.bin": b"\0\1\2" * 50})
    world.stack("raw", allow=["raw.bin"])
    ran = patchctl("export", "s", "--as", "quilt", cwd=world.workspace)
    assert (ran.code, "raw.bin is binary, which quilt cannot apply; export --as mbox" in ran.stderr) == (3, True)
    assert patchctl("export", "s", "--output", tmp_path / "s.mbox", cwd=world.workspace).code == 0
    work = am(world, tmp_path / "clone", tmp_path / "s.mbox")
    assert show(work, "rev-parse", "HEAD^{tree}") == result(world, patchctl)
    world.stack("has")
    assert patchctl("export", "s", cwd=world.workspace).code == 2
    world.commit({"engine.c": text({9: "theirs"})})
    world.stack("one")
    assert patchctl("export", "s", cwd=world.workspace).code == 4
    assert not (world.workspace / "out").exists()
