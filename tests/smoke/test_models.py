"""The tiny models: the same bytes every time, and what a GGUF reader finds in them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import gguf
import pytest

from patchctl.smoke.models import make

if TYPE_CHECKING:
    from pathlib import Path

# Of all files of a model, its sidecars too; the weights need no C library: every machine makes these bytes.
PINNED = {
    "perm": "29b5fb15d6a3f4e9",
    "half": "541e5e9e14091b90",
    "rand": "6b9b0e5821dcd40d",
    "fp": "02fbcb0c0163d43a",
    "rand-tied": "c70b779c84f36219",
    "perm-moe": "24c9d5adaa8ffdc3",
    "rand-moe": "4994796b21ea128f",
    "rand-narrow": "3fd7fc77e9eeb321",
    "rand-other-vocab": "9150abc8994e201d",
    "rand-h128": "26e9d73f04ea49c5",
    "rand-h256": "707706bc2ad0f230",
    "rand-nvfp4": "b3419a5cd1219718",
    "rand-nvfp4-f32": "e095df2604b4672d",
}


def sha256(folder: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()[:16]


@pytest.mark.parametrize("name", PINNED)
def test_a_model_is_the_same_bytes_every_time_and_on_every_machine(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        make.write(folder, [name])
        files = {f"{name}.gguf", *(f"{name}-mtp-{kind}.gguf" for kind in make.SIDECARS)}
        assert {path.name for path in folder.iterdir()} == files
        assert sha256(folder) == PINNED[name]


def test_every_model_but_the_large_one_is_pinned() -> None:
    assert set(make.MODELS) - {"large"} == set(PINNED)


def test_a_sidecar_holds_the_mtp_block_and_what_its_kind_says(tmp_path: Path) -> None:
    make.write(tmp_path, ["rand"])
    whole = {tensor.name for tensor in gguf.GGUFReader(tmp_path / "rand.gguf").tensors}
    mtp = {name for name in whole if name.startswith("blk.2.")}
    assert {"blk.2.nextn.eh_proj.weight", "blk.2.nextn.enorm.weight", "blk.2.nextn.hnorm.weight"} <= mtp
    for kind, shared in make.SIDECARS.items():
        reader = gguf.GGUFReader(tmp_path / f"rand-mtp-{kind}.gguf")
        assert {tensor.name for tensor in reader.tensors} == mtp | set(shared)
        assert reader.fields["qwen35.nextn_predict_layers"].contents() == 1
