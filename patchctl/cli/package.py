"""``patchctl package``: relocatable binaries of one variant as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchctl.cli.build import open_bundle
from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.lock import follow_lock

if TYPE_CHECKING:
    from patchctl.ship.package import Parts


@command("package")
@stack_argument
@click.option("--variant", required=True, metavar="V", help="The variant to package; it must be built.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
def package(app: App, name: str, variant: str, output: Path | None) -> None:
    """Write what was built of a variant as one .tar.gz that runs wherever it is unpacked.

    In it are upstream's licences, the tests, release notes and checksums; notes and SHA256SUMS also lie beside it.
    STACK may be a bundle (FILE.tar.gz), where that was built.

    \b
    patchctl package stacks/b9187.yaml --variant sm_120
    patchctl smoke --package out/b9187-sm_120.tar.gz
    """
    from patchctl.ship.bundle import is_bundle
    from patchctl.ship.package import make_package

    parts = (_of_bundle if is_bundle(name) else _of_stack)(app, name, variant)
    path = output or app.workspace.out_folder / f"{parts.name}.tar.gz"
    with app.ui.progress(parts.name) as show:
        made = make_package(path, parts, lambda at, of: show(f"{at} of {of} files"))
    shown, size = app.workspace.shown(path), made.written.size / 2**20
    state = "proven" if made.proven else f"unproven: {made.why}"
    app.ui.say(f"{shown}  {parts.source.identity}  {size:.1f} MiB  {state}")
    for file in made.shortened:
        app.ui.detail(f"dropped the absolute run paths of {file}")
    app.ui.result(
        {
            "stack": parts.source.release,
            "variant": variant,
            "identity": parts.source.identity,
            "path": str(path),
            "notes": str(made.notes),
            "bytes": made.written.size,
            "sha256": made.written.sha256,
            "needs": list(made.needs),
            "run_paths_shortened": list(made.shortened),
            "proven": made.proven,
            "why": made.why,
        }
    )


def _of_stack(app: App, name: str, variant: str) -> Parts:
    from patchctl.ship.bundle import commit_date
    from patchctl.ship.contents import licences_in_store
    from patchctl.ship.package import Parts
    from patchctl.smoke.plan import stack_cases

    stack = app.stack(name)
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    follow_lock(app, stack, store, resolved, locked=True)
    source = resolved.source(store, stack.stack.upstream.repo, stack.stack.release)
    return Parts(
        workspace=app.workspace,
        stack=stack,
        source=source,
        variant=variant,
        install=app.workspace.out_folder / source.release / variant,
        date=commit_date(store, source.commit),
        licences=licences_in_store(store, source.tree),
        cases=stack_cases(app.workspace, stack),
    )


def _of_bundle(app: App, name: str, variant: str) -> Parts:
    from patchctl.ship.contents import licences_in_folder
    from patchctl.ship.package import Parts
    from patchctl.smoke.plan import stack_cases

    bundle = open_bundle(app, name)
    return Parts(
        workspace=bundle.workspace,
        stack=bundle.stack,
        source=bundle.source,
        variant=variant,
        install=app.workspace.out_folder / bundle.source.release / variant,
        date=bundle.date,
        licences=licences_in_folder(bundle.slot / "src"),
        cases=stack_cases(bundle.workspace, bundle.stack),
    )
