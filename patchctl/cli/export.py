"""``patchctl export``: the patches of a stack for ``git am`` and ``quilt``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.ledger import digest


@command("export")
@stack_argument
@click.option("--as", "form", type=click.Choice(["mbox", "quilt", "folder"]), default="mbox", show_default=True,
              help="One mbox, a quilt patches folder with its series, or numbered mails.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Where; by default below out/.")
def export(app: App, *, name: str, form: str, output: Path | None) -> None:
    """Write the patches of STACK as git am and quilt read them, with DEP-3 headers from their pages.

    Applied to the base they give the stack's own tree. Nothing that exists is overwritten.

    \b
    patchctl export stacks/b9187.yaml
    patchctl export stacks/b9187.yaml --as quilt --output debian/patches
    """
    from patchctl.author.export import FORMS, files, mails, needs_keep_cr, write
    from patchctl.files import locked

    stack = app.stack(name)
    release = stack.stack.release
    store, _, resolved = app.resolve(stack)
    resolved.require_success(name)
    pages = {patch.id: app.workspace.load_page(patch.id).page for patch in resolved.patches}
    found = mails(store, resolved, pages)
    path = output.absolute() if output else app.workspace.out_folder / f"{release}{FORMS[form]}"
    with locked(app.cache / "locks" / f"{digest(str(path))[:16]}.lock", f"{path}"):
        changed = write(path, files(found, form))
    brought = [mail.patch for mail in found]
    shown = app.workspace.shown(path)
    count = f"{len(brought)} patch{'' if len(brought) == 1 else 'es'} on {resolved.base[:9]} (b{resolved.build})"
    app.ui.say(f"{'wrote' if changed else 'unchanged'} {shown}: {count}")
    left_out = [patch.id for patch in resolved.patches if patch.id not in brought]
    if left_out:
        app.ui.say(f"left out, upstream has them: {', '.join(left_out)}")
    how = _how(form, path, keep_cr=needs_keep_cr(found))
    app.ui.say(f"apply with: {how}")
    app.ui.result({"stack": release, "as": form, "path": shown, "changed": changed, "base": resolved.base,
                   "patches": brought, "left_out": left_out, "apply": how})  # fmt: skip


def _how(form: str, path: Path, *, keep_cr: bool) -> str:
    place = shlex.quote(str(path))
    if form == "quilt":
        return f"QUILT_PATCHES={place} quilt push -a"
    # Without it git am drops the CR of files with CRLF.
    words = "git am --keep-cr" if keep_cr else "git am"
    return f"{words} {place}" if form == "mbox" else f"{words} {place}/*.patch"
