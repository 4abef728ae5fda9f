"""``patchctl doctor``: what this machine can build, and how to get what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command
from patchctl.cli.ui import outcome, table
from patchctl.errors import Code

if TYPE_CHECKING:
    from patchctl.build.doctor import Check


@command("doctor")
@click.argument("name", metavar="[STACK]", required=False)
def doctor(app: App, name: str | None) -> int:
    """Look at compilers, tools, CUDA and disk, and say how to get what is missing.

    Exits with 9 when something is missing that the variants of STACK need; without STACK, that any build needs.

    \b
    patchctl doctor
    patchctl doctor stacks/b9187.yaml
    """
    from patchctl.build.cuda import unavailable
    from patchctl.build.doctor import examine, unmet
    from patchctl.build.recipe import needs_cuda
    from patchctl.build.toolchain import find_toolchain

    settings = _settings(app, name) if name else {}
    cuda = any(map(needs_cuda, settings.values()))
    blackwell = any("120" in values.get("CMAKE_CUDA_ARCHITECTURES", "") for values in settings.values())
    checks = examine(app.ledger, cuda=cuda, blackwell=blackwell)
    toolchain = find_toolchain(app.ledger)
    blocked = {variant: unavailable(variant, values, toolchain) for variant, values in settings.items()}
    lacking = unmet(checks)
    app.ui.result({"ok": not lacking, "checks": [vars(check) for check in checks], "variants": blocked})
    _show(app, checks, blocked)
    return Code.ENVIRONMENT if lacking else Code.OK


def _settings(app: App, name: str) -> dict[str, dict[str, str]]:
    from patchctl.build.recipe import configuration

    build = app.stack(name).stack.build
    return {variant: configuration(build, variant) for variant in build.variants}


def _show(app: App, checks: list[Check], blocked: dict[str, str | None]) -> None:
    rows = [[check.name, outcome(check.state) if check.needed else check.state, check.detail] for check in checks]
    for line in table(rows):
        app.ui.say(line)
    for check in checks:
        if check.advice:
            app.ui.say(f"{check.name}{'' if check.needed else ' (if wanted)'}: {check.advice}")
    for reason in filter(None, blocked.values()):
        app.ui.say(reason)
