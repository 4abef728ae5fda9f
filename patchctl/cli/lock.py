"""``patchctl lock``: resolve a stack and write what it resolved to."""

from __future__ import annotations

from patchctl.cli.common import App, command, stack_argument
from patchctl.manifest.lockfile import lock_path, write_lock


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
    app.ui.result({"stack": stack.stack.release, "lock": path, "changed": changed, **made.model_dump(by_alias=True)})
