"""What the benchmarks share: quiet git, timing, a table that prints ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
URL = "https://example.invalid/benchmark.git"
QUIET = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.invalid",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


def run(*words: object, cwd: Path, env: dict[str, str] | None = None, stdin: bytes | None = None) -> bytes:
    """Run a command that must succeed and return what it prints."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **QUIET, **(env or {})},
        input=stdin,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words[:4]))}: exit {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def patchctl(*words: object, cwd: Path, cache: Path, mirror: Path, env: dict[str, str] | None = None) -> bytes:
    """Run patchctl as a process of its own, with its modules compiled as an installed one has them."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache.parent / "compiled")}
    extra = compiled | {"PATCHCTL_CACHE": str(cache), "PATCHCTL_MIRROR": f"{URL}={mirror}", "PYTHONPATH": str(ROOT)}
    return run(sys.executable, "-m", "patchctl", *words, cwd=cwd, env={**extra, **(env or {})})


def seconds(action: Callable[[], object], before: Callable[[], object] = lambda: None, times: int = 3) -> float:
    """Return the median wall seconds of ``action``; ``before`` prepares each run and is not timed."""
    taken = []
    for _ in range(times):
        before()
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def table(title: str, rows: Sequence[Sequence[object]]) -> None:
    """Print rows with aligned columns."""
    print(f"\n{title}")
    text = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in text) for at in range(len(text[0]))]
    for row in text:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
