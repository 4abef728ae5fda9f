"""How long ``patchctl forecast`` takes, how many git processes it starts and how many patches it really tries.

    python benchmarks/forecast.py stacks/b9187.yaml --to REF [--every FILE]

``cold``: nothing is kept, but upstream's objects are here. ``more``: the first half was forecast before. ``warm``: all
of it was. ``--every`` tries every patch on every commit instead, compares, and writes what it found beside what the
forecast tells of it (``tests/upstream/data``); it takes long.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ROOT, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.cli.common import App
    from patchctl.series.sequence import Series
    from patchctl.upstream.line import Landed

Runs = dict[str, dict[str, list[Any]]]

PROGRESS = 50  # commits between two signs of life


def opened(stack_name: str) -> tuple[App, Series, str]:
    """Return an application, the patches of a stack, and its base; the cache folder is read anew."""
    from patchctl.cli.common import App
    from patchctl.cli.ui import Ui
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series

    app = App(Ui(quiet=True))
    stack = app.stack(stack_name)
    store, base = app.store(stack), stack.stack.upstream.commit
    store.ensure_commit(base)
    patches = load_patches(app.workspace, stack, store, base)
    return app, Series(store, patches, allow=stack.stack.policy.allow), base


def timed(stack: str, to: str, *, fresh: bool) -> list[object]:
    """Return seconds, git processes, patches tried, and the share of commits x patches that is."""
    from patchctl.git import COUNTER
    from patchctl.upstream.forecast import compute

    if fresh:
        for ledger in Path(os.environ["PATCHCTL_CACHE"]).glob("ledger.sqlite*"):
            ledger.unlink()
    COUNTER.processes = 0
    start = time.perf_counter()
    app, series, base = opened(stack)
    before = tried(series, base)
    found = compute(series, base, app.store(app.stack(stack)).resolve(to, base))
    app.close()
    count = found.applications - before
    share = 100 * count / max(found.commits * len(series.stack), 1)
    return [time.perf_counter() - start, COUNTER.processes, count, f"{share:.1f} %"]


def tried(series: Series, base: str) -> int:
    """Return how many applications the kept forecast has cost so far."""
    from patchctl.upstream.forecast import remembered

    kept = remembered(series.store, base, series.stack)
    return kept.applications if kept else 0


def halfway(stack: str, to: str) -> str:
    """Return the commit in the middle of the line."""
    from patchctl.upstream.line import line

    app, series, base = opened(stack)
    commits = line(series.store, base, series.store.resolve(to, base))
    app.close()
    return commits[len(commits) // 2].oid


# --- every commit -----------------------------------------------------------------------------------------------------


def every(stack: str, to: str) -> dict[str, Any]:
    """Return what becomes of each patch on each commit, tried one by one; runs of the same are written once."""
    app, series, base = opened(stack)
    commits = commits_of(series, base, to)
    runs = empty(series)
    for done, landed in enumerate(commits):
        if done % PROGRESS == 0:
            print(f"{done} of {len(commits)} commits", flush=True)
        steps = {"sequence": series.sequence(landed.oid, series.stack), "alone": series.alone(landed.oid, series.stack)}
        for mode, found in steps.items():
            for patch, step in zip(series.stack, found, strict=True):
                note(runs[mode][patch.id], landed, step.outcome.value, step.conflicts)
    patches = [{"id": patch.id, "revision": patch.file, "sha256": patch.sha256} for patch in series.stack]
    app.close()
    return {"base": base, "to": commits[-1].oid, "commits": len(commits) - 1, "patches": patches, **runs}


def kept(stack: str, to: str) -> dict[str, Any]:
    """Return what the forecast that is kept tells: how many patches it tried in all, and its events."""
    from patchctl.upstream.forecast import remembered

    app, series, base = opened(stack)
    found = remembered(series.store, base, series.stack)
    end = series.store.resolve(to, base)
    app.close()
    if found is None or found.to != end:
        raise SystemExit("the forecast that is kept ends elsewhere")
    events = [[one.build, one.patch, one.alone, one.before.value, one.after.value] for one in found.events]
    return {"applications": found.applications, "events": events}


def laid_out(data: dict[str, Any]) -> str:
    """Return plain data as JSON with a line for each thing in it, so that a change of one is a change of a line."""
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in data.items()) + "\n}\n"


def _lines(value: object) -> str:
    if isinstance(value, dict):
        named = [f"  {json.dumps(key)}: {json.dumps(one)}" for key, one in value.items()]
        return "{\n" + ",\n".join(named) + "\n }"
    if isinstance(value, list):
        return "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in value) + "\n ]"
    return json.dumps(value)


def foreseen(stack: str, to: str) -> Runs:
    """Return the same from what the forecast remembers."""
    from patchctl.upstream.outlook import Outlook

    app, series, base = opened(stack)
    runs, outlook = empty(series), Outlook(series)
    watch = outlook.watch()
    for landed in commits_of(series, base, to):
        watch.move(landed.tree)
        row = outlook.row(landed, watch.state)
        for mode, fates in row._asdict().items():
            for patch, fate in fates.items():
                note(runs[mode][patch], landed, fate.outcome.value, fate.conflicts)
    app.close()
    return runs


def commits_of(series: Series, base: str, to: str) -> list[Landed]:
    from patchctl.upstream.line import Landed, line

    store = series.store
    first = Landed(base, store.tree_of(base), store.build_number(base), "", "")
    return [first, *line(store, base, store.resolve(to, base))]


def empty(series: Series) -> Runs:
    return {mode: {patch.id: [] for patch in series.stack} for mode in ("sequence", "alone")}


def note(run: list[Any], landed: Landed, outcome: str, conflicts: Sequence[str]) -> None:
    now = [outcome, list(conflicts)]
    if not run or run[-1][2:] != now:
        run.append([landed.build, landed.oid[:9], *now])


def differences(stack: str, to: str, tried_all: dict[str, Any]) -> list[str]:
    """Return where the forecast says something else than trying every commit did: outcome or conflicting paths."""
    return [f"{patch} {mode}: tried {tried_all[mode][patch]}, forecast {run}"
            for mode, runs in foreseen(stack, to).items()
            for patch, run in runs.items() if run != tried_all[mode][patch]]  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", nargs="?", default=str(ROOT / "stacks" / "b9187.yaml"))
    parser.add_argument("--to", required=True)
    parser.add_argument("--every", type=Path, metavar="FILE")
    words = parser.parse_args()
    stack = str(Path(words.stack).absolute())
    with tempfile.TemporaryDirectory() as name:
        os.environ["PATCHCTL_CACHE"] = name
        first = timed(stack, words.to, fresh=False)  # also brings upstream's objects
        cold = timed(stack, words.to, fresh=True)
        warm = timed(stack, words.to, fresh=False)
        middle = halfway(stack, words.to)
        timed(stack, middle, fresh=True)
        more = timed(stack, words.to, fresh=False)
        head = ["", "seconds", "git processes", "patches tried", "of commits x patches"]
        rows = [["first ever (clones)", *first], ["cold", *cold], ["more", *more], ["warm", *warm]]
        table("forecast", [head, *rows])
        if words.every:
            started = time.perf_counter()
            found = every(stack, words.to)
            print(f"every patch on every commit: {time.perf_counter() - started:.0f} s")
            words.every.write_text(laid_out({**found, **kept(stack, words.to)}), encoding="utf-8")
            print("\n".join(differences(stack, words.to, found)) or "the forecast says the same")
        shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
