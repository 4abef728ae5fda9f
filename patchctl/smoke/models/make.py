"""The test models, by name: perm, half, rand, fp, in dense and MoE form, with their MTP sidecars.

The same bytes on every run and machine. What each shows when a draft, a rollback or a KV cache goes wrong was found by
planting the mistakes: an acceptance counted wrong shows in ``perm``, a rollback in ``rand`` only, a shifted KV cache in
``fp`` only.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from patchctl.smoke.models.blocks import Gains, Tensors, mtp, trunk
from patchctl.smoke.models.numbers import Bytes, Floats, nvfp4, ones, uniform, zeros
from patchctl.smoke.models.shape import Shape
from patchctl.smoke.models.vocab import Vocab

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

SIDECARS = {
    "bare": (),
    "headless": ("token_embd.weight", "output_norm.weight"),
    "full": ("token_embd.weight", "output_norm.weight", "output.weight"),
}
TINY = Shape()
MOE = Shape(n_expert=4, n_ff=64)
LARGE = Shape(n_embd=1024, n_ff=2816, n_main=8, n_head=8, head_dim=128, state=128, v_heads=16, k_heads=8, interval=4)


@dataclass(frozen=True)
class Model:
    """What goes into one GGUF."""

    shape: Shape
    tensors: Tensors
    name: str = "tiny"
    nvfp4: dict[str, Bytes] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the model as a GGUF; the file is there whole or not at all."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            self._write(part)
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _write(self, part: Path) -> None:
        with contextlib.closing(gguf.GGUFWriter(part, self.shape.arch)) as out:
            self._fill(out)

    def _fill(self, out: gguf.GGUFWriter) -> None:
        out.add_name(self.name)
        self.shape.write(out)
        Vocab(self.shape.n_vocab).write(out)
        for name in sorted(self.tensors):
            if name in self.nvfp4:
                out.add_tensor(name, self.nvfp4[name], raw_dtype=gguf.GGMLQuantizationType.NVFP4)
            else:
                out.add_tensor(name, self.tensors[name])
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()


def successor(vocab: Vocab) -> list[int]:
    """What the known-text models say after each token: the next printable character, in a circle."""
    ids = vocab.printable
    after = [ids[0]] * vocab.size
    for here, there in zip(ids, ids[1:] + ids[:1], strict=True):
        after[here] = there
    return after


def _one_hot(rows: list[int], width: int) -> Floats:
    """Column t has its 1 in row rows[t]: a map from token t to token rows[t]."""
    out = zeros(width, len(rows))
    out[rows, np.arange(len(rows))] = 1.0
    return out


def _known_text(shape: Shape, gains: Gains, sharpness: float, *, wrong_after_odd: bool = False) -> Model:
    vocab = Vocab(shape.n_vocab)
    after = successor(vocab)
    seen = [after[t] if wrong_after_odd and t % 2 else t for t in range(vocab.size)]
    from_token = _one_hot(seen, shape.n_embd)
    from_hidden = _one_hot([seen[after[t]] for t in range(vocab.size)], shape.n_embd)
    # 1/16 undoes the gain of RMS norm on a one-hot vector of 256
    eh_proj = np.concatenate([from_token, np.float32(1.5) * from_hidden], axis=1).astype(np.float32)
    tensors = trunk(shape, 1, Gains()) | mtp(shape, 1, gains, eh_proj * np.float32(1 / 16), sharpness)
    tensors["token_embd.weight"] = _one_hot(list(range(vocab.size)), shape.n_embd).T.copy()
    tensors["output_norm.weight"] = ones(shape.n_embd)
    tensors["output.weight"] = _one_hot(after, shape.n_vocab)
    return Model(shape, tensors)


def perm(shape: Shape = TINY) -> Model:
    """Says the alphabet; the MTP head is always right and reads both its inputs."""
    return _known_text(shape, Gains(), 1.0)


def half(shape: Shape = TINY) -> Model:
    """As perm, but the MTP head is wrong after odd tokens."""
    return _known_text(shape, Gains(), 1.0, wrong_after_odd=True)


def fp(shape: Shape = TINY) -> Model:
    """As perm, but sharp MTP attention sways the draft: the counts are a fingerprint of its KV cache."""
    return _known_text(shape, Gains(attn=1.5), 4.0)


def rand(shape: Shape = TINY, *, tied: bool = False, seed: int = 7) -> Model:
    """Random and dependent on its history; the head says printable characters only."""
    gains = Gains(delta=3.0, attn=1.5, ffn=1.0)
    tensors = trunk(shape, seed, gains) | mtp(shape, seed, gains)
    dark = np.setdiff1d(np.arange(shape.n_vocab), Vocab(shape.n_vocab).printable)
    # small embeddings let the history, not the last token, decide
    embd = uniform(seed, "token_embd", (shape.n_vocab, shape.n_embd), 0.05 if tied else 0.25)
    head = embd if tied else uniform(seed, "output", (shape.n_vocab, shape.n_embd))
    head[dark] = 0.0
    tensors |= {"token_embd.weight": embd, "output_norm.weight": ones(shape.n_embd)}
    return Model(shape, tensors if tied else tensors | {"output.weight": head})


def in_nvfp4(model: Model, seed: int = 7) -> Model:
    """The same with feed-forward weights in NVFP4, which are random too."""
    names = [name for name in model.tensors if ".ffn_" in name]
    return replace(model, nvfp4={name: nvfp4(seed, name, *model.tensors[name].shape) for name in names})


def from_nvfp4(model: Model) -> Model:
    """The same weights in F32: gguf-py says what the blocks stand for."""
    read = {name: gguf.quants.dequantize(data, gguf.GGMLQuantizationType.NVFP4) for name, data in model.nvfp4.items()}
    return replace(model, tensors={**model.tensors, **read}, nvfp4={})


def sidecar(model: Model, shared: Collection[str]) -> Model:
    """The MTP block alone, with the named ones of the tensors it shares with its target."""
    keep = f"blk.{model.shape.n_main}."
    tensors = {n: t for n, t in model.tensors.items() if n.startswith(keep) or n in shared}
    return Model(model.shape, tensors, f"{model.name} mtp", model.nvfp4)


def without_mtp(model: Model) -> Model:
    """Blocks that a target needs when its head comes from a sidecar; metadata still counts the MTP block."""
    drop = f"blk.{model.shape.n_main}."
    return replace(model, tensors={n: t for n, t in model.tensors.items() if not n.startswith(drop)})


MODELS: dict[str, Callable[[], Model]] = {
    "perm": perm,
    "half": half,
    "rand": rand,
    "fp": fp,
    "rand-tied": lambda: rand(tied=True),
    "perm-moe": lambda: perm(MOE),
    "rand-moe": lambda: rand(MOE),
    "rand-narrow": lambda: rand(Shape(n_embd=128)),
    "rand-other-vocab": lambda: rand(Shape(n_vocab=240)),
    "rand-h128": lambda: rand(Shape(head_dim=128)),
    "rand-h256": lambda: rand(Shape(head_dim=256)),
    "rand-nvfp4": lambda: in_nvfp4(rand()),
    "rand-nvfp4-f32": lambda: from_nvfp4(in_nvfp4(rand())),
    "large": lambda: rand(LARGE),
}


def write(folder: Path, names: Iterable[str]) -> None:
    """Each model as NAME.gguf with its sidecars NAME-mtp-KIND.gguf."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        model = MODELS[name]()
        model.save(folder / f"{name}.gguf")
        for kind, shared in SIDECARS.items():
            sidecar(model, shared).save(folder / f"{name}-mtp-{kind}.gguf")
