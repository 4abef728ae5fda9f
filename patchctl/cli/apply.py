"""``patchctl apply``: the stack in a worktree a person can open, stopping at each conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.solved import losses_of, tell_losses, tell_recalled
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.series.session import Progress, Session, Stop
    from patchctl.series.worktree import Worktree

GO_ON = ("resume", "skip", "abort")


@command("apply")
@stack_argument
@click.option("--onto", metavar="REF", help="Apply onto this commit of upstream instead: 40 digits, bN, branch, tag.")
@click.option("--continue", "action", flag_value="resume", help="Go on: the conflict in the worktree is solved.")
@click.option("--skip", "action", flag_value="skip", help="Go on without the patch at hand and those that need it.")
@click.option("--abort", "action", flag_value="abort", help="Remove the worktree.")
def apply(app: App, *, name: str, onto: str | None, action: str | None) -> int:
    """Apply STACK in a worktree. What you solve there is written as a new revision and remembered.

    \b
    patchctl apply stacks/b9187.yaml
    patchctl apply stacks/b9187.yaml --continue
    """
    from patchctl.files import locked

    stack = app.stack(name)
    folder = app.workspace.root / "work" / stack.outline.release
    lock = app.cache / "locks" / f"{digest(str(folder))[:16]}.lock"
    with locked(lock, f"the worktree of {stack.outline.release}"):
        return _apply(app, name, onto, action)


def _apply(app: App, name: str, onto: str | None, action: str | None) -> int:
    from patchctl.series.resolve import load_patches, recorded
    from patchctl.series.sequence import Series
    from patchctl.series.session import Session, open_base, read_progress
    from patchctl.series.worktree import Worktree

    stack = app.stack(name)
    store = app.store(stack)
    worktree = Worktree(app.workspace.root / "work" / stack.outline.release, store)
    if action in GO_ON:
        if onto is not None:
            raise PatchctlError(Code.USAGE, "--onto belongs to the start of an apply")
        if action == "abort":
            return _abort(app, worktree)
        base = open_base(worktree) or stack.outline.commit
        before = read_progress(worktree)
        patches = load_patches(app.workspace, stack, store, base)
        series = Series(store, patches, allow=stack.outline.allow, recorded=lambda: recorded(app.workspace))
        session = Session(worktree, series, stack.outline.release)
        stop = session.resume() if action == "resume" else session.skip()
        emptied = _emptied(before, session) if action == "resume" else []
        return _report(app, name, session, stop, skipped=_skipped(before, session), emptied=emptied)
    store, series, resolved = app.resolve(stack, onto=onto)
    if resolved.refused:
        resolved.require_success(name)
    session = Session(Worktree(worktree.folder, store), series, stack.outline.release)
    stop, left_out = session.begin(resolved.base, list(resolved.steps))
    if left_out:
        named = ", ".join(sorted(left_out)[:3])
        app.ui.warn(f"no copy of upstream has {len(left_out)} of its files; left out: {named}…")
    return _report(app, name, session, stop)


def _abort(app: App, worktree: Worktree) -> int:
    """Needs neither upstream nor sound patches: whatever happened, it can be ended."""
    from patchctl.series.session import abandon, read_progress

    began = "aborted" if read_progress(worktree) is not None else "no apply was open"
    aside = abandon(worktree)
    where = None if aside is None else app.workspace.shown(aside)
    app.ui.say("aborted; the worktree is gone" if where is None else f"{began}; what you did is in {where}")
    app.ui.result({"aborted": True, "aside": where})
    return Code.OK


def _skipped(before: Progress | None, session: Session) -> list[str]:
    """Return the ids of the patches that this run left out, those that need the one at hand after it."""
    after = session.progress()
    known = before.skipped if before else ()
    return [patch_id for patch_id in (after.skipped if after else ()) if patch_id not in known]


def _emptied(before: Progress | None, session: Session) -> list[str]:
    """Return the patch that was solved to nothing: no revision of it is written."""
    stopped, after = before.stopped if before else "", session.progress()
    return [stopped] if stopped and after and stopped not in after.solved else []


def _report(
    app: App,
    name: str,
    session: Session,
    stop: Stop | None,
    *,
    skipped: Sequence[str] = (),
    emptied: Sequence[str] = (),
) -> int:
    where = app.workspace.shown(session.worktree.folder)
    if skipped:
        app.ui.say(f"skipped {', '.join(skipped)}")
    recalled = tell_recalled(app, session)
    for patch_id in emptied:
        app.ui.warn(
            f"{patch_id}: nothing is left of it here, so no revision was written; upstream has it, or it is lost"
        )
    if stop is not None:
        app.ui.say(f"{stop.patch} conflicts in {', '.join(stop.paths)}")
        app.ui.say(f"solve it in {where}, then: patchctl apply {name} --continue   (or --skip, --abort)")
        app.ui.result(
            {"worktree": where, "stopped_at": stop.patch, "conflicts": list(stop.paths),
             "skipped": list(skipped), "emptied": list(emptied), "recalled": recalled, "lost": {}, "written": []}
        )  # fmt: skip
        return Code.CONFLICT
    losses = losses_of(session)  # once it is finished, nobody can tell
    written = [app.workspace.shown(path) for path in _finish(app, session)]
    for path in written:
        app.ui.say(f"wrote {path}")
    lost = tell_losses(app, losses)
    app.ui.say(f"applied in {where}")
    app.ui.result(
        {"worktree": where, "stopped_at": None, "conflicts": [], "skipped": list(skipped),
         "emptied": list(emptied), "recalled": recalled, "lost": lost, "written": written}
    )  # fmt: skip
    return Code.OK


def _finish(app: App, session: Session) -> list[Path]:
    return session.finish(app.workspace) if session.progress() is not None else []
