"""How long ``patchctl build`` takes beside plain CMake, Ninja and ccache with the same settings, in one run.

    CCACHE_DIR=~/.cache/ccache PATCHCTL_MIRROR='https://github.com/ggml-org/llama.cpp=/srv/llama.cpp.git' \\
        python benchmarks/build.py --stack stacks/b9187.yaml --variant cpu --touch src/llama-grammar.cpp

Measures, each beside its plain counterpart: a full build in a new place with a warm compiler cache; a rebuild after one
patch changed one file (the compiler cache has neither version); a build with nothing to do. Both sides configure with
the same settings and build the same targets; patchctl also checks out, installs, and knows what was tested.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, run, table

if TYPE_CHECKING:
    from collections.abc import Callable

PATCH = "benchmark-change"


def timed(action: Callable[[], object]) -> float:
    """Return the wall seconds of ``action``."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Bench:
    """Two places for patchctl and one for plain CMake, sharing one compiler cache."""

    def __init__(self, folder: Path, stack: Path, variant: str, touch: str) -> None:
        self.folder = folder
        self.release = stack.stem
        self.variant = variant
        self.touch = touch
        self.source = ROOT
        self.plain = folder / "plain"
        self.env = {
            "PATCHCTL_CACHE": str(folder / "cache"),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", str(folder / "ccache")),
            "PYTHONPATH": str(ROOT),
        }

    def workspace(self, name: str) -> Path:
        """Make a workspace with the stack and a patch that changes one line, and return it."""
        place = self.folder / name
        shutil.copytree(self.source / "patches", place / "patches")
        (place / "stacks").mkdir()
        text = (self.source / "stacks" / f"{self.release}.yaml").read_text()
        (place / "stacks" / f"{self.release}.yaml").write_text(text)
        return place

    def build(self, place: Path) -> None:
        """Run ``patchctl build``."""
        words = ("build", self.release, "--variant", self.variant, "-q")
        run(sys.executable, "-m", "patchctl", *words, cwd=place, env=self.env)

    def info(self, place: Path) -> dict[str, Any]:
        """Return the build info of what was built."""
        path = place / "out" / self.release / self.variant / "build-info.json"
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded

    def change(self, place: Path, text: str) -> None:
        """Make or change the patch that appends one line to a file of upstream."""
        stack = place / "stacks" / f"{self.release}.yaml"
        page = place / "patches" / PATCH
        if not page.exists():
            page.mkdir()
            (page / "README.md").write_text("---\ntitle: a change for the benchmark\n---\n")
            lines = stack.read_text().replace("patches:\n", f"patches:\n  - {PATCH}\n", 1)
            stack.write_text(lines)
        (page / "b9187.patch").write_bytes(self.diff(text))

    def diff(self, text: str) -> bytes:
        """Return a patch that appends one line to the touched file, made by git on a scratch repository."""
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        run("git", "init", "-q", cwd=scratch)
        file = scratch / self.touch
        file.parent.mkdir(parents=True)
        file.write_bytes(self.original)
        run("git", "add", ".", cwd=scratch)
        run("git", "commit", "-q", "-m", "base", cwd=scratch)
        file.write_bytes(self.original + text.encode())
        run("git", "commit", "-q", "-a", "-m", "benchmark: change one line", cwd=scratch)
        flags = ("--zero-commit", "--full-index", "--no-signature", "--no-stat")
        mail = run("git", "format-patch", "-1", "--stdout", *flags, cwd=scratch)
        return mail + f"\nbase-commit: {self.base}\n".encode()

    def first(self) -> Path:
        """Fill the caches with one build and learn what it was made from."""
        place = self.workspace("first")
        self.build(place)
        slot = next(path for path in (self.folder / "cache" / "build").iterdir() if path.is_dir())
        self.original = (slot / "src" / self.touch).read_bytes()
        shutil.copytree(slot / "src", self.plain / "src", symlinks=True)
        info = self.info(place)
        self.base = str(info["base"])
        self.settings = [f"-D{name}={value}" for name, value in info["cmake"].items()]
        launcher = shutil.which("ccache")
        self.settings += [f"-DCMAKE_{name}_COMPILER_LAUNCHER={launcher}" for name in ("C", "CXX")] if launcher else []
        self.settings.append(f"-DGIT_EXE={shutil.which('true')}")
        self.targets = list(info["targets"])
        return place

    def plain_build(self, *, configure: bool) -> None:
        """Build with plain CMake and Ninja, in ``plain/build`` beside ``plain/src``."""
        env = {**self.env, "CCACHE_BASEDIR": str(self.plain), "CCACHE_NOHASHDIR": "1"}
        build = self.plain / "build" / self.variant
        if configure:
            build.mkdir(parents=True)
            words = ("-G", "Ninja", "-S", self.plain / "src", "-B", build, *self.settings)
            run("cmake", *words, cwd=self.plain, env=env)
        run("ninja", "-C", build, *self.targets, cwd=self.plain, env=env)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=Path, default=ROOT / "stacks" / "b9187.yaml")
    parser.add_argument("--variant", default="cpu")
    parser.add_argument("--touch", default="src/llama-grammar.cpp")
    parser.add_argument("--times", type=int, default=3)
    words = parser.parse_args()
    os.environ.pop("CCACHE_BASEDIR", None)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), words.stack, words.variant, words.touch)
        cold = timed(bench.first)
        warm, plain = [], []
        for at in range(words.times):
            place = bench.workspace(f"second{at}")
            warm.append(timed(lambda place=place: bench.build(place)))
            shutil.rmtree(bench.plain / "build", ignore_errors=True)
            plain.append(timed(lambda: bench.plain_build(configure=True)))
        idle = [timed(lambda: bench.build(place)) for _ in range(words.times)]
        ninja_idle = [timed(lambda: bench.plain_build(configure=False)) for _ in range(words.times)]
        bench.change(place, "// change before\n")
        bench.build(place)
        again, ninja = [], []
        for at in range(words.times):
            bench.change(place, f"// change {at} by patchctl\n")
            again.append(timed(lambda: bench.build(place)))
            (bench.plain / "src" / bench.touch).write_bytes(bench.original + f"// change {at} by hand\n".encode())
            ninja.append(timed(lambda: bench.plain_build(configure=False)))
        rows: list[list[object]] = [["", "patchctl", "plain", "ratio"]]
        for title, ours, theirs in (
            ("full build, new place, warm ccache", warm, plain),
            (f"rebuild, {words.touch} changed", again, ninja),
            ("nothing to do", idle, ninja_idle),
        ):
            left, right = sorted(ours)[len(ours) // 2], sorted(theirs)[len(theirs) // 2]
            rows.append([title, left, right, left / right])
        table(f"{words.stack.stem} {words.variant}: seconds, medians of {words.times}", rows)
        print(f"  first build of all, cold ccache: {cold:.0f} s")


if __name__ == "__main__":
    main()
