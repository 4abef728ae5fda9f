"""The library of a build called directly: a small one, compiled here, that remembers tokens and can be told to err."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.library import NEAR, PROMPT, Model, after_cuts, library
from patchctl.smoke.probing import UnableError, model

if TYPE_CHECKING:
    from pathlib import Path

# The calls and structs of llama.h that are used; a logit is how often its token is in the sequence.
SOURCE = """
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
struct params { uint32_t n[5]; uint8_t rest[100]; };
struct batch { int32_t n; int32_t *token; float *embd; int32_t *pos, *n_seq; int32_t **seq; int8_t *logits; };
struct context { struct params p; int32_t token[2][99]; int n[2]; int cuts, threads; float logits[256]; };
void llama_log_set(void *f, void *d) {}
struct params llama_model_default_params(void) { struct params p = {{7}}; return p; }
struct params llama_context_default_params(void) { struct params p = {{0}}; p.rest[99] = 42; return p; }
void *llama_model_load_from_file(const char *path, struct params p) { return p.n[0] == 7 ? strdup(path) : 0; }
void *llama_init_from_model(void *m, struct params p) {
    struct context *c = calloc(1, sizeof *c); c->p = p; return p.rest[99] == 42 ? c : 0;
}
uint32_t llama_n_rs_seq(struct context *c) { return c->p.n[4] LAYOUT; }
uint32_t llama_n_seq_max(struct context *c) { return c->p.n[3]; }
void *llama_get_memory(void *c) { return c; }
void llama_set_n_threads(struct context *c, int32_t n, int32_t batch) { c->threads = n * 10 + batch; }
int32_t llama_decode(struct context *c, struct batch b) {
    if (c->threads != 11) return 2;
    for (int i = 0; i < b.n; i++) {
        int s = b.seq[i][0];
        if (b.pos[i] != c->n[s] || b.logits[i] != (i == b.n - 1)) return 1;
        c->token[s][c->n[s]++] = b.token[i];
    }
    memset(c->logits, 0, sizeof c->logits);
    int s = b.seq[0][0];
    for (int i = 0; i < c->n[s]; i++) c->logits[c->token[s][i]] += 1;
    return 0;
}
float *llama_get_logits_ith(struct context *c, int32_t i) { return c->logits; }
_Bool llama_memory_seq_rm(struct context *c, int32_t s, int32_t p0, int32_t p1) {
    CUT
    c->n[s] = p0;
    return 1;
}
void llama_memory_seq_cp(struct context *c, int32_t a, int32_t b, int32_t p0, int32_t p1) {
    memcpy(c->token[b], c->token[a], sizeof c->token[a]); c->n[b] = c->n[a];
}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHCTL_OUT", str(tmp_path / "out"))
    (tmp_path / "out" / "lib").mkdir(parents=True)
    return tmp_path / "out"


def make(install: Path, cut: str = "", layout: str = "") -> None:
    source = install / "llama.c"
    source.write_text(SOURCE.replace("CUT", cut).replace("LAYOUT", layout))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", install / "lib" / "libllama.so", source], check=True)


@pytest.mark.parametrize(
    ("cut", "served", "right"),
    [
        ("", 2, True),
        ("if (c->cuts++) return 0;", 1, True),
        ("if (c->cuts++) return 0; c->token[s][1] = 9;", 1, False),
        ("return 0;", 0, True),
    ],
    ids=["serves", "refuses-the-second", "restores-another", "refuses"],
)
def test_cuts_are_counted_and_what_follows_is_held_against_a_context_that_was_never_longer(
    cut: str, served: int, right: bool, install: Path
) -> None:
    make(install, cut)
    with library() as lib:
        found, off = after_cuts(Model(lib, install / "m.gguf"), PROMPT, [1, 2], ubatch=8)
    assert (found, off <= NEAR) == (served, right)


def test_a_copied_sequence_goes_on_by_itself(install: Path) -> None:
    make(install)
    with library() as lib:
        context = Model(lib, install / "m.gguf").context(snapshots=3)
        context.decode(0, [1, 2, 2], 0)
        context.copy(0, 1)
        assert context.cut(1, 2)
        assert context.decode(1, [5], 2)[:6] == [0, 1, 1, 0, 0, 1]
        assert context.decode(0, [4], 3)[:6] == [0, 1, 2, 0, 1, 0]
        with pytest.raises(UnableError, match="llama_decode failed"):
            context.decode(0, [4], 9)


def test_a_build_that_cannot_answer_is_said_and_nothing_is_guessed(install: Path) -> None:
    with pytest.raises(UnableError, match=r"libllama\.so is not in this build"), library():
        pass
    make(install, layout="+ 1")
    with library() as lib, pytest.raises(UnableError, match="laid out in another way"):
        Model(lib, install / "m.gguf").context(snapshots=3)
    (install / "lib" / "libllama.so").unlink()  # what is loaded keeps its own file
    subprocess.run(["cc", "-shared", "-o", install / "lib" / "libllama.so.1", "-x", "c", "/dev/null"], check=True)
    with pytest.raises(UnableError, match="the library cannot be used"), library():
        pass


def test_a_process_that_loads_a_gpus_libraries_does_not_load_numpy_for_its_models(install: Path) -> None:
    code = "import sys; from pathlib import Path; from patchctl.smoke.probing import model; model(Path(sys.argv[1]), "
    code += "'rand-mtp-bare'); sys.exit('numpy' in sys.modules or not (Path(sys.argv[1]) / 'rand.gguf').exists())"
    done = subprocess.run([sys.executable, "-c", code, install], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (install / "rand-mtp-bare.gguf").read_bytes().startswith(b"GGUF")


def test_a_model_that_cannot_be_made_says_why(install: Path) -> None:
    with pytest.raises(UnableError, match="there is no test model 'rnd'"):
        model(install, "rnd")
