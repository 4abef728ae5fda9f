"""libllama of a build, called directly: for probes of what no server ever asks of it."""

from __future__ import annotations

import ctypes as c
from contextlib import contextmanager
from typing import TYPE_CHECKING

from patchctl.smoke.probing import UnableError, out_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

N_SEQ, N_VOCAB = 2, 256
PROMPT = tuple(65 + 3 * i % 26 for i in range(10))  # of tokens
NEXT = (70, 71)
# Logits of the same tokens in batches of other lengths are this near: 1e-10 on processors, 1e-6 seen on a GPU. Those of
# another state are more than 1 apart.
NEAR = 1e-5


class Params(c.Structure):
    """Longer than any parameter struct of llama.h; it is passed on as it came, but for the fields below."""

    _fields_ = (("head", c.c_uint32 * 5), ("rest", c.c_uint8 * 1004))  # n_ctx n_batch n_ubatch n_seq_max n_rs_seq


class Batch(c.Structure):
    """``llama_batch``."""

    _fields_ = (
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    )


class Model:
    """One model, loaded; its contexts come from it and live as long as the process."""

    def __init__(self, library: c.CDLL, path: Path) -> None:
        self.library = library
        self.it = c.c_void_p(
            library.llama_model_load_from_file(str(path).encode(), library.llama_model_default_params())
        )
        if not self.it:
            raise UnableError("the model cannot be loaded")

    def context(self, *, snapshots: int, ubatch: int = 64) -> Context:
        """Return a new context that keeps so many snapshots and computes so many tokens at a time."""
        return Context(self, snapshots, ubatch)


class Context:
    """A context of two sequences."""

    def __init__(self, model: Model, snapshots: int, ubatch: int) -> None:
        self.library = library = model.library
        params = library.llama_context_default_params()
        params.head[:] = [256, 64, ubatch, N_SEQ, snapshots]
        self.it = c.c_void_p(library.llama_init_from_model(model.it, params))
        if not self.it or (library.llama_n_rs_seq(self.it), library.llama_n_seq_max(self.it)) != (snapshots, N_SEQ):
            raise UnableError("the context parameters are laid out in another way in this build")
        library.llama_set_n_threads(self.it, 1, 1)
        self.memory = c.c_void_p(library.llama_get_memory(self.it))

    def decode(self, seq: int, tokens: Sequence[int], at: int) -> list[float]:
        """Decode tokens of a sequence from position ``at`` on and return the logits after the last one."""
        n = len(tokens)
        ints = c.c_int32 * n
        row = (c.c_int32 * 1)(seq)
        rows = (c.POINTER(c.c_int32) * n)(*[c.cast(row, c.POINTER(c.c_int32))] * n)
        flags = (c.c_int8 * n)(*[0] * (n - 1), 1)
        batch = Batch(n, ints(*tokens), None, ints(*range(at, at + n)), ints(*[1] * n), rows, flags)
        if self.library.llama_decode(self.it, batch) != 0:
            raise UnableError("llama_decode failed")
        return list(self.library.llama_get_logits_ith(self.it, -1)[:N_VOCAB])

    def cut(self, seq: int, keep: int) -> bool:
        """Remove the tokens of a sequence from position ``keep`` on; return whether the memory did."""
        return bool(self.library.llama_memory_seq_rm(self.memory, seq, keep, -1))

    def copy(self, source: int, target: int) -> None:
        """Let a sequence go on where another one is."""
        self.library.llama_memory_seq_cp(self.memory, source, target, -1, -1)


@contextmanager
def library() -> Iterator[c.CDLL]:
    """Give the build's libllama, silent; raises UnableError where it cannot be used."""
    found = [p for d in ("lib", "lib64", "bin") for p in sorted((out_folder() / d).glob("libllama.so*"))]
    if not found:
        raise UnableError("libllama.so is not in this build")
    try:
        for path in sorted(found[0].parent.glob("libggml*.so")):
            c.CDLL(str(path), mode=c.RTLD_GLOBAL)
        lib = _declared(c.CDLL(str(found[0])))
    except (OSError, AttributeError) as error:
        raise UnableError(f"the library cannot be used: {error}") from error
    callback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
    lib.llama_log_set(callback, None)
    yield lib
    lib.llama_log_set(None, None)


def _declared(lib: c.CDLL) -> c.CDLL:
    for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory"):
        getattr(lib, name).restype = c.c_void_p
    lib.llama_model_default_params.restype = lib.llama_context_default_params.restype = Params
    lib.llama_memory_seq_rm.restype = c.c_bool
    lib.llama_get_logits_ith.restype = c.POINTER(c.c_float)
    lib.llama_n_rs_seq.restype = lib.llama_n_seq_max.restype = c.c_uint32
    return lib


def distance(seen: Sequence[float], wanted: Sequence[float]) -> float:
    """Return the normalised mean squared error of logits."""
    return sum((x - y) ** 2 for x, y in zip(seen, wanted, strict=True)) / sum(y * y for y in wanted)


def after_cuts(model: Model, tokens: Sequence[int], cuts: Sequence[int], *, ubatch: int = 64) -> tuple[int, float]:
    """Cut the end of a prompt, by so many tokens each time; return how many cuts were served, and how right it is.

    Right: the distance between the logits of what follows and those in a context that was never longer.
    """
    context = model.context(snapshots=max(cuts), ubatch=ubatch)
    context.decode(0, tokens, 0)
    keep, served = len(tokens), 0
    for cut in cuts:
        if context.cut(0, keep - cut):
            keep, served = keep - cut, served + 1
    wanted = model.context(snapshots=max(cuts), ubatch=ubatch).decode(0, [*tokens[:keep], *NEXT], 0)
    return served, distance(context.decode(0, NEXT, keep), wanted)
