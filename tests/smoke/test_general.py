"""The general tests of a GPU, on what real programs print: lines of llama.cpp b9187, its RPC device as the GPU."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.document import load
from patchctl.manifest.model import Stack, Test
from patchctl.manifest.validate import validate
from patchctl.smoke.kinds import run_kind
from patchctl.smoke.plan import general_test
from tests.conftest import ROOT
from tests.smoke.scripted import make_install, setting

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.result import Verdict

CASE = "  {op}(hsk=128,kv=113,nb=1,type{of}={type}): {end}"
OK, FAILED, UNSUPPORTED = "\x1b[1;32mOK\x1b[0m", "\x1b[1;31mFAIL\x1b[0m", "not supported [CUDA0] "
ATTENTION = {"op": "FLASH_ATTN_EXT", "of": "_K", "type": "q8_0"}
HEAD = ["Testing 2 devices", "", "Backend 1/2: CUDA0"]
TAIL = ["  Backend CUDA0: \x1b[1;32mOK\x1b[0m", "Backend 2/2: CPU", "  Skipping CPU backend", "2/2 backends passed"]
NO_GPU = ["Testing 1 devices", "", "Backend 1/1: CPU", "  Skipping CPU backend", "1/1 backends passed", OK]


def ops(folder: Path, test: Test, lines: list[str], status: int = 0) -> Verdict:
    """Judge a test on a test-backend-ops that prints these lines."""
    install = make_install(folder / "install")
    program = install.bin / "test-backend-ops"
    text = "\n".join(lines)
    program.write_text(f"#!{sys.executable} -SE\nimport sys\nprint({text!r})\nsys.exit({status})\n")
    program.chmod(0o755)
    return run_kind(test, setting(install, folder))


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("upstream-backend-ops", ATTENTION),
        ("tbq4-attention", {**ATTENTION, "type": "tbq4_0"}),
        ("tbq4-writes", {"op": "SET_ROWS", "of": "", "type": "tbq4_0"}),
        ("tbq4-writes", {"op": "CPY", "of": "_dst", "type": "tbq4_0"}),
    ],
)
@pytest.mark.parametrize(
    ("end", "status", "result"),
    [(OK, 0, "pass"), (FAILED, 1, "fail"), (UNSUPPORTED, 0, "fail"), (None, 0, "fail")],
    ids=["right", "wrong", "not-supported", "no-gpu"],
)
def test_upstreams_program_proves_nothing_unless_it_computed_something(
    name: str, case: dict[str, str], end: str | None, status: int, result: str, tmp_path: Path
) -> None:
    lines = NO_GPU if end is None else [*HEAD, CASE.format(end=end, **case), *TAIL]
    assert ops(tmp_path, named(name), lines, status).result == result


def named(name: str) -> Test:
    """Return a test of the GPU: a general one, or one of the release b9187."""
    if not name.startswith("tbq4"):
        return general_test(name)
    stack = validate(load(ROOT / "stacks" / "b9187.yaml", name="b9187.yaml"), Stack)
    return next(test for test in stack.tests if isinstance(test, Test) and test.name == name)


OFFLOADED = "0.00.035.259 I load_tensors: offloaded 4/4 layers to GPU"
PARTLY = "0.00.035.259 I load_tensors: offloaded 3/4 layers to GPU"
ENABLED = "0.00.068.410 I sched_reserve: Flash Attention was auto, set to enabled"
FALLBACK = (
    "0.00.099.679 W sched_reserve: layer 1 is assigned to device RPC0 but the Flash Attention tensor is assigned to "
    "device CPU (usually due to missing support)"
)
DISABLED = "0.00.099.700 W sched_reserve: Flash Attention was auto, set to disabled"
NET = (
    "0.00.100.012 W sched_reserve: layer 0 is assigned to device RPC0 but the fused Gated Delta Net tensor is assigned "
    "to device CPU (usually due to missing support)"
)


@pytest.mark.parametrize(
    ("lines", "q4", "said"),
    [
        ([OFFLOADED, ENABLED], [], "nmse against f16: q8_0 0, q4_0 0"),
        ([ENABLED], [], r"run f16: nothing in its log matches offloaded (\d+)/\1 layers to GPU"),
        ([PARTLY, ENABLED], [], r"run f16: nothing in its log matches offloaded (\d+)/\1 layers to GPU"),
        ([OFFLOADED, FALLBACK, DISABLED], [], "run f16: nothing in its log matches Flash Attention was auto, set"),
        ([OFFLOADED, ENABLED, NET], [], "run f16: its log matches is assigned to device, which it must not"),
        ([OFFLOADED, ENABLED], [FALLBACK], "run q4_0: its log matches is assigned to device, which it must not"),
        ([OFFLOADED, ENABLED], [DISABLED], "run q4_0: its log matches Flash Attention was auto, set to disabled"),
    ],
    ids=["on-the-gpu", "no-gpu", "partly", "fallback", "other-fallback", "one-type", "off-for-one-type"],
)
def test_attention_that_leaves_the_gpu_is_seen_in_the_log(
    lines: list[str], q4: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchctl.smoke.asking.LOG_WAIT", 0.1)
    answer: dict[str, Any] = {
        "completion_probabilities": [{"top_logprobs": [{"id": at, "logprob": -at / 3} for at in range(9)]}]
    }
    changes = (
        f"def before(): print(*({lines!r} + ('q4_0' in sys.argv) * {q4!r}), sep=chr(10), flush=True)\n"
        f"def answer(c): c.sendall(reply(200, {answer!r}))"
    )
    install = make_install(tmp_path / "install", changes)
    test = general_test("attention-on-gpu")
    where = setting(install, tmp_path)
    verdict = run_kind(test, type(where)(**{**vars(where), "models": tmp_path}))
    assert verdict.result == ("pass" if said.startswith("nmse") else "fail")
    assert verdict.detail.startswith(said)
