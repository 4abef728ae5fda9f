from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from patchctl.errors import Code, PatchctlError
from patchctl.git import COUNTER, GitError, MissingObjectError, Repo, run_git, scrubbed, version
from patchctl.gitfault import NO_ROOM
from tests.conftest import ROOT
from tests.series.world import World, show, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.commit({"a": text(), "d/b": "b\n"}, "first")
    world.commit({"a": text({3: "x"})}, "second")
    return world


@pytest.fixture
def repo(world: World) -> Iterator[Repo]:
    repo = Repo(world.upstream)
    yield repo
    repo.close()


def test_a_command_gives_status_output_and_words(world: World) -> None:
    done = run_git("rev-parse", "--verify", "-q", "nothing", git_dir=world.upstream, accept=(0, 1))
    assert (done.status, done.stdout) == (1, b"")
    with pytest.raises(GitError, match=r"^git rev-parse --verify nothing: fatal: Needed a single revision$") as error:
        run_git("rev-parse", "--verify", "nothing", git_dir=world.upstream)
    assert error.value.status == 128


def test_progress_comes_line_by_line_while_input_goes_in(world: World) -> None:
    seen: list[str] = []
    done = run_git("rev-list", "--stdin", git_dir=world.upstream, stdin=b"master\n", progress=seen.append)
    assert len(done.text().splitlines()) == 2
    assert seen == []


def test_a_git_that_ends_before_it_read_everything_says_why(world: World) -> None:
    """A broken pipe to a child must not look like nobody listening to patchctl."""
    for progress in (None, lambda _line: None):
        with pytest.raises(GitError, match="nonsense"):
            run_git("cat-file", "--nonsense", git_dir=world.upstream, stdin=b"x" * 2**21, progress=progress)


def test_every_word_about_git_in_the_environment_is_dropped_but_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_ODD_NEW_THING", "1")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -v")
    assert {"GIT_DIR", "GIT_ODD_NEW_THING"} <= set(scrubbed())
    assert "GIT_SSH_COMMAND" not in scrubbed()


def test_a_machine_without_git_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (version() or ()) >= (2, 38)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PatchctlError, match=r"git 2\.38 or newer is needed; none was found") as error:
        run_git("version")
    assert error.value.exit_code == Code.ENVIRONMENT
    assert version() is None


def test_objects_are_read_by_one_process(world: World, repo: Repo) -> None:
    before = COUNTER.processes
    for _ in range(5):
        assert repo.read(repo.tree_of(world.tip or ""), "tree")
    assert COUNTER.processes == before + 1


def test_a_reader_that_died_is_told_once_and_replaced(world: World, repo: Repo) -> None:
    repo.read(world.tip or "", "commit")
    reader = repo._reader
    assert reader is not None
    os.kill(reader.pid, signal.SIGKILL)
    reader.wait()
    with pytest.raises(MissingObjectError):
        repo.read(world.tip or "", "commit")
    assert repo.read(world.tip or "", "commit").startswith(b"tree ")


def test_an_object_that_is_missing_or_of_another_kind_is_told(world: World, repo: Repo) -> None:
    with pytest.raises(MissingObjectError, match="1" * 40) as error:
        repo.read("1" * 40, "blob")
    assert error.value.exit_code == Code.ENVIRONMENT
    with pytest.raises(PatchctlError, match="is a commit, not a blob"):
        repo.read(world.tip or "", "blob")
    assert repo.has([world.tip or "", "1" * 40]) == {world.tip: True, "1" * 40: False}
    assert repo.has([]) == {}


def test_what_is_written_is_what_git_reads(world: World, repo: Repo) -> None:
    oid = repo.write("blob", b"new\n")
    assert show(world.upstream, "cat-file", "blob", oid) == "new"
    assert repo.write("blob", b"new\n") == oid
    assert repo.read(oid, "blob") == b"new\n"
    assert not list(world.upstream.rglob("tmp*"))


def test_history_is_counted_and_named(world: World, repo: Repo) -> None:
    first = show(world.upstream, "rev-parse", "master^")
    assert [repo.count(first), repo.count(world.tip or "")] == [1, 2]
    assert repo.is_ancestor(first, world.tip or "")
    assert not repo.is_ancestor(world.tip or "", first)
    assert repo.parents_of(world.tip or "") == [first]
    assert [subject for _, subject in repo.log("master")] == ["second", "first"]
    assert repo.resolve("refs/heads/master") == world.tip
    assert repo.resolve("--all") is None


def test_patch_ids_are_gits_whatever_the_headers_hold(world: World, repo: Repo) -> None:
    diff = run_git("diff-tree", "-p", world.tip or "", git_dir=world.upstream).stdout
    mails = [diff, b"Subject: diff --git a/x b/x\n\n" + diff, b"no diff at all"]
    one, two, none = repo.patch_ids(mails)
    assert one == two != none == ""


def test_a_merge_in_memory_says_tree_and_conflicts(world: World, repo: Repo) -> None:
    first = show(world.upstream, "rev-parse", "master^")
    ours = world.commit({"a": text({3: "y"})}, parent=first)
    clean = world.commit({"d/b": "bb\n"}, parent=first)
    assert repo.merge(world.tip or "", ours).conflicts == ("a",)
    merged = repo.merge(world.tip or "", clean)
    assert merged.conflicts == ()
    assert show(world.upstream, "show", f"{merged.tree}:d/b") == "bb"


@pytest.mark.parametrize("exported", [{}, {"GIT_ODD_NEW_THING": "1"}])
@pytest.mark.parametrize("asked", ["run_git('version')", "Repo(Path('.')).read('0' * 40, 'blob')"])
def test_a_fresh_program_on_a_machine_without_git_is_told(asked: str, exported: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "env").symlink_to("/usr/bin/env")
    script = f"from pathlib import Path; from patchctl.git import Repo, run_git; {asked}"
    env = {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), **exported}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert "git 2.38 or newer is needed; none was found" in done.stderr.splitlines()[-1]


def test_gitpythons_own_settings_cost_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
    assert scrubbed() == []


def test_a_git_that_is_too_old_to_merge_in_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "git"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && { echo git version 2.34.1; exit; }\necho usage >&2\nexit 129\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(PatchctlError, match=r"git 2\.38 or newer is needed; 2\.34\.1 was found") as error:
        Repo(tmp_path).merge("1" * 40, "2" * 40)
    assert error.value.exit_code == Code.ENVIRONMENT


@pytest.mark.parametrize(
    "said",
    [
        "fatal: update_ref failed for ref 'refs/x': cannot update ref 'refs/x': couldn't write '/s/refs/x.lock'",
        "fatal: sha1 file '/s/objects/pack/tmp_idx_8aYre9' write error. Out of diskspace",
        "error: unable to write file a.c",
        "fatal: cannot store: No space left on device",
    ],
)
def test_what_git_says_of_a_full_disk_is_known(said: str) -> None:
    assert NO_ROOM.search(said)
