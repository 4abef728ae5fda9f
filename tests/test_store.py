"""Upstream's objects: where they come from, what is asked for, and that the mirror is only ever read."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code, PatchctlError
from patchctl.git import COUNTER, GitError
from patchctl.ledger import Ledger
from patchctl.store import Store
from tests.series.world import URL, World, show, text
from tests.upstreams.maker import digest_of, git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Ten commits of upstream and two patches made on the last, b10."""
    world = World(tmp_path)
    for number in range(1, 11):
        files = {
            "engine.c": text({15: f"version {number}"}),
            f"docs/{number}.md": f"page {number}\n",
            "big.bin": b"\0" * 64,
        }
        world.commit(files, f"engine : step {number} (#{number})")
    world.patch("first", {"engine.c": text({3: "first", 15: "version 10"})})
    world.patch("second", {"docs/1.md": "page one\n"})
    world.stack("first", "second")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


@pytest.fixture
def store(world: World, isolated: Path) -> Iterator[Store]:
    ledger = Ledger(isolated / "cache" / "ledger.sqlite")
    store = Store(URL, str(world.upstream), isolated / "cache", ledger)
    yield store
    store.repo.close()
    ledger.close()


def store_folder(isolated: Path) -> Path:
    return next((isolated / "cache" / "store").glob("*.git"))


def commits(world: World) -> list[str]:
    return show(world.upstream, "rev-list", "--reverse", "master").split()


def started(call: Callable[[], object]) -> list[str]:
    """Return the git commands that ``call`` starts."""
    before = len(COUNTER.commands)
    call()
    return COUNTER.commands[before:]


# --- mirrors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["bare", "checkout", "url"])
def test_any_shape_of_mirror_gives_the_same_result_and_stays_as_it_is(
    shape: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    mirror = world.upstream
    if shape == "checkout":
        mirror = tmp_path / "clone"
        git("clone", "--quiet", world.upstream, mirror)
    place = f"file://{mirror}" if shape == "url" else str(mirror)
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={place}")
    subprocess.run(["chmod", "-R", "a-w", mirror], check=True)
    before = digest_of(mirror)
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    assert ran.code == 0, ran
    result = json.loads(ran.stdout)["result"]
    assert digest_of(mirror) == before
    assert result["tree"] == _git_am(world, tmp_path)


def _git_am(world: World, tmp_path: Path) -> str:
    work = tmp_path / "am"
    git("clone", "--quiet", world.upstream, work)
    mails = [next(world.patches(patch).glob("*.patch")) for patch in ("first", "second")]
    git("-C", work, "am", "--quiet", *mails)
    return show(work, "rev-parse", "HEAD^{tree}")


def lacking(world: World, folder: Path, *paths: str) -> Path:
    """Return a copy of upstream that really lacks the blobs of these paths at its tip."""
    gone = [show(world.upstream, "rev-parse", f"master:{path}") for path in paths]
    shutil.copytree(world.upstream, folder)
    for pack in (folder / "objects" / "pack").glob("*.pack"):
        moved = pack.rename(folder / "moved.pack")
        shutil.rmtree(pack.parent)
        git("-C", folder, "unpack-objects", "-q", stdin=moved.read_bytes())
        moved.unlink()
        pack.parent.mkdir()
    for oid in gone:
        (folder / "objects" / oid[:2] / oid[2:]).unlink()
    return folder


@pytest.fixture
def loose(world: World) -> World:
    """The same, with every object of upstream in a file of its own."""
    for pack in list((world.upstream / "objects" / "pack").glob("*.pack")):
        content = pack.read_bytes()
        for part in pack.parent.glob(f"{pack.stem}.*"):
            part.unlink()
        git("-C", world.upstream, "unpack-objects", "-q", stdin=content)
    return world


@pytest.mark.parametrize("promisor", [False, True])
def test_blobs_no_copy_has_are_left_out_with_one_warning(
    promisor: bool, loose: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    mirror = lacking(loose, tmp_path / "partial.git", "big.bin", "docs/7.md")
    if promisor:  # as a clone with --filter is: asked for what it lacks, it would fetch that and keep it
        for setting in (
            "core.repositoryformatversion 1",
            "extensions.partialClone origin",
            "remote.origin.promisor true",
        ):
            git("-C", mirror, "config", *setting.split())
        git("-C", mirror, "config", "remote.origin.url", f"file://{loose.upstream}")
        git("-C", loose.upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={mirror}")
    loose.patch("clash", {"engine.c": text({3: "clash", 15: "version 10"})})
    stack = loose.stack("first", "clash")
    before = digest_of(mirror)
    ran = patchctl("apply", stack, cwd=loose.workspace)
    assert ran.code == 4, ran
    warnings = [line for line in ran.stderr.splitlines() if line.startswith("warning:")]
    assert len(warnings) == 1
    assert "2 of its files" in warnings[0]
    assert "big.bin" in warnings[0]
    assert digest_of(mirror) == before
    work = loose.workspace / "work" / "s"
    assert (work / "docs" / "6.md").exists()
    assert not (work / "big.bin").exists()
    assert patchctl("check", stack, cwd=loose.workspace).code == 4


def test_a_git_that_knows_no_lazy_fetching_leaves_a_partial_mirror_as_it_is(
    loose: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    """Before 2.39.4 git does not heed GIT_NO_LAZY_FETCH; such a mirror would fetch what it lacks, and keep it."""
    mirror = lacking(loose, tmp_path / "partial.git", "docs/7.md")
    for setting in (
        "core.repositoryformatversion 1",
        "extensions.partialClone origin",
        "remote.origin.promisor true",
        "remote.origin.partialclonefilter blob:none",
        f"remote.origin.url file://{loose.upstream}",
    ):
        git("-C", mirror, "config", *setting.split())
    git("-C", loose.upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    older = tmp_path / "bin" / "git"
    older.parent.mkdir()
    older.write_text(f'#!/bin/sh\nunset GIT_NO_LAZY_FETCH\nexec {shutil.which("git")} "$@"\n')
    older.chmod(0o755)
    monkeypatch.setenv("PATH", f"{older.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={mirror}")
    before = digest_of(mirror)
    ran = patchctl("apply", loose.stack("first"), cwd=loose.workspace)
    assert digest_of(mirror) == before, ran


def test_a_partial_clone_as_mirror_fetches_nothing_for_us(loose: World, tmp_path: Path, isolated: Path) -> None:
    """Objects that git fetches by itself, one by one, come from what the mirror has and from nowhere else."""
    oid, other = (show(loose.upstream, "rev-parse", f"master:docs/{name}.md") for name in (1, 2))
    mirror = lacking(loose, tmp_path / "partial.git", "docs/1.md")
    for words in ("core.repositoryformatversion 1", "extensions.partialClone origin", "remote.origin.promisor true"):
        git("-C", mirror, "config", *words.split())
    git("-C", mirror, "config", "remote.origin.url", f"file://{loose.upstream}")
    git("-C", loose.upstream, "config", "uploadpack.allowAnySHA1InWant", "true")
    before = digest_of(mirror)
    ledger = Ledger(isolated / "cache" / "ledger.sqlite")
    store = Store(URL, str(mirror), isolated / "cache", ledger)
    store.ensure_commit(loose.tip or "")
    assert store.repo.run("cat-file", "blob", other, lazy=True).text() == "page 2"
    with pytest.raises(GitError):
        store.repo.run("cat-file", "blob", oid, lazy=True)
    assert digest_of(mirror) == before
    store.repo.close()
    ledger.close()


def test_a_blob_a_patch_needs_and_no_copy_has_is_an_error_that_names_it(
    loose: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    oid = show(loose.upstream, "rev-parse", "master:docs/1.md")
    mirror = lacking(loose, tmp_path / "partial.git", "docs/1.md")
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={mirror}")
    ran = patchctl("check", "s", cwd=loose.workspace)
    assert ran.code == 9
    assert oid in ran.stderr
    assert "second" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    monkeypatch.setenv("PATCHCTL_MIRROR", loose.mirror)
    assert patchctl("check", "s", cwd=loose.workspace).code == 0


def test_a_mirror_that_is_gone_is_told_in_one_line(
    world: World, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}=/no/such/mirror")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (7, 1)
    assert "/no/such/mirror" in ran.stderr


@pytest.mark.parametrize("place", ["http://127.0.0.1:1/up.git", "ssh://git@127.0.0.1:1/up.git"])
def test_an_upstream_that_cannot_be_reached_is_told_in_one_line(
    place: str, world: World, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={place}")
    monkeypatch.setenv("LANGUAGE", "de")
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (7, 1), ran
    assert URL in ran.stderr


def test_a_network_that_fails_while_judging_is_no_verdict(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    """The base a patch was made on is asked for late; what could not be asked is not kept as a conflict."""
    old = commits(world)[4]
    newer = world.commit({"engine.c": text({15: "version 10", 20: "newer"})})
    side = world.commit({"engine.c": text({28: "side"})}, parent=old)
    world.patch("third", {"engine.c": text({3: "third", 28: "side"})}, on=side, base=side, build=6)
    world.stack("third", base=newer)
    gone = tmp_path / "gone.git"
    shutil.copytree(world.upstream, gone)
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={gone}")
    assert patchctl("check", world.stack(name="empty", base=newer), cwd=world.workspace).code == 0
    shutil.rmtree(gone)
    assert patchctl("check", "s", "--no-alone", cwd=world.workspace).code == 7
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    assert json.loads(ran.stdout)["patches"][0]["outcome"] == "offset", ran


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_build_is_its_tag_when_the_tag_counts_right(world: World, store: Store) -> None:
    oids = commits(world)
    world.tag("b7", oids[6])
    world.tag("b8", oids[7], annotated=True)
    world.tag("b9", oids[2])
    assert store.resolve("b7") == oids[6]
    assert store.resolve("b8") == oids[7]
    assert store.resolve("b9") == oids[8], "a tag of that name on another commit is not the build"
    assert store.resolve("b4") == oids[3], "no tag: found by counting"
    with pytest.raises(PatchctlError, match="has no branch, tag or build b11"):
        store.resolve("b11")


def test_a_build_is_counted_on_upstreams_line_not_on_a_forks_head(world: World, store: Store) -> None:
    """A mirror whose HEAD is a fork's: it counts commits that upstream never had."""
    oids = commits(world)
    fork = oids[4]
    for number in range(9):
        fork = world.commit({"fork.c": f"{number}\n"}, f"fork {number}", parent=fork)
    world.branch("fork", fork)
    git("-C", world.upstream, "symbolic-ref", "HEAD", "refs/heads/fork")
    store.ensure_commit(oids[9])
    assert store.remote_refs()["HEAD"] == fork
    assert [store.resolve(f"b{build}", oids[9]) for build in (3, 5, 7, 10)] == [oids[2], oids[4], oids[6], oids[9]]
    with pytest.raises(PatchctlError, match="has no branch, tag or build b14"):
        store.resolve("b14", oids[9])


def test_branches_and_tags_are_names_too(world: World, store: Store) -> None:
    oids = commits(world)
    world.branch("stable", oids[4])
    world.tag("v1.0", oids[1], annotated=True)
    assert store.resolve("stable") == oids[4]
    assert store.resolve("v1.0") == oids[1]
    assert store.resolve("master") == oids[9]
    assert store.resolve(oids[3]) == oids[3]


def test_a_build_that_is_also_the_beginning_of_an_id_is_the_build(tmp_path: Path, isolated: Path) -> None:
    """``b1`` to ``b9`` abbreviate an id after a few dozen commits; plain git would take that one."""
    world = World(tmp_path)
    oids = [world.commit({"a": f"{number}\n"}) for number in range(1, 130)]
    wanted = next(oid[:3] for oid in oids if re.match(r"b[1-9][0-9][a-f0-9]", oid) and int(oid[1:3]) < 129)
    ledger = Ledger(isolated / "ledger.sqlite")
    store = Store(URL, str(world.upstream), isolated / "cache", ledger)
    assert store.resolve(wanted[:3].rstrip("abcdef")) == oids[int(wanted[1:3]) - 1]
    store.repo.close()
    ledger.close()


@pytest.mark.parametrize("name", ["abcdef1", "0123456789abcdef0123456789abcdef0123456"])
def test_an_abbreviated_id_is_refused(name: str, store: Store) -> None:
    with pytest.raises(PatchctlError, match="abbreviated commit id; give all 40 digits") as error:
        store.resolve(name)
    assert error.value.exit_code == Code.USAGE


def test_a_commit_upstream_does_not_have_is_told_in_one_line(world: World, patchctl: Patchctl) -> None:
    world.stack("first", base="deadbeef" * 5)
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, ran.stderr.count("\n")) == (3, 1)
    assert f"has no commit {'deadbeef' * 5}" in ran.stderr


# --- economy ----------------------------------------------------------------------------------------------------------


def test_what_is_here_is_not_fetched_again(world: World, store: Store) -> None:
    oids = commits(world)
    assert "fetch" in started(lambda: store.ensure_commit(oids[9]))
    assert started(lambda: store.ensure_commit(oids[9])) == []
    assert "fetch" not in started(lambda: store.ensure_commit(oids[4])), "an ancestor came with it"
    assert started(lambda: store.build_number(oids[4])) == ["rev-list"]
    assert started(lambda: store.build_number(oids[4])) == []


def test_blobs_come_in_one_request_and_only_those_asked_for(world: World, store: Store) -> None:
    tip = commits(world)[9]
    store.ensure_commit(tip)
    oids = [show(world.upstream, "rev-parse", f"{tip}:{path}") for path in ("engine.c", "docs/1.md", "docs/2.md")]
    assert started(lambda: store.ensure_blobs(oids)).count("fetch") == 1
    here = git("-C", store.folder, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)")
    blobs = {line.split()[1] for line in here.decode().splitlines() if line.startswith("blob")}
    assert blobs == set(oids)
    assert "fetch" not in started(lambda: store.ensure_blobs(oids))


# --- accidents --------------------------------------------------------------------------------------------------------


def test_a_fetch_that_was_killed_is_made_again(world: World, isolated: Path, patchctl_process: Patchctl) -> None:
    """Kill the whole group as soon as a pack is being received; leave also the locks that a killed git leaves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "patchctl", "check", "s"], cwd=world.workspace, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 20
    while time.monotonic() < until and not list(isolated.glob("cache/store/*.git/patchctl-birth")):
        time.sleep(0.001)
    time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    folder = store_folder(isolated)
    (folder / "objects" / "pack").mkdir(exist_ok=True)
    (folder / "objects" / "pack" / "tmp_pack_abc").write_bytes(b"half")
    for lock in (f"refs/patchctl/bases/{world.tip}.lock", "packed-refs.lock", "shallow.lock", "config.lock"):
        (folder / lock).parent.mkdir(parents=True, exist_ok=True)
        (folder / lock).touch()
    ran = patchctl_process("check", "s", cwd=world.workspace)
    assert ran.code == 0, ran
    assert not list(folder.glob("**/tmp_*"))


def test_a_shallow_mirror_is_named_and_leaves_nothing_that_a_whole_one_cannot_mend(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Patchctl
) -> None:
    shallow = tmp_path / "shallow.git"
    git("clone", "--quiet", "--bare", "--depth", "3", f"file://{world.upstream}", shallow)
    monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={shallow}")
    for _ in range(2):
        ran = patchctl("check", "s", cwd=world.workspace)
        assert (ran.code, f"the mirror {shallow} is a shallow copy" in ran.stderr) == (7, True), ran
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    ran = patchctl("check", "s", cwd=world.workspace)
    assert (ran.code, "b10" in ran.stdout) == (0, True), ran


def test_a_commit_that_was_fetched_and_not_yet_proven_when_killed_is_proven_later(world: World, store: Store) -> None:
    shallow = world.upstream.with_name("shallow.git")
    git("clone", "--quiet", "--bare", "--depth", "3", f"file://{world.upstream}", shallow)
    with pytest.raises(PatchctlError, match="shallow"):
        store.at(str(shallow)).ensure_commit(world.tip)
    git("-C", store.folder, "update-ref", f"refs/patchctl/bases/{world.tip}", world.tip)
    assert store.build_number(world.tip) == 10


@pytest.mark.parametrize("what", ["objects", "head"])
def test_a_damaged_store_is_told_with_what_mends_it(
    what: str, world: World, isolated: Path, patchctl: Patchctl
) -> None:
    assert patchctl("check", "s", cwd=world.workspace).code == 0
    folder = store_folder(isolated)
    if what == "head":
        (folder / "HEAD").write_bytes(b"")
    for path in folder.glob("objects/??/*") if what == "objects" else ():
        path.chmod(0o644)
        path.write_bytes(b"")
    later = world.commit({"engine.c": text({29: "theirs"})}, "engine : step 11 (#11)")
    ran = patchctl("check", "s", "--onto", later, cwd=world.workspace)
    assert (ran.code, "patchctl cache --free all" in ran.stderr) == (9, True), ran
    assert patchctl("cache", "--free", "all", cwd=world.workspace).code == 0
    assert patchctl("check", "s", cwd=world.workspace).code == 0


def test_locks_left_by_a_killed_git_do_not_matter_for_a_commit_that_is_here(world: World, store: Store) -> None:
    oids = commits(world)
    store.ensure_commit(oids[9])
    lock = store.folder / f"refs/patchctl/bases/{oids[3]}.lock"
    lock.touch()
    store.ensure_commit(oids[3])
    assert store.has_commit(oids[3])


@pytest.mark.parametrize("gone", ["store", "ledger.sqlite", "store/pack", "everything"])
def test_a_cache_that_is_partly_deleted_gives_the_same_answer(
    gone: str, world: World, isolated: Path, patchctl: Patchctl
) -> None:
    base = world.tip
    world.page("taken", commit=world.commit({"engine.c": text({15: "version 10", 25: "taken"})}))
    world.stack("first", "second", "taken", base=base)
    first = patchctl("check", "s", "--json", cwd=world.workspace)
    cache = isolated / "cache"
    if gone == "everything":
        shutil.rmtree(cache)
    elif gone == "store/pack":
        shutil.rmtree(store_folder(isolated) / "objects" / "pack")
    else:
        path = cache / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = patchctl("check", "s", "--json", cwd=world.workspace)
    assert (again.code, again.stdout) == (0, first.stdout)
    assert patchctl("lock", "s", cwd=world.workspace).code == 0


def test_a_broken_ledger_costs_time_and_no_answer(world: World, isolated: Path, patchctl: Patchctl) -> None:
    first = patchctl("check", "s", "--json", cwd=world.workspace)
    (isolated / "cache" / "ledger.sqlite").write_bytes(b"this is no database at all" * 400)
    again = patchctl("check", "s", "--json", cwd=world.workspace)
    assert (again.code, again.stdout) == (0, first.stdout)


def test_several_patchctl_at_once_on_a_new_cache_all_succeed(world: World) -> None:
    command = [sys.executable, "-m", "patchctl", "check", "s", "--json"]
    running = [
        subprocess.Popen(command, cwd=world.workspace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1


def test_the_demo_needs_no_mirror(store: Store, isolated: Path) -> None:
    demo = Store("patchctl:demo", "patchctl:demo", isolated / "cache", store.ledger)
    assert demo.resolve("b30") == "02847c8083ae0abdde1e52db908663402a03b8dd"
    demo.repo.close()


def test_a_full_id_is_wanted(store: Store) -> None:
    with pytest.raises(PatchctlError, match="not a full commit id"):
        store.ensure_commit("b9187")
