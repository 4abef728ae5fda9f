"""``patchctl edit``: change one patch in the middle of its stack, or start a new one there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.solved import losses_of, tell_losses, tell_recalled
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from patchctl.author.edit import Edit
    from patchctl.series.session import Stop


@command("edit")
@stack_argument
@click.argument("patch", metavar="[ID]", required=False)
@click.option("--new", metavar="ID", help="Start a new patch of this id.")
@click.option("--after", metavar="ID", help="Put the new patch after this one; else it is the last.")
@click.option("--continue", "action", flag_value="resume", help="Take what lies in the worktree, and go on.")
@click.option("--skip", "action", flag_value="skip", help="Leave the later patch that conflicts as it was, and go on.")
@click.option("--abort", "action", flag_value="abort", help="Remove the worktree; nothing else was changed.")
def edit(app: App, *, name: str, patch: str | None, new: str | None, after: str | None, action: str | None) -> int:
    """Open the patch ID of STACK in a worktree; change it, test it, and --continue writes its new revision.

    Commit there or not: all that differs becomes the patch, new files too, the message of the first commit its message.
    Patches after it are applied again, and get new revisions where they must.

    \b
    patchctl edit stacks/b9187.yaml mtp-bid-fix
    patchctl edit stacks/b9187.yaml mtp-bid-fix --continue
    patchctl edit stacks/b9187.yaml --new my-fix --after mtp-bid-fix
    """
    from patchctl.files import locked

    _check_words(patch, new, after, action)
    stack = app.stack(name)
    folder = app.workspace.root / "work" / stack.stack.release
    lock = app.cache / "locks" / f"{digest(str(folder))[:16]}.lock"
    with locked(lock, f"the worktree of {stack.stack.release}"):
        return _go_on(app, name, patch, action) if action else _begin(app, name, patch, new, after)


def _check_words(patch: str | None, new: str | None, after: str | None, action: str | None) -> None:
    if action and (new or after):
        raise PatchctlError(Code.USAGE, "--new and --after belong to the start of an edit")
    if not action and (patch is None) == (new is None):
        raise PatchctlError(Code.USAGE, "name the patch to edit, or a new one with --new")
    if after and not new:
        raise PatchctlError(Code.USAGE, "--after says where a --new patch goes")


def _begin(app: App, name: str, patch: str | None, new: str | None, after: str | None) -> int:
    from patchctl.author.edit import Edit, require_new
    from patchctl.series.worktree import Worktree

    if new:
        require_new(app.workspace, new)
    stack = app.stack(name)
    store, series, resolved = app.resolve(stack)
    if resolved.refused:
        resolved.require_success(name)
    worktree = Worktree(app.workspace.root / "work" / stack.stack.release, store)
    session = Edit(worktree, series, stack, new or patch or "")
    at = resolved.base, resolved.steps
    left_out = session.open_new(*at, after) if new else session.open(*at)
    if left_out:
        named = ", ".join(sorted(left_out)[:3])
        app.ui.warn(f"no copy of upstream has {len(left_out)} of its files; left out: {named}…")
    where = app.workspace.shown(worktree.folder)
    how = "commit it there with git" if new else "commit or not"
    app.ui.say(f"{session.edited} is open in {where}: change it, {how}")
    app.ui.say(f"then: patchctl edit {name} {session.edited} --continue   (or --abort)")
    app.ui.result(
        {"worktree": where, "edited": session.edited, "stopped_at": session.edited, "conflicts": [], "written": []}
    )
    return Code.OK


def _go_on(app: App, name: str, patch: str | None, action: str) -> int:
    from patchctl.author.edit import Edit, edited_in
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series
    from patchctl.series.session import abandon, open_base
    from patchctl.series.worktree import Worktree

    stack = app.stack(name)
    store = app.store(stack)
    worktree = Worktree(app.workspace.root / "work" / stack.stack.release, store)
    edited = edited_in(worktree, patch)
    if action == "abort":
        abandon(worktree, edited)
        app.ui.say(f"aborted; {edited} is as it was, the worktree is gone")
        app.ui.result({"aborted": True})
        return Code.OK
    base = open_base(worktree) or stack.stack.upstream.commit
    patches = load_patches(app.workspace, stack, store, base)
    session = Edit(worktree, Series(store, patches, allow=stack.stack.policy.allow), stack, edited)
    stop = session.resume() if action == "resume" else session.skip()
    return _stopped(app, name, session, stop) if stop else _finished(app, session)


def _stopped(app: App, name: str, session: Edit, stop: Stop) -> int:
    where = app.workspace.shown(session.worktree.folder)
    tell_recalled(app, session)
    app.ui.say(f"{stop.patch} conflicts with the change of {session.edited} in {', '.join(stop.paths)}")
    app.ui.say(f"solve it in {where}, then: patchctl edit {name} {session.edited} --continue   (or --skip, --abort)")
    conflicts = list(stop.paths)
    app.ui.result(
        {"worktree": where, "edited": session.edited, "stopped_at": stop.patch, "conflicts": conflicts, "written": []}
    )
    return Code.CONFLICT


def _finished(app: App, session: Edit) -> int:
    where = app.workspace.shown(session.worktree.folder)
    recalled, losses = tell_recalled(app, session), losses_of(session)
    written = [app.workspace.shown(path) for path in session.finish(app.workspace)]
    for path in written:
        app.ui.say(f"wrote {path}")
    if not written:
        app.ui.say(f"{session.edited} did not change; nothing was written")
    lost = tell_losses(app, losses)
    for patch_id in session.emptied:
        app.ui.warn(f"{patch_id} brings nothing any more: what is under it has its change; take it out of the stack")
    app.ui.say(f"the stack stands in {where}")
    app.ui.result(
        {"worktree": where, "edited": session.edited, "stopped_at": None, "conflicts": [], "recalled": recalled,
         "lost": lost, "written": written}
    )  # fmt: skip
    return Code.OK
