"""What a bisect says: the culprit with what is known of it, every point, in words, Markdown and JSON."""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.bisect.axes import plain
from patchctl.bisect.predicate import Until
from patchctl.bisect.space import NONE, State, Verdict
from patchctl.upstream.history import NUMBER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.bisect.axes import Axes
    from patchctl.bisect.run import Answer, Bisect, Point
    from patchctl.bisect.search import Found

LISTED = 12  # commits of a range that are named one by one


@dataclass(frozen=True)
class Commit:
    """An upstream commit as an answer names it."""

    commit: str
    build: int
    subject: str
    author: str
    pr: str | None
    stat: str


@functools.lru_cache(maxsize=256)
def describe_commit(axes: Axes, step: int) -> Commit:
    """Return what is known of the commit of one step; its diff stat may need blobs from the mirror."""
    oid, repo = axes.commit(step), axes.store.repo
    shown = repo.run("log", "-1", "--format=%s%x00%an <%ae>", oid).text()
    subject, _, author = shown.partition("\0")
    number = NUMBER.search(subject)
    stat = (
        repo.run("show", "--first-parent", "--shortstat", "--format=", oid, lazy=True, accept=(0, 128)).text().strip()
    )
    return Commit(
        oid, axes.store.build_number(oid), subject, author, number.group().strip("() ") if number else None, stat
    )


def describe_patch(axes: Axes, name: str) -> dict[str, Any]:
    """Return what is known of a patch: title, author, revision, size, whether its coming or its going is to blame."""
    patch = next(found[name] for at in (axes.space.steps, 0) if name in (found := axes.all_patches(at)))
    revision = patch.revision
    hunks = [hunk for change in revision.changes for hunk in change.hunks]
    added = sum(len(hunk.new) - hunk.leading - hunk.trailing for hunk in hunks)
    removed = sum(len(hunk.old) - hunk.leading - hunk.trailing for hunk in hunks)
    files = len(revision.changes)
    if name in axes.space.good and name in axes.space.bad:
        change = "kept"
    else:
        change = "added" if name in axes.space.bad else "removed"
    return {
        "id": patch.id,
        "subject": revision.message.split("\n", 1)[0],
        "author": f"{revision.author} <{revision.email}>",
        "revision": patch.file,
        "change": change,
        "stat": f"{files} file{'s' if files != 1 else ''} changed, {added}(+), {removed}(-)",
    }


def culprit(axes: Axes, found: Found) -> dict[str, Any]:
    """Return the culprit as ``--json`` states it: kind, ids, and what is known of each."""
    steps = list(range(found.steps.good + 1, found.steps.bad + 1)) if found.steps is not None else []
    commits = [axes.commit(step) for step in steps]
    return {
        "kind": found.kind,
        "ids": [*plain(found.patches), *commits],
        "patches": [describe_patch(axes, name) for name in found.patches],
        "commits": [vars(describe_commit(axes, step)) for step in steps[:LISTED]],
        "reverse": bool(steps) and not axes.forward,
        "good": axes.word(found.good),
        "bad": axes.word(found.bad),
    }


def as_object(bisect: Bisect, answer: Answer, replay: Sequence[str]) -> dict[str, Any]:
    """Return the whole bisect as ``--json`` states it."""
    found = answer.found
    return {
        "outcome": outcome(answer),
        "culprit": culprit(bisect.axes, found) if found is not None else None,
        "confidence": round(answer.confidence, 4),
        "certain": answer.certain,
        "why": answer.why,
        "notes": notes(bisect, answer),
        "axes": _axes(bisect.axes),
        "probabilities": _probabilities(bisect),
        "points": [_point(bisect, point, replay) for point in in_order(bisect)],
        **totals(bisect),
    }


def outcome(answer: Answer) -> str:
    """Return ``found``, ``range``, ``unknown`` (there may be a culprit all the same) or ``no culprit``."""
    if answer.found is None:
        return "unknown" if answer.unknown else "no culprit"
    return "range" if answer.found.kind == "range" else "found"


def notes(bisect: Bisect, answer: Answer) -> list[str]:
    """Return what an answer leaves open, in words."""
    found = answer.found
    if found is None or found.steps is None or found.patches or not found.bad.patches:
        return []
    bare = State(found.bad.at, NONE)
    if bisect.evidence.verdict(bare) is not Verdict.SKIP:
        return []
    return [f"whether it takes one of the patches is not known: {bisect.axes.label(bare)} cannot be tested"]


def in_order(bisect: Bisect) -> list[Point]:
    """Return the points in the order in which they were first looked at, whenever that was."""
    return sorted(bisect.points.values(), key=lambda point: point.rows[0].when)


def totals(bisect: Bisect) -> dict[str, Any]:
    """Return how much was done and saved: tests, builds, points taken from the ledger, seconds of builds and tests.

    A test of a point that was looked at before is a repeat.
    """
    mine = [row for point in bisect.points.values() for row in point.rows[len(point.rows) - point.taken :]]
    known = [point for point in bisect.points.values() if not point.taken]
    commits = max(bisect.axes.space.steps, 1)
    return {
        "tests": len(mine),
        "repeats": sum(point.taken - (point.taken == len(point.rows)) for point in bisect.points.values()),
        "builds": sum(1 for row in mine if row.built),
        "from_ledger": len(known),
        "saved": max(commits + 1 - sum(1 for row in mine if row.built), 0),
        "seconds": round(sum(row.seconds + row.built for row in mine), 3),
    }


def _probabilities(bisect: Bisect) -> list[dict[str, Any]]:
    """Return the likeliest steps of the line searched last, where looks leave something to chance."""
    listed = sorted(bisect.evidence.likely, key=lambda step: -step[2])[:LISTED]
    return [
        {
            "good": bisect.axes.word(good),
            "bad": bisect.axes.word(bad),
            "label": bisect.axes.label(bad),
            "share": round(share, 4),
        }
        for good, bad, share in listed
        if share >= 0.001
    ]


def _axes(axes: Axes) -> dict[str, Any]:
    ends = {
        "good": {"stack": axes.good.name, "commit": axes.line[0], "build": axes.build(0)},
        "bad": {"stack": axes.bad.name, "commit": axes.line[-1], "build": axes.build(axes.space.steps)},
    }
    patches = [
        {"id": name, "good": name in axes.space.good, "bad": name in axes.space.bad} for name in axes.space.order
    ]
    return {**ends, "commits": axes.space.steps, "patches": patches}


def _point(bisect: Bisect, point: Point, replay: Sequence[str]) -> dict[str, Any]:
    axes, state = bisect.axes, point.state
    first = point.rows[0]
    return {
        "point": axes.word(state),
        "at": state.at,
        "base": axes.line[state.at],
        "build": axes.build(state.at),
        "patches": plain([name for name in axes.space.order if name in state.patches]),
        "label": axes.label(state),
        "verdict": judged(bisect, point),
        "looks": [{"verdict": row.verdict, "value": row.value, "detail": row.detail} for row in point.rows],
        "taken": point.taken,
        "seconds": round(sum(row.seconds for row in point.rows), 3),
        "build_seconds": round(sum(row.built for row in point.rows), 3),
        "log": first.log,
        "replay": replay_line(bisect, point, replay),
    }


def judged(bisect: Bisect, point: Point) -> str:
    """Return how a point was judged: by what was seen there, or, where looks leave it to chance, by all looks."""
    return (bisect.evidence.leaning(point.state) or Verdict(point.rows[0].verdict)).value


def replay_line(bisect: Bisect, point: Point, words: Sequence[str]) -> str:
    """Return the command line that tests a point again, whatever the ledger holds."""
    at = words.index("--") if "--" in words else len(words)
    return shlex.join(["patchctl", "bisect", *words[:at], "--try", bisect.axes.word(point.state), *words[at:]])


# --- words ------------------------------------------------------------------------------------------------------------


def headline(axes: Axes, answer: Answer) -> str:
    """Return the answer in one sentence."""
    found = answer.found
    if found is None:
        return f"{outcome(answer)}: {answer.why}"
    names = [_patch_words(axes, name) for name in found.patches]
    if found.steps is None:
        told = " with ".join(names)
        return f"the patches could not be told apart: {told}" if found.kind == "range" else f"culprit: {told}"
    what = _steps_words(axes, found)
    if found.kind == "range":
        return f"the culprit is in a range of {found.steps.width} commits: {what}{_with(names)}"
    return f"culprit: {what}{_with(names)}"


def _with(names: Sequence[str]) -> str:
    return f" with {' and '.join(names)}" if names else ""


def _patch_words(axes: Axes, name: str) -> str:
    gone = name in axes.space.good and name not in axes.space.bad
    return f"the removal of the patch {plain([name])[0]}" if gone else f"the patch {plain([name])[0]}"


def _steps_words(axes: Axes, found: Found) -> str:
    if found.steps is None:
        return ""
    back = "" if axes.forward else "without "
    first, last = (describe_commit(axes, step) for step in (found.steps.good + 1, found.steps.bad))
    if found.steps.width == 1:
        return f"{back}upstream {first.commit[:9]} (b{first.build}) {first.subject}"
    return f"{back}upstream {first.commit[:9]} (b{first.build}) to {last.commit[:9]} (b{last.build})"


def details(axes: Axes, found: Found) -> list[str]:
    """Return the lines below the headline: author, pull request and size of each culprit."""
    facts = culprit(axes, found)
    lines = [f"{one['id']}: {one['subject']}  {one['author']}  {one['stat']}" for one in facts["patches"]]
    for one in facts["commits"]:
        pr = f"  {one['pr']}" if one["pr"] else ""
        lines.append(
            f"{one['commit'][:9]} b{one['build']}  {one['subject']}  {one['author']}{pr}  {one['stat']}".rstrip()
        )
    left = (found.steps.width if found.steps else 0) - len(facts["commits"])
    return [*lines, *([f"and {left} more commits"] if left > 0 else [])]


def many(number: int, word: str) -> str:
    """Return a number with what it counts."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def markdown(bisect: Bisect, answer: Answer, replay: Sequence[str]) -> str:
    """Return the answer as Markdown for a CI's summary."""
    axes = bisect.axes
    lines = [f"### {_md(headline(axes, answer))}", ""]
    if answer.found is not None:
        lines += [f"* {_md(line)}" for line in (*details(axes, answer.found), *notes(bisect, answer))]
        lines += [f"* {told}" for told in [sure(bisect, answer)] if told]
    lines += [f"* {done(bisect)}, {totals(bisect)['seconds']:.0f} s", ""]
    lines += ["| point | verdict | looks | detail |", "|---|---|---|---|"]
    for point in in_order(bisect):
        row = point.rows[0]
        lines.append(
            f"| {_md(axes.label(point.state))} | {judged(bisect, point)} | {len(point.rows)} | {_md(row.detail)} |"
        )
    return "\n".join([*lines, "", "```", *(replay_line(bisect, p, replay) for p in _edge(bisect, answer)), "```"])


def done(bisect: Bisect) -> str:
    """Return in words what an answer took: points, tests, those of them that are repeats, builds."""
    counted = totals(bisect)
    repeats = f" ({many(counted['repeats'], 'repeat')})" if counted["repeats"] else ""
    known = f"{counted['from_ledger']} known before"
    tests, builds = many(counted["tests"], "test"), many(counted["builds"], "build")
    return f"{many(len(bisect.points), 'point')}, {known}; {tests}{repeats}, {builds}"


def _edge(bisect: Bisect, answer: Answer) -> list[Point]:
    """Return the points on both sides of the culprit."""
    states = (answer.found.good, answer.found.bad) if answer.found is not None else ()
    return [bisect.points[state] for state in states if state in bisect.points]


def sure(bisect: Bisect, answer: Answer) -> str:
    """Return how sure an answer is, in words; empty where nothing was tested."""
    if isinstance(bisect.predicate, Until):
        return ""
    if answer.certain:
        return "taken as certain: where the test was asked again it said the same"
    return f"{answer.confidence:.1%} sure"


def _md(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`").replace("@", "&#64;")
