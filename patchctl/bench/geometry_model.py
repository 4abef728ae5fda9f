"""The bytes of the models to measure with; needs gguf and numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from patchctl.bench.geometry import LAYERS
from patchctl.smoke.models.make import Model, perm
from patchctl.smoke.models.numbers import ones, uniform
from patchctl.smoke.models.shape import Shape

if TYPE_CHECKING:
    import gguf

    from patchctl.smoke.models.blocks import Tensors

CONTEXT = 2**20
SEED = 11


@dataclass(frozen=True)
class AttentionShape(Shape):
    """A qwen3: attention in every block, no MTP."""

    @property
    def arch(self) -> str:
        """Return the architecture's name in the GGUF."""
        return "qwen3"

    def write(self, out: gguf.GGUFWriter) -> None:
        """Write the metadata that states these sizes."""
        self.write_attention(out, self.n_main)


def attention(heads: int, kv: int, width: int) -> Model:
    """Return eight layers of attention with ``heads`` query heads on ``kv`` KV heads of ``width`` values."""
    shape = AttentionShape(n_main=LAYERS, n_head=heads, n_head_kv=kv, head_dim=width, context=CONTEXT)
    whole = heads * width
    sizes = {"attn_q": (whole, 256), "attn_k": (kv * width, 256), "attn_v": (kv * width, 256)}
    sizes |= {"attn_output": (256, whole), "ffn_gate": (256, 256), "ffn_up": (256, 256), "ffn_down": (256, 256)}
    norms = {"attn_norm": 256, "ffn_norm": 256, "attn_q_norm": width, "attn_k_norm": width}
    tensors: Tensors = {}
    for block in range(LAYERS):
        for name, size in sizes.items():
            at = f"blk.{block}.{name}.weight"
            tensors[at] = uniform(SEED, at, size, size[1] ** -0.5)
        tensors |= {f"blk.{block}.{name}.weight": ones(size) for name, size in norms.items()}
    shared = {name: uniform(SEED, name, (256, 256)) for name in ("token_embd.weight", "output.weight")}
    return _halved(Model(shape, {**tensors, **shared, "output_norm.weight": ones(256)}, "attention"))


def with_mtp(heads: int, kv: int, width: int) -> Model:
    """Return a qwen35 with as many layers of attention, a DeltaNet before each, whose MTP head is always right."""
    shape = Shape(n_main=2 * LAYERS, n_head=heads, n_head_kv=kv, head_dim=width, context=CONTEXT)
    return _halved(replace(perm(shape), name="attention with mtp"))


def _halved(model: Model) -> Model:
    """Return the model with its matrices in f16, as few models have them larger; vectors and convolutions stay."""
    halved: dict[str, Any] = {
        name: tensor.astype(np.float16) if tensor.ndim == 2 and "conv" not in name else tensor
        for name, tensor in model.tensors.items()
    }
    return replace(model, tensors=halved)
