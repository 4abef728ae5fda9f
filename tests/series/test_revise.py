"""Revisions as files: each is written once, the newest of a base is the one that counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.manifest.workspace import Workspace
from patchctl.series.resolve import EXPORT
from patchctl.series.revise import write_revision
from tests.series.world import World, show, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from pathlib import Path

# Each of them alone moves bytes of a patch that is written without the flag against it.
SETTINGS = (
    "core.abbrev=7", "format.signature=mine", "diff.renames=true", "diff.context=9", "diff.noPrefix=true",
    "diff.mnemonicPrefix=true", "format.subjectPrefix=MINE", "format.attach=parts", "format.thread=true",
    "format.coverLetter=true",
)  # fmt: skip


def test_what_the_newest_revision_says_already_is_not_written_again(tmp_path: Path) -> None:
    assert [write_revision(tmp_path, 7, text).name for text in (b"a", b"a", b"b", b"b")] == [
        "b7.patch", "b7.patch", "b7-2.patch", "b7-2.patch",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b7-2.patch", "b7.patch"]


def test_going_back_to_what_an_older_revision_says_is_a_revision_that_counts(tmp_path: Path) -> None:
    """Otherwise the patch is said to be what it was, and the stack still takes what it should no longer be."""
    folder = tmp_path / "patches" / "one"
    for content in (b"a", b"b", b"a"):
        written = write_revision(folder, 7, content)
    assert written.name == "b7-3.patch"
    assert Workspace(tmp_path).pick_revision("one", 7) == written
    assert (folder / "b7.patch").read_bytes() == b"a"


def test_a_gap_in_the_numbers_is_not_filled(tmp_path: Path) -> None:
    (tmp_path / "b7.patch").write_bytes(b"a")
    (tmp_path / "b7-10.patch").write_bytes(b"b")
    (tmp_path / "b70-20.patch").write_bytes(b"c")
    assert write_revision(tmp_path, 7, b"c").name == "b7-11.patch"


def test_a_patch_is_the_same_bytes_whatever_the_repository_sets(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit({"engine.c": text(), "core.c": text(), "data.bin": b"\0" + bytes(range(256))})
    files = {
        "moved.c": text({3: "three"}),
        "engine.c": None,
        "core.c": text({15: "more"}),
        "data.bin": b"\0" + bytes(range(255, -1, -1)),
    }
    commit = world.commit(files, "engine : moved")
    plain = git("-C", world.upstream, *EXPORT, commit)
    for setting in SETTINGS:
        assert git("-C", world.upstream, "-c", setting, *EXPORT, commit) == plain, setting
    assert plain.startswith(b"From 0000000000000000000000000000000000000000 ")
    assert b"GIT binary patch" in plain
    assert b"rename" not in plain
    assert b" | " not in plain.partition(b"diff --git")[0]
    assert show(world.upstream, "rev-parse", f"{commit}:core.c") in plain.decode("latin-1")
