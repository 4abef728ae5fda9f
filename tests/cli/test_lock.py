from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.series.world import World, show, text
from tests.upstreams.maker import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"a.c": text()})
    world.commit({"a.c": text({20: "later"})})
    world.patch("one", {"a.c": text({3: "one", 20: "later"})})
    before = show(world.upstream, "rev-parse", "master^")
    world.patch("gone", {"a.c": text({20: "later"})}, on=before, base=before)
    world.stack("one", "gone")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def test_a_lock_says_what_the_stack_resolved_to(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("lock", "s", "--json", cwd=world.workspace)
    assert ran.code == 0
    path = world.workspace / "stacks" / "s.lock.yaml"
    lock = yaml.safe_load(path.read_text())
    checked = json.loads(patchctl("check", "s", "--json", cwd=world.workspace).stdout)
    assert lock["result"] == checked["result"]
    assert lock["base"] == {
        "commit": world.tip,
        "build": 2,
        "tree": show(world.upstream, "rev-parse", "master^{tree}"),
    }
    content = (world.patches("one") / "b2.patch").read_bytes()
    first, second = lock["patches"]
    assert first["sha256"] == hashlib.sha256(content).hexdigest()
    assert (first["id"], first["revision"], first["commit"]) == ("one", "b2.patch", checked["patches"][0]["commit"])
    assert len(first["patch_id"]) == 40
    assert (second["id"], second["commit"]) == ("gone", None), "what is absorbed has no commit"
    assert json.loads(ran.stdout)["result"] == lock["result"]


def test_the_same_stack_gives_the_same_lock_byte_for_byte(world: World, patchctl: Patchctl) -> None:
    assert patchctl("lock", "s", cwd=world.workspace).stdout.startswith("wrote stacks/s.lock.yaml: tree ")
    path = world.workspace / "stacks" / "s.lock.yaml"
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    assert patchctl("lock", "s", cwd=world.workspace).stdout.startswith("unchanged stacks/s.lock.yaml: tree ")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, when)


def test_a_stack_that_does_not_apply_gets_no_lock_and_keeps_the_old_one(world: World, patchctl: Patchctl) -> None:
    patchctl("lock", "s", cwd=world.workspace)
    world.commit({"a.c": text({3: "theirs", 20: "later"})})
    world.stack("one")
    before = digest_of(world.workspace)
    ran = patchctl("lock", "s", cwd=world.workspace)
    assert ran.code == 4
    assert "1 of 1 patches do not apply: one" in ran.stderr
    assert digest_of(world.workspace) == before


def test_what_the_policy_refuses_gets_no_lock(world: World, patchctl: Patchctl) -> None:
    world.patch("link", {"evil": ("120000", b"/etc/passwd")})
    world.stack("link")
    ran = patchctl("lock", "s", cwd=world.workspace)
    assert ran.code == 8
    assert "link: 'evil' would be a symlink" in ran.stderr
    assert not (world.workspace / "stacks" / "s.lock.yaml").exists()
