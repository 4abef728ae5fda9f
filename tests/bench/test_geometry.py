from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.bench.geometry import generated
from patchctl.errors import Code, PatchctlError
from patchctl.smoke.models.facts import inspect

if TYPE_CHECKING:
    from pathlib import Path


def test_a_geometry_gives_that_attention_and_an_mtp_head(isolated: Path) -> None:
    with generated("8x2x64") as made:
        alone, served = inspect(made.alone), inspect(made.served)
    assert (alone.architecture, alone.blocks, alone.kv_blocks) == ("qwen3", 8, 8)
    assert alone.kv_bytes["f16"] == 8 * 2 * 2 * 64 * 2, "8 layers, K and V, 2 heads of 64 values of 2 bytes"
    assert (served.architecture, served.kv_blocks) == ("qwen35", 8)
    assert served.mtp.complete
    assert not served.mtp.why
    assert max(made.alone.stat().st_size, made.served.stat().st_size) < 20 * 2**20


def test_models_are_made_once(isolated: Path) -> None:
    with generated("4x2x64") as first:
        stamp = first.alone.stat().st_mtime_ns
    with generated("4x2x64") as again:
        assert again == first
    assert first.alone.stat().st_mtime_ns == stamp
    assert first.alone.is_relative_to(isolated / "cache" / "models")


@pytest.mark.parametrize("name", ["none.gguf", "24x4", "24x5x256", "4x2x0", "4x2x63", "900x900x900", "x"])
def test_no_model_is_made_of_nonsense(name: str) -> None:
    with pytest.raises(PatchctlError) as error, generated(name):
        pass
    assert error.value.code is Code.USAGE
    assert name in error.value.message or "no model has" in error.value.message
