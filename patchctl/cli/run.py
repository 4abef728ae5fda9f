"""``patchctl run``: run something with what was built."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.cli.installed import source_now, why_other
from patchctl.cli.smoke import find_install
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from typing import NoReturn

    from patchctl.manifest.workspace import StackFile
    from patchctl.smoke.install import Install


@command("run")
@stack_argument
@click.option("--variant", metavar="V", help="The variant to run; not needed when the stack has one.")
@click.argument("words", metavar="-- CMD...", nargs=-1, required=True, type=click.UNPROCESSED)
def run(app: App, name: str, variant: str | None, words: tuple[str, ...]) -> NoReturn:
    """Run CMD with a variant's programs first on PATH; its exit status is passed on.

    CMD also gets PATCHCTL_OUT (the install folder), PATCHCTL_BIN and PATCHCTL_IDENTITY.

    \b
    patchctl run stacks/demo.yaml --variant release -- demo-cli -p "the " -n 40
    """
    stack = app.stack(name)
    install = find_install(app, stack, name, variant or _only_variant(stack, name))
    _warn_of_other(app, stack, name, install)
    environment = install.environment()
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise PatchctlError(Code.ENVIRONMENT, f"there is no program {words[0]}; {name} has: {_programs(install)}")
    app.close()
    sys.stdout.flush()
    sys.stderr.flush()
    # In the place of this process: signals, terminal and exit status are the program's own.
    os.execve(program, words, environment)  # noqa: S606 - no shell is what is wanted


def _warn_of_other(app: App, stack: StackFile, name: str, install: Install) -> None:
    """Say when what is about to run is not of the stack as it is now; it runs all the same."""
    try:
        why = why_other(app, install, source_now(app, stack, name), name)
    except PatchctlError as error:
        where, first = app.workspace.shown(install.folder), error.message.splitlines()[0]
        why = f"cannot tell whether {where} is of the stack as it is now: {first}"
    if why:
        app.ui.warn(why)


def _only_variant(stack: StackFile, name: str) -> str:
    variants = list(stack.stack.build.variants)
    if len(variants) > 1:
        raise PatchctlError(Code.USAGE, f"{name} has several variants; say which: --variant {' | '.join(variants)}")
    return variants[0]


def _programs(install: Install) -> str:
    found = sorted(path.name for path in install.bin.iterdir()) if install.bin.is_dir() else []
    return ", ".join(found) or "none"
