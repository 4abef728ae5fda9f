"""A forecast says what trying every patch on every commit says, and tries little."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings

from patchctl.errors import Code, PatchctlError
from patchctl.git import COUNTER
from patchctl.ledger import Ledger
from patchctl.manifest.workspace import Workspace
from patchctl.series.judge import Outcome
from patchctl.series.resolve import load_patches
from patchctl.series.sequence import Series
from patchctl.store import Store
from patchctl.upstream.forecast import Forecast, _events, compute, remembered, standing_of
from patchctl.upstream.line import Landed
from patchctl.upstream.outlook import Fate, Outlook, Row, Standing
from tests.series.world import URL
from tests.upstream.histories import HISTORIES, Step, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Asked:
    """The stack of a world in ``folder``, ready to be forecast with a cache of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.ledger = Ledger(cache / "ledger.sqlite")
        self.store = Store(URL, str(folder / "upstream.git"), cache, self.ledger)
        workspace = Workspace(folder / "workspace")
        self.stack = workspace.load_stack(workspace.stacks_folder / "s.yaml")
        self.base = self.stack.stack.upstream.commit
        self.store.ensure_commit(self.base)
        self.series = Series(self.store, load_patches(workspace, self.stack, self.store, self.base))

    def compute(self, to: str) -> Forecast:
        return compute(self.series, self.base, to)

    def close(self) -> None:
        self.store.repo.close()
        self.ledger.close()


LONG: list[Step] = [
    ("aside",), ("put", "edits"), ("edit", "a/one.c", "11", "theirs"), ("aside",), ("back", "1"), ("back", "4"),
    ("rename", "a/one.c", "z.c"), ("aside",), ("back", "2"),
]  # fmt: skip


@pytest.fixture
def oids(tmp_path: Path) -> list[str]:
    """Make an upstream that lands the first patch, goes against it, goes back, and moves its file for a while."""
    return write(tmp_path, LONG)[1]


@pytest.fixture
def asked(tmp_path: Path, oids: list[str]) -> Iterator[Asked]:
    made = Asked(tmp_path, tmp_path / "cache")
    yield made
    made.close()


def tried(asked: Asked, oids: Sequence[str]) -> list[Row]:
    """Return what becomes of each patch on each commit, tried one by one with nothing remembered between them."""
    rows = []
    for oid in oids:
        asked.store.ensure_commit(oid)
        series = Series(asked.store, asked.series.stack)
        found = [series.sequence(oid, series.stack), series.alone(oid, series.stack)]
        fates = [[Fate(step.outcome, step.conflicts) for step in steps] for steps in found]
        rows.append(Row(*(dict(zip((p.id for p in series.stack), some, strict=True)) for some in fates)))
    return rows


def foreseen(asked: Asked, oids: Sequence[str]) -> list[Row]:
    """Return what the forecast's own memory says for each commit."""
    outlook = Outlook(asked.series)
    watch, rows = outlook.watch(), []
    for oid in oids:
        asked.store.ensure_commit(oid)
        landed = Landed(oid, asked.store.tree_of(oid), 0, "", "")
        outlook.bring([watch.move(landed.tree)])
        rows.append(outlook.row(landed, watch.state))
    return rows


def changes(rows: Sequence[Row]) -> list[tuple[int, str | None, bool, str, str]]:
    """Return (build, patch, alone, before, after) of everything that starts or stops, from rows of builds 1, 2, …"""
    found = []
    for build, (old, new) in enumerate(itertools.pairwise(rows), 2):
        for alone in (False, True):
            was, now = (row.alone if alone else row.sequence for row in (old, new))
            both = {name: (Standing.of(was[name].outcome), Standing.of(now[name].outcome)) for name in now}
            found += [(build, name, alone, a.value, b.value) for name, (a, b) in both.items() if a is not b]
        a, b = standing_of(old)[0], standing_of(new)[0]
        found += [(build, None, False, a.value, b.value)] if a is not b else []
    return found


def told(forecast: Forecast) -> list[tuple[int, str | None, bool, str, str]]:
    return [(one.build, one.patch, one.alone, one.before.value, one.after.value) for one in forecast.events]


@given(HISTORIES)
@settings(max_examples=3, database=None, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@example([("put", "edits"), ("aside",), ("edit", "a/one.c", "10", "theirs"), ("back", "1")])
@example([("rename", "a/one.c", "z.c"), ("edit", "z.c", "10", "theirs"), ("move", "a", "f"), ("add", "f/x.c")])
@example([("delete", "c/five.c"), ("back", "1"), ("move", "c", "g/h")])
@example([("edit", "b/sub/four.c", "25", "theirs"), ("add", "b/sub/more.c")])
@example([("move", "b", "f"), ("add", "b/three.c"), ("rename", "b/three.c", "a"), ("add", "a/new.c")])
def test_it_says_what_trying_every_commit_says(steps: list[Step]) -> None:
    agree(steps)


def agree(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, oids = write(folder, steps)
        brute, mine = Asked(folder, folder / "brute"), Asked(folder, folder / "mine")
        try:
            rows = tried(brute, oids)
            assert foreseen(mine, oids) == rows
            assert told(mine.compute(oids[-1])) == changes(rows)
        finally:
            brute.close()
            mine.close()


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_each_state_is_tried_once_and_asking_again_costs_nothing(asked: Asked, oids: list[str]) -> None:
    found = asked.compute(oids[-1])
    # Tried one by one: each patch on each commit, in the stack and alone.
    assert 0 < found.applications < found.commits * len(asked.series.stack)
    before = COUNTER.processes
    assert asked.compute(oids[-1]) == found
    assert remembered(asked.store, asked.base, asked.series.stack) == found
    assert COUNTER.processes == before


def test_a_newer_commit_costs_only_what_came_since(asked: Asked, oids: list[str], tmp_path: Path) -> None:
    at_once = Asked(tmp_path, tmp_path / "at-once")
    whole = at_once.compute(oids[-1])
    at_once.close()
    totals = []
    for oid in (oids[3], oids[6], oids[-1]):
        found = asked.compute(oid)
        totals.append(found.applications)
    assert found == whole, "in three pieces it is the same, and nothing was tried twice"
    assert totals == sorted(totals)
    assert totals[0] < totals[-1]


def test_ended_half_way_it_goes_on_and_tries_nothing_twice(asked: Asked, oids: list[str], tmp_path: Path) -> None:
    def end(done: int, _all: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(asked.series, asked.base, oids[-1], end)
    assert remembered(asked.store, asked.base, asked.series.stack) is None
    tried_before = Outlook(asked.series)
    for known in foreseen_until(tried_before, asked, oids[:6]):
        assert known == 0, "all of it is kept"
    after = asked.compute(oids[-1])
    fresh = Asked(tmp_path, tmp_path / "fresh")
    whole = fresh.compute(oids[-1])
    fresh.close()
    assert told(after) == told(whole)
    assert after.applications < whole.applications


def foreseen_until(outlook: Outlook, asked: Asked, oids: Sequence[str]) -> Iterator[int]:
    watch = outlook.watch()
    for oid in oids:
        landed = Landed(oid, asked.store.tree_of(oid), 0, "", "")
        watch.move(landed.tree)
        outlook.row(landed, watch.state)
        yield outlook.applications


def test_an_earlier_commit_tries_nothing_and_the_longer_forecast_stays(asked: Asked, oids: list[str]) -> None:
    whole = asked.compute(oids[-1])
    part = asked.compute(oids[5])
    assert told(part) == [one for one in told(whole) if one[0] <= 6]
    assert part.applications == 0
    assert remembered(asked.store, asked.base, asked.series.stack) == whole


def test_a_store_that_was_made_anew_is_not_believed_to_hold_what_the_old_one_held(
    asked: Asked, oids: list[str]
) -> None:
    import shutil

    part = asked.compute(oids[4])
    asked.store.repo.close()
    shutil.rmtree(asked.store.folder)
    whole = asked.compute(oids[-1])
    assert told(whole)[: len(part.events)] == told(part)
    assert whole.end.sequence["edits"].outcome is Outcome.CLEAN


# --- what it says -----------------------------------------------------------------------------------------------------


def test_it_names_commit_pull_request_and_author_of_each_change(asked: Asked, oids: list[str]) -> None:
    event = next(one for one in asked.compute(oids[-1]).events if one.patch == "edits" and not one.alone)
    assert (event.commit, event.build, event.pr, event.author) == (oids[2], 3, 3, "Ada")
    assert (event.before, event.after) == (Standing.APPLIES, Standing.ABSORBED)


def test_a_commit_that_does_not_come_after_the_base_is_refused(asked: Asked, oids: list[str], tmp_path: Path) -> None:
    asked.base = oids[3]
    with pytest.raises(PatchctlError, match="does not come after") as error:
        asked.compute(oids[1])
    assert error.value.exit_code == Code.USAGE


def test_a_line_with_merges_is_followed_where_it_led(tmp_path: Path) -> None:
    from tests.series.world import World, text

    world = World(tmp_path)
    base = world.commit({"a.c": text(), "b.c": text()})
    world.patch("one", {"a.c": text({3: "ours"})})
    world.stack("one", base=base)
    side = world.commit({"a.c": text({3: "theirs"})}, "side : clash", parent=base)
    world.commit({"b.c": text({1: "x"})}, "main : aside (#4)")
    merged = world.commit({"a.c": text({3: "theirs"})}, "Merge the side (#5)", merge=[side])
    asked = Asked(tmp_path, tmp_path / "cache")
    found = asked.compute(merged)
    asked.close()
    assert [(one.commit, one.build, one.pr, one.patch) for one in found.events if not one.alone] == [
        (merged, 4, 5, "one"), (merged, 4, 5, None),
    ]  # fmt: skip


# --- the real upstream ------------------------------------------------------------------------------------------------

DATA = json.loads((Path(__file__).parent / "data" / "forecast-b9187.json").read_text("utf-8"))


def real_rows() -> list[tuple[int, Row]]:
    """Return build and row of each commit at which trying every commit of llama.cpp found something else."""
    runs = {mode: DATA[mode] for mode in ("sequence", "alone")}
    builds = sorted({run[0] for mode in runs.values() for some in mode.values() for run in some})
    return [(build, Row(*({name: at(build, some) for name, some in runs[mode].items()} for mode in runs)))
            for build in builds]  # fmt: skip


def at(build: int, runs: list[tuple[int, str, str, list[str]]]) -> Fate:
    _, _, outcome, conflicts = [run for run in runs if run[0] <= build][-1]
    return Fate(Outcome(outcome), tuple(conflicts))


def test_what_every_commit_of_the_real_upstream_does_is_told_as_it_was() -> None:
    """1,283 commits, eleven patches, each tried; made by ``benchmarks/forecast.py --every``."""
    rows = real_rows()
    told_now = [(one.build, one.patch, one.alone, one.before.value, one.after.value)
                for (_, old), (build, new) in itertools.pairwise(rows)
                for one in _events(Landed("", "", build, "", ""), old, new)]  # fmt: skip
    assert told_now == [tuple(one) for one in DATA["events"]]
    assert DATA["commits"] == 1283
    assert (9206, "mtp-bid-fix", False, "applies", "conflict") in told_now
    assert 0.01 < DATA["applications"] / (DATA["commits"] * len(DATA["patches"])) < 0.20


def test_it_is_told_of_every_patch_of_the_stack_in_its_order() -> None:
    from patchctl.manifest.workspace import Workspace
    from tests.conftest import ROOT

    workspace = Workspace(ROOT)
    patches = workspace.load_stack(ROOT / "stacks" / "b9187.yaml").stack.patches
    picked = [(patch, workspace.pick_revision(patch, 9187).name) for patch in patches]
    assert [(patch["id"], patch["revision"]) for patch in DATA["patches"]] == picked


@pytest.mark.parametrize("patch", DATA["patches"], ids=lambda patch: patch["id"])
def test_it_is_told_of_the_patches_that_are_here(patch: dict[str, str]) -> None:
    import hashlib

    from tests.conftest import ROOT

    revision = ROOT / "patches" / patch["id"] / patch["revision"]
    assert hashlib.sha256(revision.read_bytes()).hexdigest() == patch["sha256"]
