"""``patchctl lock``: resolve a stack and write what it resolved to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.cli.common import App, command, stack_argument
from patchctl.errors import Code, PatchctlError
from patchctl.manifest.lockfile import lock_path, read_lock, write_lock

if TYPE_CHECKING:
    from patchctl.manifest.workspace import StackFile
    from patchctl.series.resolve import Resolved
    from patchctl.store import Store


@command("lock")
@stack_argument
def lock(app: App, name: str) -> None:
    """Resolve STACK and write its lock: the file, hash and patch-id of every revision, resulting commit and tree.

    \b
    patchctl lock stacks/b9187.yaml
    """
    stack = app.stack(name)
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    made = resolved.lock(store)
    changed = write_lock(stack.path, made)
    path = app.workspace.shown(lock_path(stack.path))
    app.ui.say(f"{'wrote' if changed else 'unchanged'} {path}: tree {made.result.tree[:9]}")
    app.ui.result({"stack": stack.outline.release, "lock": path, "changed": changed, **made.model_dump(by_alias=True)})


def follow_lock(app: App, stack: StackFile, store: Store, resolved: Resolved, *, locked: bool) -> None:
    """Hold the result to the lock; renew a lock that no longer describes the stack, unless ``locked``."""
    from patchctl.series.resolve import check_lock, why_stale

    shown = app.workspace.shown(stack.path)
    lock = read_lock(stack.path, app.workspace.shown(lock_path(stack.path)))
    stale = "it has none" if lock is None else why_stale(lock, resolved.base, resolved.patches)
    if lock is not None and stale is None:
        check_lock(lock, resolved, store, shown)
        return
    if locked:
        hint = f"renew it: patchctl lock {shown}"
        raise PatchctlError(Code.INVALID, f"the lock of {shown} is out of date: {stale}; {hint}")
    write_lock(stack.path, resolved.lock(store))
    app.ui.note(f"locked {shown}" if lock is None else f"locked {shown} again: {stale}")
