"""Every commit of upstream at which a patch, or the stack, starts or stops to conflict or is absorbed.

Exact: the same answer as trying each commit. ``compute`` goes over the commits once; what it finds is kept in the
ledger, so that asking again costs nothing and a newer commit only what came since. ``remembered`` gives what is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from patchctl.ledger import digest
from patchctl.series.judge import Outcome
from patchctl.upstream.line import Landed, line
from patchctl.upstream.outlook import RECIPE, Fate, Outlook, Row, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.store import Store


@dataclass(frozen=True)
class Event:
    """One change at one commit of upstream: of a patch (``patch``) or, where that is None, of the whole stack.

    ``alone``: of the patch with only what it requires; otherwise after all those before it. ``conflicts`` are the
    paths in conflict after it, for the stack the ids of the patches that do not apply.
    """

    commit: str
    build: int
    subject: str
    author: str
    pr: int | None
    patch: str | None
    alone: bool
    before: Standing
    after: Standing
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What lies between the base of a stack and a later commit, ``to``.

    ``start`` and ``end`` say how each patch applies on the two; ``applications`` counts the patches that were really
    tried, over all runs, for ``commits`` commits.
    """

    base: str
    base_build: int
    to: str
    to_build: int
    commits: int
    applications: int
    start: Row
    end: Row
    events: tuple[Event, ...]

    def record(self) -> dict[str, Any]:
        """Return the forecast as plain data, for the ledger and for ``--json``."""
        events = [{**asdict(one), "before": one.before.value, "after": one.after.value} for one in self.events]
        return {**vars(self), "start": _plain(self.start), "end": _plain(self.end), "events": events}

    @staticmethod
    def of(record: Mapping[str, Any]) -> Forecast:
        """Return the forecast that ``record`` made of it."""
        events = tuple(_event(one) for one in record["events"])
        rows = {name: _row(record[name]) for name in ("start", "end")}
        return Forecast(**{**record, **rows, "events": events})


def remembered(store: Store, base: str, patches: Sequence[Patch]) -> Forecast | None:
    """Return the forecast kept for a stack, the one that reaches furthest; None when none was made. Computes nothing.

    ``patches`` are those of the stack on its own base (``load_patches``). Starts no process.
    """
    kept = store.ledger.get("forecast", _key(base, patches))
    return Forecast.of(kept) if kept else None


def compute(
    series: Series, base: str, to: str, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Forecast:
    """Return the forecast of the patches of ``series``, a stack on ``base``, up to the commit ``to``.

    ``progress`` is told how many commits of how many are done. Raises PatchctlError: exit code 2 when ``to`` does not
    come after ``base``, 7 or 9 when an object that is needed cannot be had. May be ended at any time: what was found
    by then is kept.
    """
    store, patches = series.store, series.stack
    kept = remembered(store, base, patches)
    if kept is not None and kept.to == to:
        return kept
    known = kept if kept is not None and _leads_on(store, kept.to, to) else None
    made = _go_on(series, known or _first(series, base), to, progress)
    if kept is None or made.to_build >= kept.to_build:
        store.ledger.put("forecast", _key(base, patches), made.record())
    return made


def _key(base: str, patches: Sequence[Patch]) -> str:
    return digest("forecast", RECIPE, base, [[patch.id, patch.sha256, patch.requires] for patch in patches])


def _leads_on(store: Store, old: str, new: str) -> bool:
    """Return whether upstream's main line goes from ``old`` to ``new``."""
    if store.build_number(old) >= store.build_number(new):
        return False
    found = line(store, old, new) if store.repo.is_ancestor(old, new) else []
    return bool(found) and store.repo.parents_of(found[0].oid)[0] == old


def _first(series: Series, base: str) -> Forecast:
    """Return the forecast that ends where it starts."""
    store = series.store
    # What a patch in mid-stack was made on exists only once those before it are applied on the stack's own base.
    series.sequence(base, series.stack)
    outlook = Outlook(series)
    watch = outlook.watch()
    here = Landed(base, store.tree_of(base), store.build_number(base), "", "")
    outlook.bring([watch.move(here.tree)])
    row = outlook.row(here, watch.state)
    return Forecast(base, here.build, base, here.build, 0, outlook.applications, row, row, ())


def _go_on(series: Series, known: Forecast, to: str, progress: Callable[[int, int], None]) -> Forecast:
    """Return a forecast that goes on from where ``known`` ends."""
    store, outlook = series.store, Outlook(series)
    commits = line(store, known.to, to)
    watch = outlook.watch()
    watch.move(store.tree_of(known.to))
    state = dict(watch.state)
    moves = [watch.move(one.tree) for one in commits]
    outlook.bring(moves)
    row, events = known.end, list(known.events)
    for done, (landed, moved) in enumerate(zip(commits, moves, strict=True), 1):
        state.update(moved)
        progress(done, len(commits))
        if moved or outlook.whole:
            after = outlook.row(landed, state)
            events += _events(landed, row, after)
            row = after
    end = commits[-1].build if commits else known.to_build
    spent = known.applications + outlook.applications
    return replace(
        known, to=to, to_build=end, commits=known.commits + len(commits), applications=spent, end=row,
        events=tuple(events),
    )  # fmt: skip


# --- what changed -------------------------------------------------------------------------------------------------


def standing_of(row: Row) -> tuple[Standing, tuple[str, ...]]:
    """Return how a whole stack stands, and the ids of the patches that do not apply."""
    failed = tuple(name for name, fate in row.sequence.items() if fate.outcome.failed)
    if failed:
        return Standing.CONFLICT, failed
    absorbed = all(fate.outcome is Outcome.ABSORBED for fate in row.sequence.values())
    return Standing.ABSORBED if absorbed and row.sequence else Standing.APPLIES, ()


def _events(landed: Landed, before: Row, after: Row) -> Iterator[Event]:
    for alone, old, new in ((False, before.sequence, after.sequence), (True, before.alone, after.alone)):
        for name, fate in new.items():
            was, now = Standing.of(old[name].outcome), Standing.of(fate.outcome)
            if was is not now:
                yield _made(landed, name, (was, now), fate.conflicts, alone=alone)
    was, now, failed = standing_of(before)[0], *standing_of(after)
    if was is not now:
        yield _made(landed, None, (was, now), failed, alone=False)


def _made(
    landed: Landed, patch: str | None, change: tuple[Standing, Standing], conflicts: tuple[str, ...], *, alone: bool
) -> Event:
    return Event(landed.oid, landed.build, landed.subject, landed.author, landed.pr, patch, alone, *change, conflicts)


# --- plain data ---------------------------------------------------------------------------------------------------


def _plain(row: Row) -> dict[str, Any]:
    return {
        kind: {name: {"outcome": fate.outcome.value, "conflicts": list(fate.conflicts)} for name, fate in fates.items()}
        for kind, fates in row._asdict().items()
    }


def _row(record: Mapping[str, Any]) -> Row:
    kinds = (
        {name: Fate(Outcome(one["outcome"]), tuple(one["conflicts"])) for name, one in record[kind].items()}
        for kind in Row._fields
    )
    return Row(*kinds)


def _event(record: Mapping[str, Any]) -> Event:
    change = {name: Standing(record[name]) for name in ("before", "after")}
    return Event(**{**record, **change, "conflicts": tuple(record["conflicts"])})
