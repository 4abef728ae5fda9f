"""Variants named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.manifest.workspace import Workspace
from patchctl.ship.variants import unknown_variant
from tests.series.world import World

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_said_of_an_unknown_variant_has_one_mark_at_each_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.commit({"engine.c": "x\n"})
    path = world.stack()
    path.write_text(path.read_text().replace("cpu:", "sm_89:"))
    stack = Workspace(world.workspace).load_stack(path)
    assert '; did you mean "sm_89"? To build it all the same: --variant sm_90 --cmake' in str(
        unknown_variant(stack, "sm_90", to_build=True)
    )
    assert str(unknown_variant(stack, "sm_90")) == 's has no variant "sm_90"; did you mean "sm_89"?'
    path.write_text(path.read_text().replace("sm_89:", "release:"))
    stack = Workspace(world.workspace).load_stack(path)
    said = str(unknown_variant(stack, "sm_90", to_build=True))
    assert "; it has release. To build it all the same: --variant sm_90 --cmake" in said
