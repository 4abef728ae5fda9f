"""The tiny models: the same bytes every time, and what a GGUF reader finds in them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import gguf
import pytest

from patchctl.smoke.models import make

if TYPE_CHECKING:
    from pathlib import Path

# One for each way a model is put together; the weights need no C library's mathematics, so every machine makes these.
PINNED = {"rand": "b31e9978c0a7a4c056508ef925a6582ee2f5e91440912eb9020346c4600f526b"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["perm", "half", "rand", "fp", "rand-tied", "perm-moe", "rand-moe"])
def test_a_model_is_the_same_bytes_every_time(name: str, tmp_path: Path) -> None:
    make.write(tmp_path / "a", [name])
    make.write(tmp_path / "b", [name])
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == sorted([f"{name}.gguf", *(f"{name}-mtp-{kind}.gguf" for kind in make.SIDECARS)])
    for file in files:
        assert sha256(tmp_path / "a" / file) == sha256(tmp_path / "b" / file)
    if name in PINNED:
        assert sha256(tmp_path / "a" / f"{name}.gguf") == PINNED[name]


def test_a_sidecar_holds_the_mtp_block_and_what_its_kind_says(tmp_path: Path) -> None:
    make.write(tmp_path, ["rand"])
    whole = {tensor.name for tensor in gguf.GGUFReader(tmp_path / "rand.gguf").tensors}
    mtp = {name for name in whole if name.startswith("blk.2.")}
    assert {"blk.2.nextn.eh_proj.weight", "blk.2.nextn.enorm.weight", "blk.2.nextn.hnorm.weight"} <= mtp
    for kind, shared in make.SIDECARS.items():
        reader = gguf.GGUFReader(tmp_path / f"rand-mtp-{kind}.gguf")
        assert {tensor.name for tensor in reader.tensors} == mtp | set(shared)
        assert reader.fields["qwen35.nextn_predict_layers"].contents() == 1
