"""The test models, by name: perm, half, rand, fp, in dense and MoE form, with their MTP sidecars.

    python -m patchctl.smoke.models.make FOLDER [NAME ...]

The same bytes on every run and machine. What each shows when a draft, a rollback or a KV cache goes wrong was found by
planting the mistakes: an acceptance counted wrong shows in ``perm``, a rollback in ``rand`` only, a shifted KV cache in
``fp`` only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np

from patchctl.smoke.models.blocks import Gains, Tensors, mtp, trunk
from patchctl.smoke.models.numbers import Floats, ones, uniform, zeros
from patchctl.smoke.models.shape import Shape
from patchctl.smoke.models.vocab import Vocab

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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

    def save(self, path: Path) -> None:
        """Write the model as a GGUF; the file is there whole or not at all."""
        part = path.with_name(f".{path.name}.part")
        out = gguf.GGUFWriter(part, self.shape.arch)
        out.add_name(self.name)
        self.shape.write(out)
        Vocab(self.shape.n_vocab).write(out)
        for name in sorted(self.tensors):
            out.add_tensor(name, self.tensors[name])
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()
        part.replace(path)


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


def sidecar(model: Model, shared: Collection[str]) -> Model:
    """The MTP block alone, with the named ones of the tensors it shares with its target."""
    keep = f"blk.{model.shape.n_main}."
    tensors = {n: t for n, t in model.tensors.items() if n.startswith(keep) or n in shared}
    return Model(model.shape, tensors, f"{model.name} mtp")


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
    "large": lambda: rand(LARGE),
}


def write(folder: Path, names: list[str]) -> None:
    """Each model as NAME.gguf with its sidecars NAME-mtp-KIND.gguf."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        model = MODELS[name]()
        model.save(folder / f"{name}.gguf")
        for kind, shared in SIDECARS.items():
            sidecar(model, shared).save(folder / f"{name}-mtp-{kind}.gguf")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:] or [n for n in MODELS if n != "large"])
