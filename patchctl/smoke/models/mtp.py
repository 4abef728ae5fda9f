"""Whether a GGUF's MTP head can draft, and in a plain sentence why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.models.header import Header

REQUIRED = ("eh_proj", "enorm", "hnorm")  # without one of these llama.cpp does not load an MTP block
# What else llama.cpp wants of the MTP block of qwen35 and qwen35moe (src/models); one of several where it takes either.
ATTENTION = (
    ("attn_norm",), ("attn_q", "attn_qkv"), ("attn_k", "attn_qkv"), ("attn_v", "attn_qkv"), ("attn_output",),
    ("attn_q_norm",), ("attn_k_norm",), ("post_attention_norm",),
)  # fmt: skip
FORWARD: dict[str, tuple[tuple[str, ...], ...]] = {
    "qwen35": (("ffn_gate",), ("ffn_up",), ("ffn_down",)),
    "qwen35moe": (
        ("ffn_gate_inp",), ("ffn_gate_exps", "ffn_gate_up_exps"), ("ffn_up_exps", "ffn_gate_up_exps"),
        ("ffn_down_exps",), ("ffn_gate_inp_shexp",), ("ffn_gate_shexp",), ("ffn_up_shexp",), ("ffn_down_shexp",),
    ),
}  # fmt: skip
FEW_BITS = ("Q2", "Q3", "IQ1", "IQ2", "IQ3", "TQ")
NOTHING = "nothing is drafted, acceptance is 0 %"


@dataclass(frozen=True)
class Mtp:
    """The MTP head: whether it is complete, the types of its own tensors, and in ``why`` what keeps it from drafting.

    ``layers`` is what nextn_predict_layers says; ``remarks`` do not keep it from drafting.
    """

    layers: int
    complete: bool
    tensors: dict[str, str]
    missing: tuple[str, ...]
    why: str
    remarks: tuple[str, ...] = ()


def read_mtp(header: Header, path: Path, architecture: str, first: int | None) -> Mtp:
    """Return what a file holds of an MTP head; ``first`` is its block by the metadata, None when that names none."""
    head = _Head(header, path, architecture, first)
    layers = header.metadata.get(f"{architecture}.nextn_predict_layers", 0) if first is not None else 0
    missing = head.missing() if head.own else ()
    why = head.why_silent(missing) or head.why_useless()
    return Mtp(layers, not missing and bool(head.own), head.own, missing, why, () if why else head.remarks())


class _Head:
    def __init__(self, header: Header, path: Path, architecture: str, first: int | None) -> None:
        self.header, self.path, self.architecture, self.first = header, path, architecture, first
        self.tensors = {tensor.name: tensor for tensor in header.tensors}
        self.own = {name: tensor.type_name for name, tensor in self.tensors.items() if ".nextn." in name}
        numbers = [int(name.split(".")[1]) for name in self.own if name.split(".")[1].isdigit()]
        self.block = first if first is not None else max(numbers, default=0)
        self.alone = not any(name.startswith("blk.0.") for name in self.tensors)

    def part(self, name: str) -> str:
        return f"blk.{self.block}.{name}.weight"

    def missing(self) -> tuple[str, ...]:
        """Return what the head needs and has not: its own tensors, and those of an attention block."""
        needs: list[tuple[str, ...]] = [(f"nextn.{name}",) for name in REQUIRED]
        if self.architecture in FORWARD:
            needs += [*ATTENTION, *FORWARD[self.architecture]]
        return tuple(self.part(names[0]) for names in needs if not any(self.part(it) in self.tensors for it in names))

    def why_silent(self, missing: tuple[str, ...]) -> str:
        """Return why there is no head that can be loaded."""
        key = f"{self.architecture}.nextn_predict_layers"
        if self.first is None and not self.own:
            return f"the file has no MTP head: {NOTHING}"
        if self.first is None:
            said = "0" if key in self.header.metadata else "missing"
            return f"{key} is {said}, so its {len(self.own)} nextn tensors are ignored: {NOTHING}"
        if not self.own:
            return f"{key} is {self.header.metadata[key]}, but no nextn tensor is in the file: {NOTHING}"
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"the MTP head is not complete, {missing[0]} is missing{more}: it cannot be loaded, {NOTHING}"
        return ""

    def why_useless(self) -> str:
        """Return why a head that can be loaded drafts nothing of use: it is zeros, or speaks by a stranger's mouth."""
        zero = [name for name in map(self.part, (f"nextn.{name}" for name in REQUIRED)) if self.is_zero(name)]
        if zero:
            return f"{zero[0]} is all zeros: each draft is the same whatever was said, acceptance is about 0 %"
        speaks = "output.weight" in self.tensors or self.part("nextn.shared_head_head") in self.tensors
        if self.alone and self.block and "token_embd.weight" in self.tensors and not speaks:
            what = "a head by itself with token_embd.weight but no output.weight speaks by the embeddings"
            return f"{what}: acceptance is about 0 %, unless the target's output is its embeddings too"
        return ""

    def remarks(self) -> tuple[str, ...]:
        """Return what else there is to know of a head that can draft."""
        eh_proj = self.part("nextn.eh_proj")
        kind = self.own[eh_proj]
        said = []
        if self.alone and self.block and "token_embd.weight" not in self.tensors:
            said.append("a head by itself without token_embd.weight: it loads only where it shares the target's")
        if kind.startswith(FEW_BITS):
            said.append(f"{eh_proj} is {kind}: so few bits lower the acceptance")
        return tuple(said)

    def is_zero(self, name: str) -> bool:
        """Return whether the data of a tensor is nothing but zero bytes."""
        tensor = self.tensors[name]
        with self.path.open("rb") as file:
            file.seek(tensor.start)
            return bool(tensor.size) and not any(file.read(tensor.size or 0))
