"""Builds to measure that are scripts: a llama-bench and a server whose speed a test chooses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from patchctl.bench.geometry import Measured
from patchctl.bench.samples import Side
from tests.smoke.scripted import IDENTITY, make_install

if TYPE_CHECKING:
    from pathlib import Path

# The words it takes and the lines it prints are those of llama-bench at b9187, cut to what is read.
LLAMA_BENCH = """#!{python} -SE
import json, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
kv = words["-ctk"]
if kv not in {kv!r}:
    sys.exit("error: invalid parameter for argument: -ctk")
if "--help" in sys.argv:
    sys.exit(0)
with open({journal!r}, "a") as file:
    file.write("{name} " + kv + "\\n")
speed = {speed}
print("ggml_cuda_init: found 0 devices", file=sys.stderr)
{before}
for depth in map(int, words["-d"].split(",")):
    for prompt, gen in [*((int(n), 0) for n in words["-p"].split(",")), (0, int(words["-n"]))]:
        value = speed * (10 if prompt else 1) / (1 + depth / 1000)
        print(json.dumps({{"build_commit": "{identity}", "n_prompt": prompt, "n_gen": gen, "n_depth": depth,
                          "type_k": kv, "avg_ts": value, "samples_ts": [value]}}))
"""
SERVER = """
args = sys.argv
with open({journal!r}, "a") as file:
    file.write("{name} " + ("mtp" if "draft-mtp" in args else "ar") + "\\n")
asked = []

def answer(connection):
    body = json.loads(head.partition(b"\\r\\n\\r\\n")[2])
    count, mtp = body["n_predict"], "draft-mtp" in args
    asked.append(body["prompt"])
    reused = len(asked) > 1 and body["prompt"].startswith(asked[-2])
    timings = {{"predicted_n": count, "predicted_per_second": {speed} * (2.0 if mtp else 1.0), "prompt_n": 9,
               "prompt_per_second": 100.0, "cache_n": 9 if reused else 0}}
    if mtp:
        timings |= {{"draft_n": count, "draft_n_accepted": int(count * {accepted})}}
    connection.sendall(reply(200, {{"content": "x" * count, "timings": timings}}))
"""


def side(
    root: Path, name: str, *, speed: float = 100.0, kv: tuple[str, ...] = ("f16", "q8_0"), before: str = "",
    identity: str = IDENTITY, server: str = "", accepted: float = 0.5,
) -> Side:  # fmt: skip
    """Make a build of a certain speed, in tokens per second; what runs is written to ``root/journal``."""
    journal = str(root / "journal")
    script = SERVER.format(journal=journal, name=name, speed=speed, accepted=accepted)
    install = make_install(root / name, script + server)
    program = install.bin / "llama-bench"
    program.write_text(
        LLAMA_BENCH.format(
            python=sys.executable,
            journal=journal,
            name=name,
            kv=list(kv),
            speed=speed,
            before=before,
            identity=identity,
        )
    )
    program.chmod(0o755)
    return Side(name, install, root / f"{name}.logs")


def model(root: Path) -> Measured:
    path = root / "m.gguf"
    path.write_bytes(b"GGUF")
    return Measured("m", path, path)
