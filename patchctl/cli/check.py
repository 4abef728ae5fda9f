"""``patchctl check``: judge every patch of a stack, in memory, without a checkout."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, patch_options, stack_argument
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code
from patchctl.series.explain import Cause, causes, plain
from patchctl.series.judge import Outcome
from patchctl.series.overlap import Warned, warnings

if TYPE_CHECKING:
    from patchctl.series.patch import Patch
    from patchctl.series.resolve import Resolved
    from patchctl.series.sequence import Series, Step
    from patchctl.store import Store

Why = dict[str, dict[str, list[Cause]]]
Shown = tuple["Resolved", "list[Step] | None", Why]
Warnings = dict[str, list[Warned]]
SHOWN = 12  # lines of warnings on screen; --json has them all


@command("check")
@stack_argument
@patch_options
@click.option("--onto", metavar="REF", help="Judge on this commit of upstream instead: 40 digits, bN, branch, tag.")
@click.option("--alone/--no-alone", default=True, help="Also judge each patch with only what it requires.")
def check(
    app: App, *, name: str, only: tuple[str, ...], without: tuple[str, ...], onto: str | None, alone: bool
) -> int:
    """Judge every patch of STACK, in sequence and alone, never stopping at the first failure.

    \b
    patchctl check stacks/b9187.yaml
    patchctl check b9187 --onto b9500
    """
    stack = app.stack(name)
    store, series, resolved = app.resolve(stack, only=only, without=without, onto=onto)
    by_itself = series.alone(resolved.base, resolved.patches) if alone else None
    why = _explain(series, resolved)
    warned = warnings(series, resolved.base, resolved.patches, resolved.steps)
    release = stack.outline.release
    if app.ui.as_json:  # patch-ids cost a git process
        app.ui.result(_object(store, release, resolved, by_itself, why, warned=warned))
    app.ui.say(_headline(release, resolved))
    _show(app, name, onto, (resolved, by_itself, why))
    _show_warnings(app, warned)
    if resolved.refused:
        return Code.POLICY
    return Code.CONFLICT if resolved.failed else Code.OK


def _explain(series: Series, resolved: Resolved) -> Why:
    return {
        patch.id: causes(series, patch, resolved.base, step.conflicts)
        for patch, step in zip(resolved.patches, resolved.steps, strict=True)
        if step.outcome is Outcome.CONFLICT
    }


def _show_warnings(app: App, warned: Warnings) -> None:
    lines = [
        f"{click.style('warning', fg='yellow')}  {name}: {plain(one.message)}{f' ({one.path})' if one.path else ''}"
        for name, some in warned.items()
        for one in some
    ]
    for line in lines[:SHOWN]:
        app.ui.say(line)
    if len(lines) > SHOWN:
        app.ui.say(f"and {len(lines) - SHOWN} more warnings; --json has all")


def _object(
    store: Store, release: str, resolved: Resolved, alone: list[Step] | None, why: Why, *, warned: Warnings
) -> dict[str, Any]:
    from patchctl.series.resolve import patch_ids

    whole = not resolved.failed and not resolved.refused
    commit, tree = resolved.result(store) if whole else ("", "")
    ids = patch_ids(store, resolved.patches)
    patches = [
        _row(patch, step, patch_id, why.get(patch.id, {}))
        for patch, step, patch_id in zip(resolved.patches, resolved.steps, ids, strict=True)
    ]
    for row in patches:
        row["warnings"] = [asdict(one) for one in warned[row["id"]]]
    for row, step in zip(patches, alone or (), strict=False):
        row["alone"] = {"outcome": step.outcome.value}
    return {
        "stack": release,
        "base": {"commit": resolved.base, "build": resolved.build},
        "result": {"commit": commit, "tree": tree} if whole else None,
        "patches": patches,
    }


def _row(patch: Patch, step: Step, patch_id: str, why: dict[str, list[Cause]]) -> dict[str, Any]:
    return {
        "id": patch.id,
        "revision": patch.file,
        "sha256": patch.sha256,
        "patch_id": patch_id,
        "outcome": step.outcome.value,
        "alone": None,
        "detail": step.detail,
        "commit": step.commit if step.outcome.applied else None,
        "conflicts": [
            {"path": path, "upstream_commits": [vars(cause) for cause in why.get(path, [])]} for path in step.conflicts
        ],
        "refused": list(step.refused),
    }


def _headline(release: str, resolved: Resolved) -> str:
    count = len(resolved.patches)
    return f"{release}  {count} patch{'' if count == 1 else 'es'} on {resolved.base[:9]} (b{resolved.build})"


def _show(app: App, name: str, onto: str | None, shown: Shown) -> None:
    resolved, alone, why = shown
    count = len(resolved.patches)
    rows: list[list[str]] = []
    for at, (patch, step) in enumerate(zip(resolved.patches, resolved.steps, strict=True)):
        rows += _lines(patch, step, alone[at] if alone else None, why.get(patch.id, {}))
    for line in table(rows):
        app.ui.say(line)
    for sentence in resolved.refused:
        app.ui.say(f"{click.style('refused', fg='red')}  {sentence}")
    words = f"{name} --onto {onto}" if onto else name
    conflicts = sum(step.outcome is Outcome.CONFLICT for step in resolved.steps)
    if conflicts:
        app.ui.say(f"{conflicts} of {count} conflict{'s' if conflicts == 1 else ''}. Open with: patchctl apply {words}")


def _lines(patch: Patch, step: Step, alone: Step | None, why: dict[str, list[Cause]]) -> list[list[str]]:
    differs = alone is not None and alone.outcome is not step.outcome
    note = f"alone: {alone.outcome.value}" if alone is not None and differs else ""
    if not step.conflicts:
        return [[patch.id, outcome(step.outcome.value), "  ".join(filter(None, (step.detail, note)))]]
    rows: list[list[str]] = []
    for path in step.conflicts:
        first = not rows
        because = _because(why.get(path, []))
        text = "  ".join(filter(None, (path, because or step.detail, note if first else "")))
        rows.append([patch.id if first else "", outcome(step.outcome.value) if first else "", text])
    return rows


def _because(found: list[Cause]) -> str:
    if not found:
        return ""
    first = found[0]
    number = f"#{first.pr}" if first.pr else first.commit[:9]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"upstream {number} (b{first.build}){more} changed it"
