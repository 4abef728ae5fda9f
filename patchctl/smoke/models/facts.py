"""What a GGUF holds: how it is quantised, what its KV cache takes, and whether it can draft (MTP)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from patchctl.smoke.models.header import Count, GgufError, Header, Tensor, read_header
from patchctl.smoke.models.mtp import Mtp, read_mtp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The types a KV cache can have (common/arg.cpp at b9187, and that of the patch tbq4-type): values and bytes a block.
CACHE_TYPES = {
    "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "q8_0": (32, 34), "q5_1": (32, 24), "q5_0": (32, 22),
    "q4_1": (32, 20), "q4_0": (32, 18), "iq4_nl": (32, 18), "tbq4_0": (128, 68),
}  # fmt: skip
GROUPS = (
    ("mtp", re.compile(r"\.nextn\.")),
    ("embedding", re.compile(r"^token_embd|^position_embd|^token_types")),
    ("output", re.compile(r"^output\.")),
    ("norm", re.compile(r"norm\.(weight|bias)$")),
    ("experts", re.compile(r"ffn_\w+_(exps|shexp|chexps)|ffn_gate_inp")),
    ("ffn", re.compile(r"\.ffn_")),
    ("recurrent", re.compile(r"\.ssm_|\.time_mix_|\.shortconv|\.attn_gate")),
    ("attention", re.compile(r"\.attn_|\.indexer")),
)
BLOCK = re.compile(r"^blk\.(\d+)\.(.+)$")


@dataclass(frozen=True)
class Group:
    """Tensors that do the same work: how many, how many bytes (of known types), and the count of each type."""

    name: str
    tensors: int
    size: int
    types: dict[str, int]


@dataclass(frozen=True)
class Facts:
    """What one GGUF holds; KV bytes are per token of one sequence, state bytes per sequence, whatever its length."""

    architecture: str
    name: str
    size: int
    parameters: int
    blocks: int
    context: int
    vocabulary: int
    groups: tuple[Group, ...]
    kv_blocks: int
    kv_bytes: dict[str, float | None]
    mtp_kv_bytes: dict[str, float | None]
    mtp: Mtp
    notes: tuple[str, ...] = field(default=())


def inspect(path: Path) -> Facts:
    """Return what the GGUF at ``path`` holds; raises GgufError (told without its name) and OSError."""
    header = read_header(path)
    architecture = header.metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise GgufError("is damaged: its metadata names no architecture")
    return _Reading(header, architecture, path).facts()


@dataclass(frozen=True)
class _Reading:
    header: Header
    architecture: str
    path: Path

    def number(self, key: str, otherwise: int = 0) -> int:
        value = self.header.metadata.get(f"{self.architecture}.{key}", otherwise)
        return value if isinstance(value, int) and not isinstance(value, bool) else otherwise

    def at(self, key: str, block: int, otherwise: int = 0) -> int:
        """Return a number that may be one for each block."""
        value = self.header.metadata.get(f"{self.architecture}.{key}", otherwise)
        if isinstance(value, list):
            value = value[block] if block < len(value) else otherwise
        return value if isinstance(value, int) else otherwise

    def blocks(self) -> dict[int, set[str]]:
        """Return what each block is made of: the tensors' names behind ``blk.N.``."""
        found: dict[int, set[str]] = {}
        for tensor in self.header.tensors:
            match = BLOCK.match(tensor.name)
            if match:
                found.setdefault(int(match[1]), set()).add(match[2])
        return found

    def facts(self) -> Facts:
        meta, tensors, parts = self.header.metadata, self.header.tensors, self.blocks()
        count = self.number("block_count", len(parts))
        heads = self.number("nextn_predict_layers")
        drafting = {at for at in parts if at >= count - heads} if heads else set()
        keeping = [at for at, names in sorted(parts.items()) if _keeps_kv(names)]
        return Facts(
            architecture=self.architecture,
            name=str(meta.get("general.name", "")),
            size=self.header.size,
            parameters=sum(prod(tensor.shape) for tensor in tensors),
            blocks=count,
            context=self.number("context_length"),
            vocabulary=_length(meta.get("tokenizer.ggml.tokens")),
            groups=_groups(tensors),
            kv_blocks=len([at for at in keeping if at not in drafting]),
            kv_bytes=self.kv_bytes([at for at in keeping if at not in drafting]),
            mtp_kv_bytes=self.kv_bytes([at for at in keeping if at in drafting]),
            mtp=read_mtp(self.header, self.path, self.architecture, count - heads if heads else None),
            notes=self.notes(parts),
        )

    def kv_bytes(self, blocks: list[int]) -> dict[str, float | None]:
        """Return the bytes a token takes in the KV caches of these blocks; None where a head is no whole blocks."""
        rows = [row for at in blocks for row in self.kv_rows(at)]
        return {name: _bytes_of(rows, *form) for name, form in CACHE_TYPES.items()}

    def kv_rows(self, block: int) -> list[tuple[int, int]]:
        """Return heads and values per head of K and of V that one block keeps for a token."""
        heads = self.at("attention.head_count_kv", block, self.at("attention.head_count", block))
        width = self.number("embedding_length") // max(1, self.at("attention.head_count", block, 1))
        key, value = self.number("attention.key_length", width), self.number("attention.value_length", width)
        if self.number("attention.kv_lora_rank"):  # MLA keeps one latent row, and V is a part of it
            return [(1, self.number("attention.kv_lora_rank") + self.number("rope.dimension_count"))]
        return [(heads, key), (heads, value)]

    def notes(self, parts: Mapping[int, set[str]]) -> tuple[str, ...]:
        window = self.number("attention.sliding_window")
        recurrent = sum(any(name.startswith("ssm_") for name in names) for names in parts.values())
        split = self.header.metadata.get("split.count", 0)
        said = [
            (window, f"some blocks keep {window} tokens only; the bytes per token are those of a short text"),
            (recurrent, f"{recurrent} recurrent: a state per sequence, whatever its length, in place of a KV cache"),
            (isinstance(split, int) and split > 1, f"one of {split} files; what the others hold is not counted"),
        ]
        return tuple(words for holds, words in said if holds)


def _length(value: Any) -> int:
    return value if isinstance(value, Count) else len(value) if isinstance(value, list) else 0


def _keeps_kv(names: set[str]) -> bool:
    kinds = {name.split(".")[0] for name in names}
    if "ssm_conv1d" in kinds and "attn_k" not in kinds:
        return False
    return bool(kinds & {"attn_k", "attn_qkv", "attn_kv_a_mqa"})


def _bytes_of(rows: list[tuple[int, int]], values: int, size: int) -> float | None:
    if any(width % values for _, width in rows):
        return None
    return sum(heads * width // values * size for heads, width in rows)


def _groups(tensors: tuple[Tensor, ...]) -> tuple[Group, ...]:
    sorted_in: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        name = next((name for name, pattern in GROUPS if pattern.search(tensor.name)), "other")
        sorted_in.setdefault(name, []).append(tensor)
    order = [*(name for name, _ in GROUPS), "other"]
    return tuple(_group(name, sorted_in[name]) for name in order if name in sorted_in)


def _group(name: str, tensors: list[Tensor]) -> Group:
    types: dict[str, int] = {}
    for tensor in tensors:
        types[tensor.type_name] = types.get(tensor.type_name, 0) + 1
    return Group(name, len(tensors), sum(tensor.size or 0 for tensor in tensors), dict(sorted(types.items())))
