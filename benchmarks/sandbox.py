"""What ``patchctl build --sandbox`` costs beside ``patchctl build``: the demo, from nothing, in one run.

    python benchmarks/sandbox.py [--times 7] [--variant release]

Each round builds the demo once in either way, the order changing from round to round, in a new workspace with an empty
cache and an empty compiler cache: checkout, configure, gate, compile, install, tests and probes. Printed are medians of
wall and processor seconds, and their ratios; the last table is one command in the sandbox beside the command alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, run, seconds, table

WAYS = {"build": (), "build --sandbox": ("--sandbox",)}


def spent() -> float:
    """Return the processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build(words: tuple[str, ...], variant: str) -> tuple[float, float]:
    """Build the demo from nothing; returns wall and processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {"PATCHCTL_CACHE": f"{name}/cache", "CCACHE_DIR": f"{name}/ccache", "PYTHONPATH": str(ROOT)}
        patchctl = (sys.executable, "-m", "patchctl")
        run(*patchctl, "init", "ws", cwd=folder, env=env)
        before, start = spent(), time.perf_counter()
        run(*patchctl, "build", "demo", "--variant", variant, "-q", *words, cwd=folder / "ws", env=env)
        return time.perf_counter() - start, spent() - before


def one_command(times: int) -> list[list[object]]:
    """Return what starting one program costs, alone and in the sandbox."""
    sys.path.insert(0, str(ROOT))
    from patchctl.sandbox import python_paths, require_sandbox

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        box = require_sandbox().also(readable=python_paths(), writable=[folder])
        boxed = box.wrap(["true"], env=os.environ, cwd=folder)
        alone = seconds(lambda: run("true", cwd=folder), times=times)
        inside = seconds(lambda: run(*boxed, cwd=folder), times=times)
    return [["true", 1000 * alone], ["true, in the sandbox", 1000 * inside]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--variant", default="release")
    words = parser.parse_args()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for at in range(words.times):
        for name in list(WAYS)[:: -1 if at % 2 else 1]:
            taken[name].append(build(WAYS[name], words.variant))
    rows: list[list[object]] = [["", "wall s", "ratio", "processor s", "ratio"]]
    first: tuple[float, float] | None = None
    for name, pairs in taken.items():
        wall, used = (statistics.median(part) for part in zip(*pairs, strict=True))
        first = first or (wall, used)
        rows.append([name, wall, wall / first[0], used, used / first[1]])
    table(f"the demo from nothing, variant {words.variant}, {words.times} rounds", rows)
    table("one command", [["", "ms"], *one_command(30)])


if __name__ == "__main__":
    main()
