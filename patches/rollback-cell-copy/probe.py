"""Two sequences with one state: each must be cut without harm to the other; the server never does so, by library."""

import ctypes as c
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from patchctl.smoke.probing import MissingError, UnableError, main, model, out_folder

N_SEQ, N_SNAPSHOTS, N_VOCAB = 2, 3, 256
PROMPT = [65 + 3 * i % 26 for i in range(10)]
CUT = 2


class Params(c.Structure):
    """Longer than any parameter struct of llama.h; it is passed on as it came, but for the fields below."""

    _fields_ = [("head", c.c_uint32 * 5), ("rest", c.c_uint8 * 1004)]  # n_ctx n_batch n_ubatch n_seq_max n_rs_seq


class Batch(c.Structure):
    _fields_ = [
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.POINTER(c.c_float)),
        ("pos", c.POINTER(c.c_int32)),
        ("n_seq_id", c.POINTER(c.c_int32)),
        ("seq_id", c.POINTER(c.POINTER(c.c_int32))),
        ("logits", c.POINTER(c.c_int8)),
    ]


def library() -> c.CDLL:
    found = [p for d in ("lib", "lib64", "bin") for p in sorted((out_folder() / d).glob("libllama.so*"))]
    if not found:
        raise UnableError("libllama.so is not in this build")
    try:
        for p in sorted(found[0].parent.glob("libggml*.so")):
            c.CDLL(str(p), mode=c.RTLD_GLOBAL)
        lib = c.CDLL(str(found[0]))
        for name, result in (("llama_model_load_from_file", c.c_void_p), ("llama_init_from_model", c.c_void_p)):
            getattr(lib, name).restype = result
        lib.llama_model_default_params.restype = lib.llama_context_default_params.restype = Params
        lib.llama_get_memory.restype = c.c_void_p
        lib.llama_memory_seq_rm.restype = c.c_bool
        lib.llama_get_logits_ith.restype = c.POINTER(c.c_float)
        lib.llama_n_rs_seq.restype = lib.llama_n_seq_max.restype = c.c_uint32
    except (OSError, AttributeError) as error:
        raise UnableError(f"the library cannot be used: {error}") from error
    return lib


class Context:
    def __init__(self, lib: c.CDLL, weights: int):
        self.lib = lib
        params = lib.llama_context_default_params()
        params.head[:] = [256, 64, 64, N_SEQ, N_SNAPSHOTS]
        self.it = c.c_void_p(lib.llama_init_from_model(c.c_void_p(weights), params))
        if not self.it or lib.llama_n_rs_seq(self.it) != N_SNAPSHOTS or lib.llama_n_seq_max(self.it) != N_SEQ:
            raise UnableError("the context parameters are laid out in another way in this build")
        self.memory = c.c_void_p(lib.llama_get_memory(self.it))

    def decode(self, seq: int, tokens: Sequence[int], at: int) -> list[float]:
        """The logits after the last token."""
        n = len(tokens)
        ints = c.c_int32 * n
        row = (c.c_int32 * 1)(seq)
        rows = (c.POINTER(c.c_int32) * n)(*[c.cast(row, c.POINTER(c.c_int32))] * n)
        flags = (c.c_int8 * n)(*[0] * (n - 1), 1)
        batch = Batch(n, ints(*tokens), None, ints(*range(at, at + n)), ints(*[1] * n), rows, flags)
        if self.lib.llama_decode(self.it, batch) != 0:
            raise UnableError("llama_decode failed")
        return list(self.lib.llama_get_logits_ith(self.it, -1)[:N_VOCAB])


@contextmanager
def quiet(lib: c.CDLL) -> Iterator[None]:
    callback = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
    lib.llama_log_set(callback, None)
    yield
    lib.llama_log_set(None, None)


def distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / sum(y * y for y in b)


def check(folder: Path) -> str:
    lib = library()
    with quiet(lib):
        path = str(model(folder, "rand")).encode()
        weights = lib.llama_model_load_from_file(path, lib.llama_model_default_params())
        if not weights:
            raise UnableError("the model cannot be loaded")
        keep = len(PROMPT) - CUT
        want_cut = Context(lib, weights).decode(0, [*PROMPT[:keep], 70, 71], 0)
        want_less = Context(lib, weights).decode(0, [*PROMPT[:-1], 72], 0)

        ctx = Context(lib, weights)
        ctx.decode(0, PROMPT, 0)
        lib.llama_memory_seq_cp(ctx.memory, 0, 1, -1, -1)
        if not lib.llama_memory_seq_rm(ctx.memory, 1, keep, -1):
            raise MissingError("the copy could not be cut")
        if not lib.llama_memory_seq_rm(ctx.memory, 0, len(PROMPT) - 1, -1):
            raise MissingError("the original could not be cut")
        got_cut = ctx.decode(1, [70, 71], keep)
        got_less = ctx.decode(0, [72], len(PROMPT) - 1)
    off = distance(got_cut, want_cut), distance(got_less, want_less)
    if max(off) > 1e-6:
        raise MissingError(
            f"nmse of the logits after a cut of each: {off[0]:.1e} for the copy, {off[1]:.1e} for the original"
        )
    return f"both sequences are right after a cut of each, nmse {max(off):.0e}"


main(check)
