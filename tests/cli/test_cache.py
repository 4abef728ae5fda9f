"""Freeing the cache never takes away what is in use."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.files import locked
from patchctl.ledger import Ledger
from tests.series.world import World, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"a.c": text()})
    world.patch("one", {"a.c": text({3: "one"})})
    world.stack("one")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def test_everything_is_freed_with_what_lies_beside_the_ledger(world: World, isolated: Path, patchctl: Patchctl) -> None:
    assert patchctl("check", "s", cwd=world.workspace).code == 0
    for suffix in ("-wal", "-shm"):
        (isolated / "cache" / f"ledger.sqlite{suffix}").touch()
    assert patchctl("cache", "--free", "all", cwd=world.workspace).code == 0
    assert not list((isolated / "cache").glob("ledger*"))


def test_a_ledger_in_use_stays(world: World, isolated: Path, patchctl: Patchctl) -> None:
    ledger = Ledger(isolated / "cache" / "ledger.sqlite")
    ledger.put("kind", "key", 1)
    ran = patchctl("cache", "--free", "all", cwd=world.workspace)
    assert (ran.code, "ledger.sqlite" in ran.stderr) == (9, True)
    assert ledger.get("kind", "key") == 1
    ledger.close()


def test_a_store_that_a_worktree_reads_stays_until_that_is_gone(
    world: World, isolated: Path, patchctl: Patchctl
) -> None:
    assert patchctl("apply", "s", cwd=world.workspace).code == 0
    ran = patchctl("cache", "--free", "store", cwd=world.workspace)
    assert (ran.code, str(world.workspace / "work" / "s") in ran.stderr) == (9, True)
    assert list((isolated / "cache" / "store").glob("*.git"))
    shutil.rmtree(world.workspace / "work")
    assert patchctl("cache", "--free", "store", cwd=world.workspace).code == 0
    assert not list((isolated / "cache" / "store").glob("*.git"))


def test_every_folder_of_the_cache_is_counted_and_freed(world: World, isolated: Path, patchctl: Patchctl) -> None:
    cache = isolated / "cache"
    parts = ("store", "build", "ccache", "logs", "models", "bisect", "forecast", "review")
    for part in parts:
        (cache / part / "one" / "deep").mkdir(parents=True)
        (cache / part / "one" / "deep" / "file").write_bytes(b"x" * 2**20)
    told = json.loads(patchctl("cache", "--json", cwd=world.workspace).stdout)
    assert told["bytes"] == {**dict.fromkeys(parts, 2**20), "solutions": 0}
    assert patchctl("cache", "--free", "all", cwd=world.workspace).code == 0
    assert not list(cache.rglob("file"))


def test_a_bisect_that_runs_keeps_its_builds(world: World, isolated: Path, patchctl: Patchctl) -> None:
    kept = isolated / "cache" / "bisect" / "a1" / "out" / "build"
    kept.mkdir(parents=True)
    lock = kept.parents[1] / "slot0.lock"
    with locked(lock, "slot 0 of the bisect"):
        ran = patchctl("cache", "--free", "bisect", cwd=world.workspace)
    assert (ran.code, "bisect/a1" in ran.stderr, kept.is_dir()) == (9, True, True)
    assert patchctl("cache", "--free", "bisect", cwd=world.workspace).code == 0
    assert not kept.exists()


def test_credentials_are_in_no_message_and_no_name(world: World, isolated: Path, patchctl: Patchctl) -> None:
    stack = world.stack("one")
    url = "https://me:secret@127.0.0.1:1/up.git"
    stack.write_text(stack.read_text().replace("https://example.invalid/up.git", url))
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    assert ran.code != 0
    assert "secret" not in ran.stdout + ran.stderr
    assert not [path for path in isolated.rglob("*") if "secret" in path.name]
