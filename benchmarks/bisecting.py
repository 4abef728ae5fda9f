"""How many tests and seconds ``patchctl bisect`` takes, beside ``git bisect run`` on the same upstream, and how right.

    python benchmarks/bisecting.py                     side by side: counts and wall time, cold and with a warm ledger
    python benchmarks/bisecting.py --runs 100          random runs of each kind with real builds: right, tests, builds
    python benchmarks/bisecting.py --flaky 30          end-to-end runs with a test that fails 30 % of the time
    python benchmarks/bisecting.py --slower 30         end-to-end runs with a slowdown of 10 %, measured alone
    python benchmarks/bisecting.py --beside 30         the same, measured beside what is always the same
    python benchmarks/bisecting.py --simulate 2000     calibration of the pure core: right, lower bound, mean repeats

Upstreams are made for each run: hundreds of commits of a small C project, a stack of 8 to 16 patches, a culprit planted
in the sources. git's side checks out, configures, compiles and tests in one folder with the same settings.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, run, table

sys.path.insert(0, str(ROOT))

from tests.bisect.world import World, make_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bisect.test_noise import Ended

KINDS = ("upstream", "patch", "pair", "removal", "patch x upstream", "broken range")


def script(path: Path, text: str) -> Path:
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def bisect(world: World, cache: Path, *words: object) -> tuple[dict[str, Any], float, int]:
    """Run ``patchctl bisect --json``; return its answer, wall seconds, exit code."""
    own = {"PATCHCTL_CACHE": str(cache), "PATCHCTL_MIRROR": world.mirror, "PYTHONPATH": str(ROOT)}
    env = {**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(cache.parent / "compiled")}
    start = time.perf_counter()
    command = [sys.executable, "-m", "patchctl", "bisect", "--json", "-q", *map(str, words)]
    done = subprocess.run(command, cwd=world.workspace, env=env, capture_output=True, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode not in {0, 10}:
        sys.exit(done.stderr)
    return json.loads(done.stdout), taken, done.returncode


# --- beside git -------------------------------------------------------------------------------------------------------


def git_bisect(world: World, folder: Path) -> tuple[str, int, float]:
    """Run ``git bisect run`` from the first commit to the last; return the culprit, the tests run, wall seconds."""
    tree, count = folder / "tree", folder / "count"
    settings = "-DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O0 -DCMAKE_C_COMPILER_LAUNCHER=ccache"
    steps = (
        f"echo 1 >> {count}",
        f"cmake -G Ninja -S . -B {folder}/build {settings} > /dev/null 2>&1 || exit 125",
        f"ninja -C {folder}/build engine > /dev/null 2>&1 || exit 125",
        f"{folder}/build/engine | grep -q upstream=0",
    )
    check = script(folder / "git-check.sh", "\n".join(steps))
    start = time.perf_counter()
    run("git", "clone", "-q", world.upstream, tree, cwd=folder)
    run("git", "checkout", "-q", world.commits[-1], cwd=tree)
    run("git", "bisect", "start", world.commits[-1], world.commits[0], cwd=tree)
    said = run("git", "bisect", "run", check, cwd=tree).decode()
    taken = time.perf_counter() - start
    named = next(line.split()[0] for line in said.splitlines() if line.endswith("is the first bad commit"))
    return named, len(count.read_text().splitlines()), taken


def side_by_side(times: int) -> None:
    """Print counts and seconds of both, on the same upstreams, without a patch and with eight carried at both ends."""
    rows: list[list[object]] = [
        ["commits", "patches", "git tests", "tests", "points", "git s", "cold s", "warm s", "cold/git", "warm/git"]
    ]
    for at in range(times):
        chance = random.Random(at)
        commits = chance.randint(150, 500)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            os.environ["CCACHE_DIR"] = str(folder / "ccache-git")
            world = make_world(folder, commits=commits, patches=8, culprit="0", step=chance.randint(2, commits))
            check = script(folder / "check.sh", "engine | grep -q upstream=0")
            named, tests, git_seconds = git_bisect(world, folder)
            for patches in ((), world.names):
                world.stack("good", 1, patches)
                world.stack("bad", commits, patches)
                os.environ["CCACHE_DIR"] = str(folder / f"ccache-{len(patches)}")
                cache, words = folder / f"cache{len(patches)}", ("--good", "good", "--bad", "bad", "--", check)
                cold, cold_seconds, _ = bisect(world, cache, *words)
                _, warm_seconds, _ = bisect(world, cache, *words)
                assert cold["culprit"]["ids"] == [named]
                assert cold["tests"] <= tests + 4, (cold["tests"], tests)
                ratios = [cold_seconds / git_seconds, warm_seconds / git_seconds]
                counts = [commits, len(patches), tests, cold["tests"], len(cold["points"])]
                rows.append([*counts, git_seconds, cold_seconds, warm_seconds, *ratios])
                print(*rows[-1], file=sys.stderr, flush=True)
    table("one axis, beside git bisect run", rows)


# --- right, and at what cost ------------------------------------------------------------------------------------------


class Planted:
    """One random upstream with one culprit: the world, the words that ask, and what the answer must be."""

    def __init__(self, kind: str, seed: int, folder: Path) -> None:
        chance = random.Random(f"{kind} {seed}")
        self.commits, count = chance.randint(120, 300), chance.randint(8, 16)
        names = [f"p{number:02}" for number in range(count)]
        chosen = sorted(chance.sample(names, 2 if kind == "pair" else 1))
        step = chance.randint(2, self.commits)
        broken = range(0)
        if kind == "broken range":
            # Around the culprit or just beside it: elsewhere a search by halves seldom meets it.
            length = chance.randint(1, 15)
            first = min(max(step - chance.randint(-1, length + 1), 2), self.commits - length)
            broken = range(first, first + length)
        flags = {"upstream": "upstream", "broken range": "upstream", "removal": f"!{chosen[0]}",
                 "patch x upstream": f"upstream && {chosen[0]}"}  # fmt: skip
        culprit = flags.get(kind, " && ".join(chosen))
        self.world = make_world(folder, commits=self.commits, patches=count, culprit=culprit, step=step, broken=broken)
        self.patches = count
        good, bad = list(names), list(names)
        if kind in {"patch", "pair"}:
            good = []
        if kind == "removal":
            bad.remove(chosen[0])
        self.world.stack("good", 1, good)
        self.world.stack("bad", self.commits, bad)
        self.kind, self.step, self.broken = kind, step, broken
        blamed = [] if kind in {"upstream", "broken range"} else chosen
        self.ids = [*blamed, *([self.world.base(step)] if "upstream" in culprit else [])]

    def right(self, found: dict[str, Any]) -> bool:
        """Return whether an answer names the culprit, or a range of which all but the last is broken and it is one."""
        if found["culprit"] is None:
            return False
        ids = found["culprit"]["ids"]
        if found["culprit"]["kind"] == "range":
            builds = [self.world.commits.index(oid) + 1 for oid in ids]
            return self.step in builds and set(builds[:-1]) <= set(self.broken)
        return bool(ids == self.ids)

    @property
    def permitted(self) -> float:
        """Return how many points it may take, skips not counted: the logarithms and four, three for a commit alone.

        So docs/bisect.md has it: for a commit both ends carry the same patches, and nothing tells the axes apart.
        """
        commits, patches = math.ceil(math.log2(self.commits - 1)), math.ceil(math.log2(self.patches))
        least = {"patch": patches + 4, "removal": 4, "upstream": commits + 3, "broken range": commits + 3}
        return {**least, "pair": math.inf}.get(self.kind, commits + patches + 4)


def random_runs(first: int, runs: int, kinds: Sequence[str]) -> None:
    """Print for each kind how many runs were right, what they cost, and how many took more points than permitted."""
    head = ["kind", "right", "of", "points mean", "max", "over", "tests mean", "max", "repeats mean", "max"]
    head += ["skips mean", "builds mean", "seconds mean"]
    rows: list[list[object]] = [list(head)]
    for kind in kinds:
        right, over, points, tests, repeats, skipped, builds, taken = 0, 0, [], [], [], [], [], []
        for seed in range(first, runs):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                planted = Planted(kind, seed, folder)
                found, seconds, _ = bisect(
                    planted.world, folder / "cache", "--good", "good", "--bad", "bad", "--", "engine"
                )
                skips = sum(point["verdict"] == "skip" for point in found["points"])
                right += planted.right(found)
                points.append(len(found["points"]) - skips)
                tests.append(found["tests"] - skips)
                over += points[-1] > planted.permitted
                repeats.append(found["repeats"])
                skipped.append(skips)
                builds.append(found["builds"])
                taken.append(seconds)
            said = f"{right} right, {points[-1]} points of {planted.permitted}, {tests[-1]} tests, {skips} skips"
            said += f", {repeats[-1]} repeats, {builds[-1]} builds, {seconds:.1f} s"
            print(f"{kind} {seed}: {said}", file=sys.stderr, flush=True)
        counts = [statistics.mean(points), max(points), over, statistics.mean(tests), max(tests)]
        counts += [statistics.mean(repeats), max(repeats)]
        means = [statistics.mean(skipped), statistics.mean(builds), statistics.mean(taken)]
        rows.append([kind, right, len(points), *counts, *means])
        table(f"{kind}: real builds", [rows[0], rows[-1]])
    table("random runs with real builds", rows)


# --- noise ------------------------------------------------------------------------------------------------------------

FLAKY = "engine | grep -q upstream=0 && exit 0\n[ $(od -An -N2 -tu2 /dev/urandom) -lt 19660 ] && exit 1\nexit 0"
# How fast one loop ran, once, by its processor time: whatever else the machine does is in it.
SLOWER = """\
n=1000000; engine | grep -q upstream=1 && n=1100000
python3 -IS - $n <<'END'
import sys, time
start, total = time.process_time(), 0
for i in range(int(sys.argv[1])):
    total += i * i
print('{"speed": %f}' % (1 / (time.process_time() - start)))
END"""
# The same loop in ten parts by turns with one that is always the same: what else the machine does is in both.
BESIDE = """\
n=1000000; engine | grep -q upstream=1 && n=1100000
python3 -IS - $n <<'END'
import sys, time
def seconds(turns):
    start, total = time.process_time(), 0
    for i in range(turns):
        total += i * i
    return time.process_time() - start
parts = [(seconds(100000), seconds(int(sys.argv[1]) // 10)) for _ in range(10)]
print('{"speed": %f}' % (sum(same for same, _ in parts) / sum(asked for _, asked in parts)))
END"""
MEASURED = ("--bench", "speed", "--threshold", "3%", "--budget", "1000")
NOISES = {
    "fails 30 % where bad": (FLAKY, ("--confidence", "0.95")),
    "10 % slower, measured alone": (SLOWER, MEASURED),
    "10 % slower, measured beside a fixed loop": (BESIDE, MEASURED),
}


def varied(found: dict[str, Any]) -> list[float]:
    """Return the coefficient of variation of what was measured at each end."""
    axes = found["axes"]
    ends = [point for point in found["points"] if point["base"] in {axes["good"]["commit"], axes["bad"]["commit"]}]
    seen = [[look["value"] for look in point["looks"] if look["value"] is not None] for point in ends]
    return [statistics.stdev(values) / statistics.mean(values) for values in seen if len(values) > 2]


def noisy_runs(label: str, runs: int) -> None:
    """Print how many end-to-end runs under noise were right, and how many tests they took."""
    text, more = NOISES[label]
    right, answered, tests, taken, spread = 0, 0, [], [], []
    for seed in range(runs):
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            commits = chance.randint(30, 60)
            step = chance.randint(2, commits)
            world = make_world(folder, commits=commits, patches=0, culprit="0", step=step)
            world.stack("good", 1, ())
            world.stack("bad", commits, ())
            check = script(folder / "check.sh", text)
            found, seconds, _ = bisect(world, folder / "cache", "--good", "good", "--bad", "bad", *more, "--", check)
        answered += found["culprit"] is not None
        right += bool(found["culprit"] and found["culprit"]["ids"] == [world.base(step)])
        tests.append(found["tests"])
        taken.append(seconds)
        spread += varied(found)
        last = ", ".join(f"{share:.1%}" for share in varied(found))
        said = (
            f"{right} right of {answered} answered, {tests[-1]} tests, {seconds:.1f} s, ends vary by {last or 'none'}"
        )
        print(f"{label} {seed}: {said}", file=sys.stderr, flush=True)
    head: list[object] = ["noise", "right", "answered", "of", "tests mean", "most", "seconds mean", "ends vary by, %"]
    means = [statistics.mean(tests), max(tests), statistics.mean(taken), 100 * statistics.mean(spread or [0.0])]
    table("end to end under noise, stated 95 %", [head, [label, right, answered, runs, *means]])


def simulated(label: str, steps: int, seed: int) -> Ended:
    """Play one run of a setting."""
    from tests.bisect.test_noise import SETTINGS, simulate

    return simulate(SETTINGS[label], seed, steps=steps)


def simulations(count: int) -> None:
    """Print the calibration of the pure core: ``count`` runs shared out among settings, each on 8 and on 64 steps.

    Of those that the tests leave out, since one takes seconds, a quarter as many.
    """
    from tests.bisect.test_noise import SETTINGS, lower_bound

    rows: list[list[object]] = [
        ["noise", "steps", "right", "answered", "of", "share", "lower bound 95 %", "looks mean"]
    ]
    every: dict[str, list[bool]] = {"fails 30 %": [], "measured noise": [], "": []}
    with ProcessPoolExecutor() as pool:
        for label, steps in itertools.product(SETTINGS, (8, 64)):
            runs = count // len(SETTINGS) // (2 if SETTINGS[label].runs else 8)
            ended = list(pool.map(functools.partial(simulated, label, steps), range(runs)))
            answered = [bool(one.right) for one in ended if one.right is not None]
            for word in every:
                every[word] += answered if word in label else []
            looks = statistics.mean(one.looks for one in ended)
            bound = lower_bound(sum(answered), len(answered))
            shares = [sum(answered) / len(answered), bound, looks]
            rows.append([label, steps, sum(answered), len(answered), len(ended), *shares])
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    for word, some in every.items():
        shares = [sum(some) / len(some), lower_bound(sum(some), len(some)), ""]
        rows.append([f"all: {word}" if word else "all", "", sum(some), len(some), "", *shares])
    table("stated 95 %, simulated", rows)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--first", type=int, default=0, help="the first of the --runs: what was run before need not be")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--flaky", type=int)
    parser.add_argument("--slower", type=int)
    parser.add_argument("--beside", type=int)
    parser.add_argument("--simulate", type=int)
    words = parser.parse_args()
    if shutil.which("ccache") is None:
        sys.exit("ccache is needed: both sides use it")
    if words.runs:
        random_runs(words.first, words.runs, words.kind or KINDS)
    for label, runs in zip(NOISES, (words.flaky, words.slower, words.beside), strict=True):
        if runs:
            noisy_runs(label, runs)
    if words.simulate:
        simulations(words.simulate)
    if not (words.runs or words.flaky or words.slower or words.beside or words.simulate):
        side_by_side(words.times)


if __name__ == "__main__":
    main()
