from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.author.fork_world import ForkWorld
from tests.series.world import text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ForkWorld:
    """Upstream with two commits, a fork of it, and an empty stack ``s`` on its tip."""
    world = ForkWorld(tmp_path)
    world.commit({"engine.c": text(), "notes.md": "notes\n"}, "engine : first")
    world.commit({"engine.c": text({15: "upstream"})}, "engine : second")
    world.make_fork()
    world.stack()
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world
