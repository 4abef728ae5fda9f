"""``patchctl run``: run something with what was built."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command, stack_argument
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
    environment = install.environment()
    program = shutil.which(words[0], path=environment["PATH"])
    if program is None:
        raise PatchctlError(Code.ENVIRONMENT, f"there is no program {words[0]}; {name} has: {_programs(install)}")
    sys.stdout.flush()
    sys.stderr.flush()
    # In the place of this process: signals, terminal and exit status are the program's own.
    os.execve(program, words, environment)  # noqa: S606 - no shell is what is wanted


def _only_variant(stack: StackFile, name: str) -> str:
    variants = list(stack.stack.build.variants)
    if len(variants) > 1:
        raise PatchctlError(Code.USAGE, f"{name} has several variants; say which: --variant {' | '.join(variants)}")
    return variants[0]


def _programs(install: Install) -> str:
    found = sorted(path.name for path in install.bin.iterdir()) if install.bin.is_dir() else []
    return ", ".join(found) or "none"
