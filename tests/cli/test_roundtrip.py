"""Out and in again is the identity: the same revisions byte for byte, the same tree, the same commit ids."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.author.fork_world import BOB, ForkWorld
from tests.cli.test_export import quilted
from tests.series.world import text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]

AWKWARD = """engine : größer, with a subject that is so long that a mail has to fold it over two of its lines

Body with a line that would end a mail:

---
and a diff --git a/x b/x in the middle.

From here on there is more, and a trailer:

Signed-off-by: Bob Builder <bob@example.invalid>"""
DOS = text().replace("\n", "\r\n")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl) -> ForkWorld:
    """A fork, imported as the stack ``f``, whose commits hold what mails, mboxes and quilt are known to change."""
    world = ForkWorld(tmp_path)
    files = {"engine.c": text(), "dos.c": DOS, "notes.md": "no line end", "old name.c": text()}
    on = world.commit(files, "first")
    world.make_fork()
    on = world.fork_commit({"engine.c": text({3: "größer"})}, AWKWARD, on=on)
    on = world.fork_commit({"dos.c": DOS.replace("line 9\r", "ours\r")}, "[server] dos : line ends", on=on, author=BOB)
    on = world.fork_commit({"notes.md": "none here either"}, "no line end\n\n  indented\n\nlast", on=on)
    on = world.fork_commit({"old name.c": None, "new name.c": text({5: "moved"})}, "move it", on=on)
    on = world.fork_commit({"run.sh": ("100755", b"#!/bin/sh\n")}, "a program", on=on)
    on = world.fork_commit({"engine.c": text({3: "größer", 15: "form\x0cfeed \t"})}, "odd blanks (#12)", on=on)
    world.fork_commit({"run.sh": None}, "and gone again", on=on)
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    world.stack()
    ran = patchctl("import", "--fork", f"{world.fork}@mine", "--stack", "stacks/f.yaml", cwd=world.workspace)
    assert ran.code == 0, ran
    return world


def state(workspace: Path, patchctl: Patchctl) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Return the commit and tree of the stack ``f``, then each patch with its one revision."""
    ran = patchctl("check", "f", "--json", "--no-alone", cwd=workspace)
    assert ran.code == 0, ran
    found = json.loads(ran.stdout)
    folder = workspace / "patches"
    revisions = [(one["id"], (folder / one["id"] / one["revision"]).read_bytes()) for one in found["patches"]]
    return found["result"], revisions


def imported_again(world: ForkWorld, place: Path, patchctl: Patchctl) -> Path:
    """Import what lies at ``place`` into a workspace where nothing is known yet, and return that."""
    other = world.workspace.parent / "other"
    (other / "stacks").mkdir(parents=True)
    (other / "stacks" / "s.yaml").write_bytes((world.workspace / "stacks" / "s.yaml").read_bytes())
    words = ("--stack", "stacks/f.yaml", "--base", world.tip)
    ran = patchctl("import", place, *words, cwd=other)
    assert ran.code == 0, ran
    return other


@pytest.mark.parametrize("form", ["mbox", "folder", "quilt"])
def test_what_was_exported_and_imported_again_is_the_same(
    form: str, world: ForkWorld, tmp_path: Path, patchctl: Patchctl
) -> None:
    assert patchctl("export", "f", "--as", form, "--output", tmp_path / "x", cwd=world.workspace).code == 0
    other = imported_again(world, tmp_path / "x", patchctl)
    assert state(other, patchctl) == state(world.workspace, patchctl)
    assert state(other, patchctl)[0]["tree"] == world.tree(world.fork, "mine")


def test_a_queue_that_quilt_itself_wrote_anew_is_the_same(world: ForkWorld, tmp_path: Path, patchctl: Patchctl) -> None:
    """quilt drops git's own headers: index lines, modes and renames."""
    patches = tmp_path / "patches"
    assert patchctl("export", "f", "--as", "quilt", "--output", patches, cwd=world.workspace).code == 0
    work = quilted(world, tmp_path / "clone", patches)
    environment = {"PATH": os.environ["PATH"], "QUILT_PATCHES": str(patches), "QUILT_PC": str(tmp_path / "pc")}
    again = "quilt pop -aq && while quilt push -q; do quilt refresh --no-timestamps --no-index || exit 9; done"
    done = subprocess.run(["sh", "-c", again], cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert "File series fully applied" in done.stdout + done.stderr, done
    assert b"index " not in (patches / "move-it.patch").read_bytes()
    other = imported_again(world, patches, patchctl)
    assert state(other, patchctl)[0]["tree"] == world.tree(world.fork, "mine")


def test_numbered_mails_of_git_itself_keep_their_patch_ids_in_and_out(
    world: ForkWorld, tmp_path: Path, patchctl: Patchctl
) -> None:
    theirs = tmp_path / "theirs"
    git("-C", world.fork, "format-patch", "-q", "-o", theirs, f"{world.tip}..mine")
    other = imported_again(world, theirs, patchctl)
    # The message of the first ends at its "---": git's own mails lose what follows, ours indent it.
    assert state(other, patchctl)[0]["tree"] == world.tree(world.fork, "mine")
    assert patchctl("export", "f", "--as", "folder", "--output", tmp_path / "ours", cwd=other).code == 0
    # Ours never have renames: they would not be read back without the files on both sides.
    git("-C", world.fork, "format-patch", "-q", "--no-renames", "-o", tmp_path / "plain", f"{world.tip}..mine")
    assert ids(world, tmp_path / "ours") == ids(world, tmp_path / "plain") != ids(world, theirs)


def ids(world: ForkWorld, folder: Path) -> list[bytes]:
    mails = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert len(mails) == 7
    return [git("-C", world.fork, "patch-id", "--stable", stdin=mail).split()[0] for mail in mails]
