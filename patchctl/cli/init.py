"""``patchctl init``: start a workspace with a stack to try."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, package_data, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = "stacks/demo.yaml"
SCHEMAS = "stacks/.schema"
# The stack in patchctl's own repository finds the schema in the package; one in a workspace finds its copy.
OWN_SCHEMA, COPIED_SCHEMA = b"$schema=../patchctl/manifest/stack.schema.json", b"$schema=.schema/stack.schema.json"
IGNORED = "/out/"


@command("init")
@click.argument("folder", metavar="[FOLDER]", default=".", type=click.Path(path_type=Path))
def init(app: App, folder: Path) -> None:
    """Make FOLDER (by default the one you stand in) a workspace: stacks/, patches/ and a demo stack to try.

    Nothing that is there is changed.

    \b
    patchctl init my-patches
    """
    if folder.exists() and not folder.is_dir():
        raise PatchctlError(Code.USAGE, f"{folder} is a file; name a folder for the workspace")
    made, kept = _write(folder)
    app.ui.result({"folder": str(folder.absolute()), "made": made, "kept": kept})
    if not app.ui.quiet:
        _tell(app, folder, made)


def _write(folder: Path) -> tuple[list[str], list[str]]:
    """Write what is missing and return the paths that were made and those that were there, relative to ``folder``."""
    made: list[str] = []
    kept: list[str] = []
    for name, content in _content():
        path = folder / name
        with disk_errors():
            there = path.is_symlink() or path.exists()
        if not there:
            write_atomic(path, content)
        (kept if there else made).append(name)
    return made, kept


def _content() -> Iterator[tuple[str, bytes]]:
    from patchctl.document import load
    from patchctl.manifest.model import Stack
    from patchctl.manifest.schema import MODELS, schema_path
    from patchctl.manifest.validate import validate

    stack = package_data(STACK)
    yield STACK, stack.read_bytes().replace(OWN_SCHEMA, COPIED_SCHEMA)
    for name in MODELS:
        path = schema_path(name)
        yield f"{SCHEMAS}/{path.name}", path.read_bytes()
    for patch_id in validate(load(stack, name=STACK), Stack).patches:
        source = package_data(f"patches/{patch_id}")
        for path in sorted(source.iterdir()):
            if path.is_file():
                yield f"patches/{patch_id}/{path.name}", path.read_bytes()
    yield ".gitignore", package_data("templates/workspace.gitignore").read_bytes()


def _tell(app: App, folder: Path, made: list[str]) -> None:
    for path in made:
        app.ui.say(f"made  {path}")
    if not made:
        app.ui.say("nothing to do: everything is there")
    ignored = (folder / ".gitignore").read_text(encoding="utf-8", errors="replace").split()
    if IGNORED not in ignored and "out/" not in ignored and "out" not in ignored:
        app.ui.note(f"{folder / '.gitignore'} does not name {IGNORED}, where builds go; add it")
    here = folder.absolute() == Path.cwd()
    go = "" if here else f"cd {shlex.quote(str(folder))} && "
    app.ui.say(f"next: {go}patchctl build {STACK}")
