"""How far each KV cache type moves what a model says, on a small model trained here and now; needs torch.

    python benchmarks/divergence.py out/b9187/cpu/bin/llama-server --kv q8_0 --kv q4_0 --kv tbq4_0
    python benchmarks/divergence.py out/b9187/sm_90/bin/llama-server --kv tbq4_0 -- -ngl 99

What follows ``--`` are further words for the server.

Trains a model of qwen3's kind (attention in every block, 8 query heads on 2 KV heads of 128 values) for ``--seconds``
to continue the source of Python's own library, character by character, and keeps it as ``--model``; one that is there
is used as it is. Then the server is asked, for each type, for the whole distribution after every prefix of a text that
the training did not see. Printed beside f16: nats per character, the mean and the 99th percentile of the
Kullback-Leibler divergence, and how often the likeliest character is the same. A random model's logits are nearly
flat, and what it says moves with any rounding; this one is sure of most of what it says, as a real one is.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import requests
import torch
from common import table
from torch.nn import functional as nn

from patchctl.bench.geometry_model import AttentionShape
from patchctl.smoke.models.make import Model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHAPE = AttentionShape(n_embd=512, n_ff=1536, n_main=6, n_head=8, n_head_kv=2, head_dim=128, context=4096)
WINDOW = 1024
HELD_OUT = 20  # every so many files
EPS = 1e-6
Weights = dict[str, torch.Tensor]


def texts() -> tuple[bytes, bytes]:
    """Return what to train on and what is kept from it: the ASCII sources of Python's library."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py"))
    sources = [file.read_bytes() for file in files if "site-packages" not in file.parts]
    plain = [source for source in sources if source.isascii() and len(source) > WINDOW]
    seen = (source for at, source in enumerate(plain) if at % HELD_OUT)
    return b"".join(seen), max(plain[::HELD_OUT], key=len)


def made(device: str) -> Weights:
    """Return random weights by their names in the GGUF."""
    q, kv = SHAPE.n_head * SHAPE.head_dim, SHAPE.n_head_kv * SHAPE.head_dim
    wide, deep = SHAPE.n_embd, SHAPE.n_ff
    sizes = {"attn_q": (q, wide), "attn_k": (kv, wide), "attn_v": (kv, wide), "attn_output": (wide, q)}
    sizes |= {"ffn_gate": (deep, wide), "ffn_up": (deep, wide), "ffn_down": (wide, deep)}
    norms = {"attn_norm": wide, "ffn_norm": wide, "attn_q_norm": SHAPE.head_dim, "attn_k_norm": SHAPE.head_dim}
    weights: Weights = {"output_norm.weight": torch.ones(wide, device=device)}
    for name in ("token_embd.weight", "output.weight"):
        weights[name] = torch.randn(SHAPE.n_vocab, wide, device=device) * 0.02
    for block in range(SHAPE.n_main):
        for name, size in sizes.items():
            weights[f"blk.{block}.{name}.weight"] = torch.randn(size, device=device) * size[1] ** -0.5
        for name, width in norms.items():
            weights[f"blk.{block}.{name}.weight"] = torch.ones(width, device=device)
    return {name: weight.requires_grad_() for name, weight in weights.items()}


def logits(weights: Weights, tokens: torch.Tensor) -> torch.Tensor:
    """Return the logits after each of ``tokens`` (batch, length), as llama.cpp's qwen3 computes them."""
    batch, length = tokens.shape
    half = SHAPE.head_dim // 2
    turn = torch.arange(length, device=tokens.device)[:, None] * 10000.0 ** (
        -torch.arange(half, device=tokens.device) / half
    )
    cos, sin = turn.cos(), turn.sin()

    def rotated(x: torch.Tensor) -> torch.Tensor:
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    def heads(x: torch.Tensor, norm: torch.Tensor | None = None) -> torch.Tensor:
        x = x.view(batch, length, -1, SHAPE.head_dim).transpose(1, 2)
        return x if norm is None else rotated(nn.rms_norm(x, norm.shape, norm, EPS))

    x = weights["token_embd.weight"][tokens]
    for block in range(SHAPE.n_main):
        at = {name.split(".")[2]: w for name, w in weights.items() if name.startswith(f"blk.{block}.")}
        y = nn.rms_norm(x, at["attn_norm"].shape, at["attn_norm"], EPS)
        q, k = heads(y @ at["attn_q"].T, at["attn_q_norm"]), heads(y @ at["attn_k"].T, at["attn_k_norm"])
        z = nn.scaled_dot_product_attention(q, k, heads(y @ at["attn_v"].T), is_causal=True, enable_gqa=True)
        x = x + z.transpose(1, 2).reshape(batch, length, -1) @ at["attn_output"].T
        y = nn.rms_norm(x, at["ffn_norm"].shape, at["ffn_norm"], EPS)
        x = x + (nn.silu(y @ at["ffn_gate"].T) * (y @ at["ffn_up"].T)) @ at["ffn_down"].T
    norm = weights["output_norm.weight"]
    return nn.rms_norm(x, norm.shape, norm, EPS) @ weights["output.weight"].T


def train(path: Path, text: bytes, seconds: float, batch: int) -> None:
    """Train for so many seconds and write the GGUF."""
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    corpus = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    weights = made(device)
    steps = torch.optim.AdamW(weights.values(), lr=1.0, betas=(0.9, 0.95), weight_decay=0.05)
    start, count, loss = time.monotonic(), 0, torch.tensor(math.nan)
    while (spent := (time.monotonic() - start) / seconds) < 1:
        for group in steps.param_groups:
            group["lr"] = 1e-3 * min(1, (count + 1) / 100) * (0.05 + 0.95 * math.cos(math.pi / 2 * spent))
        at = torch.randint(len(corpus) - WINDOW - 1, (batch,))
        rows = torch.stack([corpus[i : i + WINDOW + 1] for i in at.tolist()]).to(device).long()
        with torch.autocast(device, torch.bfloat16):
            said = logits(weights, rows[:, :-1])
        loss = nn.cross_entropy(said.float().flatten(0, 1), rows[:, 1:].flatten())
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        steps.step()
        count += 1
        if count % 100 == 0:
            print(f"  step {count}: {loss.item():.3f} nats per character", file=sys.stderr)
    print(f"trained {count} steps of {batch * WINDOW} characters, last loss {loss.item():.3f} nats per character")
    tensors: dict[str, Any] = {name: weight.detach().float().cpu().numpy() for name, weight in weights.items()}
    Model(SHAPE, tensors, "trained").save(path)


@contextlib.contextmanager
def served(server: Path, model: Path, kind: str, more: Sequence[str]) -> Iterator[str]:
    """Run the server with this KV cache type; yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", model, "--port", port, "-c", 2 * WINDOW, "-np", 1, "-fit", "off", "--no-warmup", "-fa", "on"]
    words += ["-ctk", kind, "-ctv", kind, *more]
    process = subprocess.Popen([server, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok:
                    break
            if process.poll() is not None:
                sys.exit(f"{server} ended with {process.returncode} at -ctk {kind}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/completion"
    finally:
        process.terminate()
        process.wait()


def distributions(url: str, tokens: Sequence[int], first: int) -> np.ndarray:
    """Return the log-probabilities (positions, vocabulary) after ``tokens[:n]`` for each n from ``first`` on."""
    rows = np.full((len(tokens) - first, SHAPE.n_vocab), -math.inf)
    for at in range(first, len(tokens)):
        body = {"prompt": list(tokens[:at]), "n_predict": 1, "temperature": 0, "n_probs": SHAPE.n_vocab}
        answer = requests.post(url, json=body, timeout=600)
        answer.raise_for_status()
        for it in answer.json()["completion_probabilities"][0]["top_logprobs"]:
            rows[at - first, it["id"]] = it["logprob"]
    return rows


def split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the words before the first ``--`` and those after it."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def main() -> None:
    """Train if need be, ask and print."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s SERVER [options] [-- WORDS...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("server", type=Path)
    parser.add_argument("--kv", action="append", help="a KV cache type (repeatable)")
    parser.add_argument("--model", type=Path, default=Path("trained.gguf"))
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to train")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--positions", type=int, default=512)
    # Not left to argparse: it fills a second positional argument before it sees what follows the options.
    own, more = split(sys.argv[1:])
    words = parser.parse_args(own)
    text, held_out = texts()
    if not words.model.exists():
        train(words.model, text, words.seconds, words.batch)
    tokens = held_out[: WINDOW + words.positions]
    seen = {}
    for kind in ("f16", *(words.kv or ("q8_0", "q4_0"))):
        with served(words.server.resolve(), words.model, kind, more) as url:
            seen[kind] = distributions(url, tokens, len(tokens) - words.positions)
    base, said = seen["f16"], np.frombuffer(tokens[-words.positions :], np.uint8)
    rows: list[list[object]] = [["", "nats per character", "mean divergence", "99th percentile", "same first"]]
    for kind, found in seen.items():
        apart = np.sum(np.where(base > -math.inf, np.exp(base) * (base - np.maximum(found, -50)), 0), axis=1)
        nats = -found[np.arange(len(said)), said].mean()
        same = float((found.argmax(1) == base.argmax(1)).mean())
        rows.append([kind, float(nats), f"{apart.mean():.2e}", f"{np.quantile(apart, 0.99):.2e}", same])
    table(f"{words.positions} positions after {WINDOW} characters", rows)


if __name__ == "__main__":
    main()
