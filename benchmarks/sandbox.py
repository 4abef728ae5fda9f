"""What ``patchctl build --sandbox`` costs beside ``patchctl build``: the demo, checked out, compiled, tested in a run.

    python benchmarks/sandbox.py [--times 7] [--variant release]

Each round builds the demo once in either way, the order changing from round to round, in a new workspace with an empty
cache: first with an empty compiler cache, as on a machine that never built it, then with one that has everything.
Printed are medians and the least of wall and processor seconds, and their ratios to the first row; on a machine that
does other things besides, the least is nearer to the truth. The last tables are how many programs such a build
starts, and one command in the sandbox beside the command alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from common import ROOT, run, seconds, table

WAYS = {"build": (), "build --sandbox": ("--sandbox",)}


class Place(NamedTuple):
    """A folder with a workspace to be, patchctl's cache and the compiler's."""

    folder: Path

    @property
    def caches(self) -> tuple[Path, Path]:
        """Return where compile results lie: a person's, and those of sandboxes."""
        return self.folder / "ccache", self.folder / "cache" / "ccache"

    def env(self) -> dict[str, str]:
        """Return the environment, with patchctl's modules compiled as an installed one has them."""
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(self.folder.parent / "compiled")}
        own = {"PATCHCTL_CACHE": str(self.folder / "cache"), "CCACHE_DIR": str(self.folder / "ccache")}
        return {**compiled, **own, "PYTHONPATH": str(ROOT)}


def spent() -> float:
    """Return the processor seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build(place: Place, words: tuple[str, ...], variant: str) -> tuple[float, float]:
    """Build the demo in a new workspace; returns wall and processor seconds."""
    env, patchctl = place.env(), (sys.executable, "-m", "patchctl")
    run(*patchctl, "init", "ws", cwd=place.folder, env=env)
    before, start = spent(), time.perf_counter()
    run(*patchctl, "build", "demo", "--variant", variant, "-q", *words, cwd=place.folder / "ws", env=env)
    return time.perf_counter() - start, spent() - before


def rounds(top: Path, times: int, variant: str, warm: Place | None) -> list[list[object]]:
    """Build in both ways in turns; returns the rows of a table."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for at in range(times):
        for name in list(WAYS)[:: -1 if at % 2 else 1]:
            with tempfile.TemporaryDirectory(dir=top) as folder:
                place = Place(Path(folder))
                for have, want in zip(warm.caches if warm else (), place.caches, strict=False):
                    shutil.copytree(have, want)
                taken[name].append(build(place, WAYS[name], variant))
    rows: list[list[object]] = [["", "wall s", "ratio", "least", "ratio", "processor s", "ratio", "least", "ratio"]]
    first: list[float] = []
    for name, pairs in taken.items():
        figures = [part(column) for column in zip(*pairs, strict=True) for part in (statistics.median, min)]
        first = first or figures
        rows.append(
            [name, *(cell for pair in zip(figures, first, strict=True) for cell in (pair[0], pair[0] / pair[1]))]
        )
    return rows


def counts(top: Path, variant: str) -> list[list[object]]:
    """Return how many programs each way starts, and how many of them are sandboxes, as strace tells."""
    rows: list[list[object]] = [["", "programs", "sandboxes"]]
    for name, words in WAYS.items():
        with tempfile.TemporaryDirectory(dir=top) as folder:
            place = Place(Path(folder))
            patchctl, env = (sys.executable, "-m", "patchctl"), place.env()
            run(*patchctl, "init", "ws", cwd=place.folder, env=env)
            traced = ("strace", "-ff", "-qq", "-e", "trace=execve", "-o", place.folder / "trace", *patchctl)
            run(*traced, "build", "demo", "--variant", variant, "-q", *words, cwd=place.folder / "ws", env=env)
            said = [line for file in place.folder.glob("trace.*") for line in file.read_text().splitlines()]
        started = [line for line in said if line.endswith(" = 0")]
        rows.append([name, len(started), sum("bwrap" in line.partition(",")[0] for line in started)])
    return rows


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
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        warm = Place(top / "warm")
        warm.folder.mkdir()
        for extra in WAYS.values():
            build(warm, extra, words.variant)
            shutil.rmtree(warm.folder / "ws")
        title = f"the demo, variant {words.variant}, {words.times} rounds, compiler cache"
        table(f"{title} empty", rounds(top, words.times, words.variant, None))
        table(f"{title} full", rounds(top, words.times, words.variant, warm))
        if shutil.which("strace"):
            table("what is started", counts(top, words.variant))
    table("one command", [["", "ms"], *one_command(30)])


if __name__ == "__main__":
    main()
