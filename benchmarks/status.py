"""What ``patchctl status`` costs: seconds, git processes and requests for 100 patches, cold and warm.

    python benchmarks/status.py [--patches 100] [--files 2600]

Each patch names an open pull request. They are asked of a GitHub on loopback that executes the real query on GitHub's
own schema (``tests/upstream/github``); the side of git is a made upstream, on its own base and on one that moved.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from check import prepare
from common import ROOT, URL, table

sys.path.insert(0, str(ROOT))

from patchctl.cli import run_words
from patchctl.git import COUNTER
from tests.upstream.github.fake import TOKEN, Fake

PULLS = "example/benchmark"


def name_pulls(folder: Path, fake: Fake) -> None:
    """Let the page of each patch name a pull request that is open."""
    for number, page in enumerate(sorted((folder / "ws" / "patches").glob("*/README.md")), 1):
        page.write_text(page.read_text().replace("---\ntitle", f"---\nupstream: {{pr: {PULLS}#{number}}}\ntitle", 1))
        fake.know(PULLS, number, head=f"{number:040x}")


def measure(folder: Path, fake: Fake, *words: str) -> tuple[float, int, int]:
    """Return the seconds, git processes and requests of one ``status``."""
    COUNTER.processes = 0
    fake.asked.clear()
    here = Path.cwd()
    os.chdir(folder / "ws")
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_words(["status", *words])
    spent = time.perf_counter() - start
    os.chdir(here)
    if code:
        raise SystemExit(f"status ended with {code}\n{out.getvalue()}{err.getvalue()}")
    return spent, COUNTER.processes, len(fake.asked)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, default=100)
    parser.add_argument("--files", type=int, default=2600)
    words = parser.parse_args()
    fake = Fake()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bases = prepare(folder, words.files, words.patches)
        name_pulls(folder, fake)
        os.environ |= {
            "PATCHCTL_CACHE": str(folder / "cache"),
            "PATCHCTL_MIRROR": f"{URL}={folder / 'upstream.git'}",
            "GITHUB_SERVER_URL": URL.rsplit("/", 1)[0],
            "GITHUB_API_URL": fake.url,
            "GITHUB_GRAPHQL_URL": f"{fake.url}/graphql",
            "GITHUB_TOKEN": TOKEN,
        }
        for label, onto in (("its own base", ()), ("a base that moved", ("--onto", bases["moved"]))):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            runs = (("cold, with the clone", ()), ("warm", ()), ("warm, GitHub asked again", ("--max-age", "0s")))
            rows = [[run, *measure(folder, fake, "main", *onto, *more)] for run, more in runs]
            table(f"{words.patches} patches on {label}", [["", "seconds", "git processes", "requests"], *rows])
    fake.close()


if __name__ == "__main__":
    main()
