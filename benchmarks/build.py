"""How long ``patchctl build`` takes beside plain CMake, Ninja and ccache with the same settings, in one run.

    CCACHE_DIR=~/.cache/ccache PATCHCTL_MIRROR='https://github.com/ggml-org/llama.cpp=/srv/llama.cpp.git' \\
        python benchmarks/build.py --stack stacks/b9187.yaml --variant cpu

Measures, each beside its plain counterpart: a full build in a new place with a warm compiler cache; a rebuild after a
patch changed, a line in every file that one of the stack's patches touches (the compiler cache has neither version);
the same for a single file that compiles in seconds; a build with nothing to do. Both sides configure with the same
settings and build the same targets, without tests, which plain Ninja has not; patchctl also judges the patches, checks
out, configures and links anew for the new identity, and installs. What the stack's tests take comes on top.

There are two ways to do by hand what a changed patch does. ``committed``: in a git checkout, the change is committed
and Ninja started; upstream's CMake files then configure anew, and the binaries say which commit they are. ``edited``:
the files are written over, in a folder that is no repository, and Ninja is started: the least that can be done, after
which the binaries still say that they are the tree before. Writing, committing and restoring are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmake import CMAKE_BIN_DIR
from common import ROOT, run, table
from ninja import BIN_DIR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATCH = "benchmark-change"
LIKE = ("rollback-server-fallback", "rollback-validity")
SMALL = "src/llama-memory-recurrent.cpp"
IDENTITY = ("LLAMA_BUILD_NUMBER", "LLAMA_BUILD_COMMIT")
CODE = re.compile(r"^\+\+\+ b/(\S+\.(?:c|cpp|h|hpp|cu|cuh))$", re.MULTILINE)


def timed(action: Callable[[], object]) -> float:
    """Return the wall seconds of ``action``."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Bench:
    """Two places for patchctl and two for plain CMake, a folder and a git checkout, sharing one compiler cache."""

    def __init__(self, folder: Path, stack: Path, variant: str, like: Sequence[str]) -> None:
        self.folder = folder
        self.release = stack.stem
        self.variant = variant
        self.source = ROOT
        self.changes = {f"as {name} does": self.touched(name) for name in like} | {f"{SMALL} alone": [SMALL]}
        self.plain = folder / "plain"
        self.checkout = folder / "checkout"
        self.env = {
            "PATCHCTL_CACHE": str(folder / "cache"),
            "CCACHE_DIR": os.environ.get("CCACHE_DIR", str(folder / "ccache")),
            "PYTHONPATH": str(ROOT),
            # patchctl's modules are compiled once, as those of an installed one are.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(folder / "compiled"),
        }

    def workspace(self, name: str, *, tests: bool = False) -> Path:
        """Make a workspace with the stack, with or without its tests and probes, and return it."""
        place = self.folder / name
        left_out = shutil.ignore_patterns(*(() if tests else ("probe.yaml",)))
        shutil.copytree(self.source / "patches", place / "patches", ignore=left_out)
        (place / "stacks").mkdir()
        text = (self.source / "stacks" / f"{self.release}.yaml").read_text()
        text = text if tests else re.sub(r"^tests:\n(?:[ \n].*\n?)*", "tests: []\n", text, flags=re.MULTILINE)
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

    def touched(self, name: str) -> list[str]:
        """Return the files of code that a patch touches."""
        texts = [path.read_text(errors="replace") for path in (self.source / "patches" / name).glob("*.patch")]
        return sorted({file for text in texts for file in CODE.findall(text)})

    def change(self, place: Path, touched: Sequence[str], line: str) -> None:
        """Make or change the last patch of the stack, which appends one line to each of these files."""
        stack = place / "stacks" / f"{self.release}.yaml"
        page = place / "patches" / PATCH
        if not page.exists():
            page.mkdir()
            (page / "README.md").write_text("---\ntitle: a change for the benchmark\n---\n")
            lines = stack.read_text().replace("\nbuild:\n", f"\n  - {PATCH}\n\nbuild:\n", 1)
            stack.write_text(lines)
        (page / "b9187.patch").write_bytes(self.diff(touched, line))

    def line(self, name: str) -> str:
        """Return a declaration that no compiler cache has seen; a comment would be one it has."""
        return f"extern int benchmark_{uuid.uuid4().hex}_{name};\n"

    def diff(self, touched: Sequence[str], line: str) -> bytes:
        """Return a patch that appends one line to each of these files, made by git on a scratch repository."""
        scratch = Path(tempfile.mkdtemp(dir=self.folder))
        run("git", "init", "-q", cwd=scratch)
        for added, message in (("", "base"), (line, "benchmark: change one line")):
            for touch in touched:
                file = scratch / touch
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.original[touch] + added.encode())
            run("git", "add", ".", cwd=scratch)
            run("git", "commit", "-q", "-m", message, cwd=scratch)
        flags = ("--zero-commit", "--full-index", "--no-signature", "--no-stat")
        mail = run("git", "format-patch", "-1", "--stdout", *flags, cwd=scratch)
        return mail + f"\nbase-commit: {self.base}\n".encode()

    def first(self) -> Path:
        """Fill the caches with one build and learn what it was made from."""
        place = self.workspace("first")
        self.build(place)
        slot = next(path for path in (self.folder / "cache" / "build").iterdir() if path.is_dir())
        files = {touch for touched in self.changes.values() for touch in touched}
        self.original = {touch: (slot / "src" / touch).read_bytes() for touch in files}
        shutil.copytree(slot / "src", self.plain / "src", symlinks=True)
        info = self.info(place)
        self.base = str(info["base"])
        launcher = shutil.which("ccache")
        self.settings = [f"-DCMAKE_{name}_COMPILER_LAUNCHER={launcher}" for name in ("C", "CXX")] if launcher else []
        self.settings += [f"-D{name}={value}" for name, value in info["cmake"].items() if name not in IDENTITY]
        self.unversioned = [f"-D{name}={info['cmake'][name]}" for name in IDENTITY]
        self.unversioned.append(f"-DGIT_EXE={shutil.which('true')}")
        self.targets = list(info["targets"])
        return place

    def commit(self, message: str) -> None:
        """Commit everything in the checkout, which is made from the plain folder at the first call."""
        if not self.checkout.exists():
            shutil.copytree(self.plain / "src", self.checkout / "src", symlinks=True)
            run("git", "init", "-q", cwd=self.checkout / "src")
        run("git", "add", "-A", "-f", cwd=self.checkout / "src")
        run("git", "commit", "-q", "-m", message, cwd=self.checkout / "src")

    def plain_build(self, place: Path, *, configure: bool = False) -> None:
        """Build with plain CMake and Ninja, in ``build`` beside ``src``."""
        env = {**self.env, "LC_ALL": "C.UTF-8", "CCACHE_BASEDIR": str(place), "CCACHE_NOHASHDIR": "1"}
        build = place / "build" / self.variant
        if configure:
            build.mkdir(parents=True)
            settings = [*self.settings, *(() if place == self.checkout else self.unversioned)]
            words = ("-G", "Ninja", "-S", place / "src", "-B", build, *settings)
            run(Path(CMAKE_BIN_DIR) / "cmake", *words, cwd=place, env=env)
        run(Path(BIN_DIR) / "ninja", "-C", build, *self.targets, cwd=place, env=env)

    def tests(self) -> float:
        """Return the seconds that the stack's tests and probes take after a build."""
        place = self.workspace("tested", tests=True)
        said = run(sys.executable, "-m", "patchctl", "build", self.release, "--variant", self.variant, "--json",
                   cwd=place, env=self.env)  # fmt: skip
        return sum(result["seconds"] for result in json.loads(said)["results"])

    def write(self, place: Path, touched: Sequence[str], line: str = "") -> None:
        """Write these files of a plain place anew, as they were or with a line more."""
        for touch in touched:
            (place / "src" / touch).write_bytes(self.original[touch] + line.encode())

    def rebuild(self, place: Path, touched: Sequence[str], times: int) -> list[list[float]]:
        """Change files by patchctl, by hand with a commit, by hand without, in turn; return the seconds of each."""
        ours, committed, edited = [], [], []
        for at in range(times):
            self.change(place, touched, self.line("by_patchctl"))
            ours.append(timed(lambda: self.build(place)))
            self.write(self.checkout, touched, self.line("committed"))
            self.commit(f"change {at}")
            committed.append(timed(lambda: self.plain_build(self.checkout)))
            self.write(self.plain, touched, self.line("edited"))
            edited.append(timed(lambda: self.plain_build(self.plain)))
        for where in (self.checkout, self.plain):  # what the next change compiles is to be its own
            self.write(where, touched)
        self.commit("as it was")
        for where in (self.checkout, self.plain):
            self.plain_build(where)
        return [ours, committed, edited]


def _beside(mine: float, other: float | None) -> list[object]:
    return ["", ""] if other is None else [other, mine / other]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=Path, default=ROOT / "stacks" / "b9187.yaml")
    parser.add_argument("--variant", default="cpu")
    parser.add_argument("--like", action="append", help="a patch whose files are changed (repeatable)")
    parser.add_argument("--times", type=int, default=3)
    words = parser.parse_args()
    os.environ.pop("CCACHE_BASEDIR", None)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), words.stack, words.variant, words.like or LIKE)
        cold = timed(bench.first)
        bench.commit("as it is")
        for where in (bench.checkout, bench.plain):
            bench.plain_build(where, configure=True)
        warm, plain = [], []
        for at in range(words.times):
            place = bench.workspace(f"second{at}")
            warm.append(timed(lambda place=place: bench.build(place)))
            shutil.rmtree(bench.plain / "build")
            plain.append(timed(lambda: bench.plain_build(bench.plain, configure=True)))
        idle = [timed(lambda: bench.build(place)) for _ in range(words.times)]
        ninja_idle = [timed(lambda: bench.plain_build(bench.plain)) for _ in range(words.times)]
        measured = [
            ("full build, new place, warm ccache", warm, [], plain),
            *((f"rebuild, {how}", *bench.rebuild(place, files, words.times)) for how, files in bench.changes.items()),
            ("nothing to do", idle, [], ninja_idle),
        ]
        rows: list[list[object]] = [["", "patchctl", "committed", "ratio", "edited", "ratio"]]
        for title, ours, *by_hand in measured:
            mine = statistics.median(ours)
            others = [statistics.median(seconds) if seconds else None for seconds in by_hand]
            rows.append([title, mine, *(cell for other in others for cell in _beside(mine, other))])
        table(f"{words.stack.stem} {words.variant}: seconds, medians of {words.times}", rows)
        print(f"  first build of all: {cold:.0f} s")
        print(f"  the stack's tests and probes on top of a rebuild: {bench.tests():.1f} s")


if __name__ == "__main__":
    main()
