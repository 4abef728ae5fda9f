"""The measuring: every build in turns, one repetition at a time, so that what drifts hits all alike."""

from __future__ import annotations

import functools
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from patchctl.bench.samples import BENCH, run_alone, run_served, supports
from patchctl.bench.stats import THRESHOLD, compare, turns
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from patchctl.bench.geometry import Measured
    from patchctl.bench.samples import Point, Sample, Settings, Side

    Task = Callable[[], list[Sample]]

LOWER_IS_BETTER = frozenset({"first token", "first token, warm cache", "memory"})
Found = dict[tuple[str, str, tuple[tuple[str, int | str], ...]], dict[str, list[float]]]
LEAST = 5  # repetitions


def measure(
    sides: Sequence[Side],
    model: Measured,
    settings: Settings,
    *,
    mtp: bool,
    repetitions: int = LEAST,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[dict[str, Any]]:
    """Return a row for each thing measured at each point, with the numbers of each side and how the last compares.

    With ``mtp`` the server also runs with its drafts, and is compared with itself without. ``tell`` is told how many
    runs of how many are done. Raises PatchctlError (exit code 6) when a build cannot be measured.
    """
    _require_types(sides[-1], settings)
    tasks = _side_by_side({side.name: dict(_tasks(side, model, settings, mtp=mtp)) for side in sides})
    if not tasks:
        raise PatchctlError(Code.TEST, f"{sides[-1].name} has nothing to measure: no {BENCH} that knows these types")
    found: Found = {}
    order = turns(repetitions, len(tasks))
    for done, at in enumerate(order):
        tell(done, len(order))
        name, task = tasks[at]
        for one in task():
            key = (one.measure, one.unit, tuple(one.point.items()))
            found.setdefault(key, {}).setdefault(name, []).append(one.value)
    rows = [_row(measure, unit, dict(point), by) for (measure, unit, point), by in found.items()]
    others = [*_types(sides, settings, found), *(_gain(side.name, found) for side in sides if mtp)]
    return rows + [row for row in others if row]


def _require_types(side: Side, settings: Settings) -> None:
    """Raise PatchctlError (exit code 2) for a type that the build in question does not know; others may lack some."""
    if (side.install.bin / BENCH).exists():
        unknown = [kv for kv in settings.kv if not supports(side, kv)]
        if unknown:
            raise PatchctlError(Code.USAGE, f"{side.name} does not know the KV cache type {', '.join(unknown)}")


def _tasks(side: Side, model: Measured, settings: Settings, *, mtp: bool) -> Iterable[tuple[str, Task]]:
    """Give what is run for one side, by a name that is the same for all sides."""
    kinds = settings.kv if (side.install.bin / BENCH).exists() else ()
    for kv in filter(functools.partial(supports, side), kinds):
        yield f"alone, {kv}", functools.partial(run_alone, side, model.alone, settings, kv)
    for mode in (False, *([True] if mtp else [])) if side.install.server else ():
        yield f"served, {mode}", functools.partial(run_served, side, model, settings, mtp=mode)


def _side_by_side(tasks: Mapping[str, Mapping[str, Task]]) -> list[tuple[str, Task]]:
    """Return the tasks of all sides, the same task of each side next to one another: they meet the same machine."""
    names = dict.fromkeys(name for some in tasks.values() for name in some)
    return [(side, some[name]) for name in names for side, some in tasks.items() if name in some]


def _row(measure: str, unit: str, point: Point, by: dict[str, list[float]]) -> dict[str, Any]:
    better = measure not in LOWER_IS_BETTER
    return {
        "measure": measure,
        "unit": unit,
        "higher_is_better": better,
        "point": point,
        "series": [{"name": name, "values": values, "median": median(values)} for name, values in by.items()],
        "comparison": _comparison(list(by.values()), higher_is_better=better),
    }


def _types(sides: Sequence[Side], settings: Settings, found: Found) -> Iterable[dict[str, Any]]:
    """Give the rows that hold each other type of KV cache of the last build against the first type of the first."""
    first, *others = settings.kv
    for (measure, unit, point), by in found.items():
        at = dict(point)
        if at.get("kv") in others:
            was = found.get((measure, unit, tuple({**at, "kv": first}.items())), {}).get(sides[0].name)
            if was and sides[-1].name in by:
                names = (f"{sides[0].name} {first}", f"{sides[-1].name} {at['kv']}")
                series = dict(zip(names, (was, by[sides[-1].name]), strict=True))
                yield _row(f"{measure} against {first}", unit, at, series)


def _gain(name: str, found: Found) -> dict[str, Any]:
    """Return the row that holds MTP against AR of one build, empty when the server gave neither."""
    modes = {mode: found.get(("served decode", "tokens/s", (("mode", mode),)), {}).get(name) for mode in ("ar", "mtp")}
    if not all(modes.values()):
        return {}
    return _row("mtp against ar", "tokens/s", {"build": name}, {mode: values or [] for mode, values in modes.items()})


def _comparison(series: Sequence[Sequence[float]], *, higher_is_better: bool) -> dict[str, Any] | None:
    """Return how the second series compares with the first as JSON can hold it: an open end is null.

    None where there are no two, and where one holds a 0: there is no ratio to nothing.
    """
    if len(series) != 2 or not all(map(all, series)):
        return None
    found = asdict(compare(*series, threshold=THRESHOLD, higher_is_better=higher_is_better))
    open_ended = found["low"] == 0
    return {**found, "low": None, "high": None} if open_ended else found
