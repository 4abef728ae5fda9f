"""``patchctl status``: what upstream did to each patch, and what can go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.cli.ui import table
from patchctl.errors import Code

if TYPE_CHECKING:
    from patchctl.manifest.model import Page
    from patchctl.manifest.workspace import StackFile
    from patchctl.upstream.verdict import Evidence, Verdict

COLOURS = {"keep": "green", "retire": "blue", "review": "yellow", "unknown": "red"}


@dataclass(frozen=True)
class Row:
    """One patch: its page, the evidence, the verdict with its reason."""

    patch: str
    page: Page
    evidence: list[Evidence]
    verdict: Verdict
    reason: str


@command("status")
@click.argument("names", metavar="[STACK]...", nargs=-1)
@click.option("--onto", metavar="REF", help="Ask for this commit of upstream instead: 40 digits, bN, branch, tag.")
@click.option("--exit-code", is_flag=True, help="Exit 10 when a patch can go or wants a look.")
def status(app: App, *, names: tuple[str, ...], onto: str | None, exit_code: bool) -> int:
    """Say for each patch of the stacks (all of them, when none is named) what upstream did. Changes no file.

    \b
    patchctl status
    patchctl status b9187 --onto b9206
    """
    stacks = [app.stack(name) for name in names] or [app.stack(str(path)) for path in app.workspace.stack_files()]
    shown = [(stack, *_status(app, stack, onto)) for stack in stacks]
    for stack, base, build, rows in shown:
        _show(app, stack, base, build, rows)
    app.ui.result({"stacks": [_object(*entry) for entry in shown]})
    wanted = any(row.verdict.value != "keep" for *_, rows in shown for row in rows)
    return Code.ATTENTION if exit_code and wanted else Code.OK


def _status(app: App, stack: StackFile, onto: str | None) -> tuple[str, int, list[Row]]:
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series
    from patchctl.upstream.evidence import Detectors, Question
    from patchctl.upstream.history import History
    from patchctl.upstream.verdict import decide

    with app.ui.progress(f"{stack.stack.release}: upstream") as show:
        store = app.store(stack, show)
        own = stack.stack.upstream.commit
        store.ensure_commit(own)
        base = own if onto is None else store.resolve(onto, own)
        patches = load_patches(app.workspace, stack, store, own)
        series = Series(store, patches, allow=stack.stack.policy.allow)
        # What a patch in mid-stack was made on exists only once those before it are applied on the stack's own base.
        series.sequence(own, patches)
        detectors = Detectors(series, History(store, base))
        rows = []
        for patch in patches:
            show(patch.id)
            page = app.workspace.load_page(patch.id).page
            evidence = detectors.gather(Question(patch, page, base))
            rows.append(Row(patch.id, page, evidence, *decide(evidence)))
        return base, store.build_number(base), rows


def _show(app: App, stack: StackFile, base: str, build: int, rows: list[Row]) -> None:
    counts = {word: sum(row.verdict.value == word for row in rows) for word in COLOURS}
    summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no patches"
    app.ui.say(f"{stack.stack.release}  on {base[:9]} (b{build}): {summary}")
    words = [[row.patch, click.style(row.verdict.value, fg=COLOURS[row.verdict.value]), row.reason] for row in rows]
    for line in table(words):
        app.ui.say(line)


def _object(stack: StackFile, base: str, build: int, rows: list[Row]) -> dict[str, Any]:
    return {
        "stack": stack.stack.release,
        "base": {"commit": base, "build": build},
        "patches": [
            {
                "id": row.patch,
                "pr": _pull_request(row.page),
                "evidence": [{**vars(one), "kind": one.kind.value} for one in row.evidence],
                "verdict": row.verdict.value,
                "reason": row.reason,
            }
            for row in rows
        ],
    }


def _pull_request(page: Page) -> dict[str, Any] | None:
    named = page.upstream.pr if page.upstream else None
    if named is None:
        return None
    repo, number = named.rsplit("#", 1)
    return {"repo": repo, "number": int(number)}
