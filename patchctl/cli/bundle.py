"""``patchctl bundle``: the patched source with everything needed to build it, as one file."""

from __future__ import annotations

from pathlib import Path

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.lock import follow_lock


@command("bundle")
@stack_argument
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.option("--locked", is_flag=True, help="Fail (exit 3) instead of renewing the lock.")
def bundle(app: App, name: str, output: Path | None, *, locked: bool) -> None:
    """Write the patched source of STACK, its manifest, lock, pages and probes as one .tar.gz.

    The tar in it is the same on every machine. ``patchctl build FILE`` needs no git, no network and no workspace.

    \b
    patchctl bundle stacks/b9187.yaml
    patchctl build b9187-bundle.tar.gz --variant cpu
    """
    from patchctl.ship.bundle import make_bundle

    stack = app.stack(name)
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    follow_lock(app, stack, store, resolved, locked=locked)
    source = resolved.source(store, stack.stack.upstream.repo, stack.stack.release)
    path = output or app.workspace.out_folder / f"{source.release}-bundle.tar.gz"
    with app.ui.progress(f"{source.release}: bundle") as show:
        made = make_bundle(path, app.workspace, stack, store, source, show=lambda at, of: show(f"{at} of {of} files"))
    if made.left_out:
        app.ui.warn(f"no copy of upstream has {len(made.left_out)} of its files; left out: {', '.join(made.left_out)}")
    written = made.written
    app.ui.say(f"{app.workspace.shown(path)}  {source.identity}  {made.files} files, {written.size / 2**20:.1f} MiB")
    app.ui.result(
        {
            "stack": source.release,
            "identity": source.identity,
            "path": str(path),
            "bytes": written.size,
            "sha256": written.sha256,
            "tar_sha256": written.tar_sha256,
            "files": made.files,
            "left_out": list(made.left_out),
        }
    )
