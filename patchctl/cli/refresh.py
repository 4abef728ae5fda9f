"""``patchctl refresh``: new revisions for patches that were made for another base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code
from patchctl.series.judge import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.author.refresh import Refreshed


@command("refresh")
@stack_argument
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--onto", metavar="REF", help="For this commit of upstream instead: 40 digits, bN, branch, tag.")
def refresh(app: App, *, name: str, ids: tuple[str, ...], onto: str | None) -> int:
    """Write new revisions for the base of STACK, of all patches or those named, where they apply.

    A patch that applies exactly as it is gets none; one that conflicts is left, with the command that opens it.

    \b
    patchctl refresh stacks/b9187.yaml
    patchctl refresh stacks/b9187.yaml mtp-bid-fix --onto b9200
    """
    from patchctl.author.refresh import check_ids, remake, write

    stack = app.stack(name)
    store, _, resolved = app.resolve(stack, onto=onto)
    check_ids(ids, resolved)
    if resolved.refused:
        resolved.require_success(name)
    found = write(app.workspace, resolved.build, remake(store, resolved, ids))
    app.ui.say(f"{stack.stack.release}  for {resolved.base[:9]} (b{resolved.build})")
    for line in table([_row(app, one) for one in found]):
        app.ui.say(line)
    shown = [_object(app, one) for one in found]
    app.ui.result(
        {"stack": stack.stack.release, "base": {"commit": resolved.base, "build": resolved.build}, "patches": shown}
    )
    return _conflicts(app, name, onto, found, ids)


def _row(app: App, one: Refreshed) -> list[str]:
    text = f"wrote {app.workspace.shown(one.path)}" if one.path else one.note
    return [one.patch, outcome(one.outcome.value), text]


def _object(app: App, one: Refreshed) -> dict[str, str | None]:
    written = app.workspace.shown(one.path) if one.path else None
    return {"id": one.patch, "outcome": one.outcome.value, "written": written, "reason": one.note or None}


def _conflicts(app: App, name: str, onto: str | None, found: Sequence[Refreshed], ids: Sequence[str]) -> int:
    failed = [one for one in found if one.outcome.failed and (not ids or one.patch in ids)]
    if not failed:
        return Code.OK
    conflicts = sum(one.outcome is Outcome.CONFLICT for one in found)
    where = f" --onto {onto}" if onto else ""
    app.ui.say(
        f"{conflicts} of {len(found)} conflict{'s' if conflicts == 1 else ''}. Open with: patchctl apply {name}{where}"
    )
    return Code.CONFLICT
