"""When upstream breaks or absorbs each patch: from a forecast to stretches of builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FULL = 1000  # the width of all builds together


def timeline(forecast: Mapping[str, Any], patches: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each of the patches its stretches (``from``, ``to``, ``standing``, ``x``, ``width``) and events.

    A stretch holds from its first build on, up to the next. Only what happens in the stack counts; what a patch meets
    alone is in the events.
    """
    first, last = forecast["base"]["build"], forecast["to"]["build"]
    rows = []
    starting = forecast["start"]["sequence"]
    for patch in (patch for patch in patches if patch in starting):
        events = [event for event in forecast["events"] if event["patch"] == patch]
        changes = [(event["build"], event["after"]) for event in events if not event["alone"]]
        starts = [(first, _standing(starting[patch]["outcome"])), *changes]
        ends = [build for build, _ in changes] + [last]
        stretches = [
            _stretch(start, end, standing, first, last)
            for (start, standing), end in zip(starts, ends, strict=True)
            if end > start or len(starts) == 1
        ]
        rows.append({"patch": patch, "stretches": stretches, "events": _told_once(events)})
    return rows


def _standing(outcome: str) -> str:
    return "applies" if outcome in {"clean", "offset", "3way"} else outcome


def _stretch(start: int, end: int, standing: str, first: int, last: int) -> dict[str, Any]:
    whole = max(last - first, 1)
    x = round(FULL * (start - first) / whole, 1)
    width = round(FULL * (end - start) / whole, 1)
    return {"from": start, "to": end, "standing": standing, "x": x, "width": max(width, 2.0)}


def _told_once(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events with ``where``: what happens to a patch alone and in the stack alike is one event."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        where = "alone" if event["alone"] else "in the stack"
        known = merged.setdefault((event["commit"], event["after"]), {**event, "where": where})
        if known["where"] != where:
            known["where"] = ""
    return sorted(merged.values(), key=lambda event: int(event["build"]))
