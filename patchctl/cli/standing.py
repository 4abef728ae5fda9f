"""How ``status`` shows what it found: a table, Markdown, an object; and the files that are too long for a table."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.ui import table
from patchctl.files import write_atomic
from patchctl.report.causes import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from patchctl.cli.common import App
    from patchctl.manifest.workspace import StackFile
    from patchctl.upstream.survey import Row, Survey
    from patchctl.upstream.verdict import Evidence

COLOURS = {"keep": "green", "retire": "blue", "review": "yellow", "unknown": "red"}
Kept = dict[str, dict[str, "Path"]]  # by patch: the difference, and the rest of a patch that landed partly


@dataclass(frozen=True)
class Table:
    """One stack's verdicts, and where what is too long for a table was written."""

    stack: StackFile
    survey: Survey
    rows: list[Row]
    kept: Mapping[str, Mapping[str, Path]]


def write(app: App, stack: StackFile, survey: Survey, rows: list[Row]) -> Kept:
    """Write differences and residual patches into the cache folder, where nobody misses them, and return the paths."""
    folder = app.cache / "review" / f"{stack.stack.release}-b{survey.build}-{survey.base[:9]}"
    kept: Kept = {}
    for row in rows:
        for one in row.evidence if row.verdict.value == "review" else ():
            for part, suffix, content in (("difference", "diff", one.difference), ("rest", "patch", one.rest)):
                if content and part not in kept.get(row.patch, {}):
                    path = folder / f"{row.patch}.{suffix}"
                    write_atomic(path, content.encode("utf-8", "surrogateescape"))
                    kept.setdefault(row.patch, {})[part] = path
    return kept


def summary(shown: Table) -> str:
    """Return how many of each verdict, on which base."""
    counts = {word: sum(row.verdict.value == word for row in shown.rows) for word in COLOURS}
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no patches"
    return f"{shown.stack.stack.release}  on {shown.survey.base[:9]} (b{shown.survey.build}): {words}"


def lines(shown: Table, *, verbose: bool) -> Iterator[str]:
    """Return the summary and a row for each patch; ``verbose`` adds all evidence and the differences."""
    yield summary(shown)
    for row, line in zip(shown.rows, table([_cells(row) for row in shown.rows]), strict=True):
        yield line
        for one in row.evidence if verbose else ():
            yield f"      {one.kind.value}: {one.detail}"
            yield from (f"        {part}" for part in one.difference.splitlines())
    for patch, parts in shown.kept.items():
        yield f"  {patch}: {'; '.join(_found(parts))}"


def _found(parts: Mapping[str, Path]) -> Iterator[str]:
    if "difference" in parts:
        yield f"the difference is in {parts['difference']}"
    if "rest" in parts:
        yield f"what is left of it is in {parts['rest']}"


def _cells(row: Row) -> list[str]:
    verdict = row.verdict.value
    return [row.patch, click.style(verdict, fg=COLOURS[verdict]), row.reason + _age(row)]


def _age(row: Row) -> str:
    """Return how old GitHub's answer is where it is older than was wanted."""
    if row.answer is None or not row.answer.stale:
        return ""
    seconds = max(time.time() - row.answer.asked, 0)
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f" (GitHub as of {seconds // size:.0f} {unit} ago)"
    return f" (GitHub as of {seconds:.0f} s ago)"


def markdown(shown: Table) -> Iterator[str]:
    """Return the same as Markdown."""
    yield f"### {plain(summary(shown))}"
    yield ""
    yield "| patch | verdict | why |"
    yield "|---|---|---|"
    for row in shown.rows:
        pull = f" {plain(str(row.name))}" if row.name else ""
        yield f"| {plain(row.patch)}{pull} | {row.verdict.value} | {plain(row.reason + _age(row))} |"
    yield ""


def as_object(shown: Table) -> dict[str, Any]:
    """Return what ``status --json`` says of one stack."""
    return {
        "stack": shown.stack.stack.release,
        "base": {"commit": shown.survey.base, "build": shown.survey.build},
        "patches": [
            {
                "id": row.patch,
                "pr": _pull(row),
                "evidence": [_evidence(one) for one in row.evidence],
                "verdict": row.verdict.value,
                "reason": row.reason,
                **{part: str(path) for part, path in shown.kept.get(row.patch, {}).items()},
            }
            for row in shown.rows
        ],
    }


def _evidence(one: Evidence) -> dict[str, Any]:
    return {"kind": one.kind.value, "commit": one.commit, "build": one.build, "detail": one.detail}


def _pull(row: Row) -> dict[str, Any] | None:
    """Return the pull request of a patch; its state is null where GitHub was not asked, absent where it has none."""
    if row.name is None:
        return None
    named = {"repo": row.name.repo, "number": row.name.number}
    if row.answer is None:
        return {**named, "state": None}
    asked = {"asked": int(row.answer.asked), "stale": row.answer.stale}
    pull = row.answer.pull.record() if row.answer.pull else {"state": "absent"}
    return {**pull, **named, **asked}
