"""``patchctl lint``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command
from patchctl.errors import Code, PatchctlError
from patchctl.report.words import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.findings import Findings
    from patchctl.manifest.workspace import Workspace


@command("lint")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def lint(app: App, stacks: tuple[str, ...], *, strict: bool) -> int:
    """Find what is wrong with manifests, pages and patches, all of it in one run.

    Looks at the whole workspace, or at the given stacks and their patches. Exit code 3 when there are errors. What
    check warns of is told too, without asking upstream: where no check has brought a stack's base here, only changes
    that two of its patches make.

    \b
    patchctl lint
    patchctl lint stacks/b9187.yaml --strict
    """
    ui = app.ui
    started = time.monotonic()
    findings, alone = _findings(app, stacks)
    ui.detail(f"looked for {duration(time.monotonic() - started)}")
    for name in alone:
        ui.detail(f"{name}: its base is not here; its patches were only compared with each other")
    failed = findings.count("error") > 0 or (strict and bool(findings.found))
    for finding in findings.ordered():
        if finding.level == "error" or strict or not ui.quiet:
            ui.say(str(finding))
    if not ui.quiet:
        ui.say(_summary(findings))
    ui.result(_result(findings))
    return Code.INVALID if failed else Code.OK


def _findings(app: App, stacks: tuple[str, ...]) -> tuple[Findings, list[str]]:
    """Return what was found, and the stacks of which only the patches could be compared."""
    from patchctl.manifest.findings import Findings
    from patchctl.manifest.lint import lint as find
    from patchctl.manifest.workspace import find_workspace, locate

    findings = Findings()
    if not stacks:
        workspace = find_workspace(Path.cwd())
        find(workspace, None, findings)
        return findings, _compare(app, workspace, workspace.stack_files(), findings)
    groups: dict[Workspace, list[Path]] = {}
    for workspace, path in (locate(word, Path.cwd()) for word in dict.fromkeys(stacks)):
        groups.setdefault(workspace, []).append(path)
    alone: list[str] = []
    for workspace, paths in groups.items():
        find(workspace, paths, findings)
        alone += _compare(app, workspace, paths, findings)
    return findings, alone


def _compare(app: App, workspace: Workspace, paths: Sequence[Path], findings: Findings) -> list[str]:
    """Note what check warns of in each stack that can be read; returns those whose base is not here."""
    from patchctl.series.explain import plain
    from patchctl.series.unasked import unasked_warnings

    alone = []
    for path in paths:
        try:
            stack = workspace.load_stack(path)
        except PatchctlError:
            continue  # what is wrong with it is among the findings
        warned, has_base = unasked_warnings(workspace, stack, findings, app.cache, lambda: app.ledger)
        alone += [] if has_base else [stack.document.path]
        for at, patch_id in enumerate(stack.stack.patches):
            for one in warned.get(patch_id, ()):
                place = f" ({one.path})" if one.path else ""
                findings.warning(stack.document.problem(("patches", at), f"{patch_id} {plain(one.message)}{place}"))
    return alone


def _summary(findings: Findings) -> str:
    looked = ", ".join(
        (
            _counted(findings.stacks, "stack"),
            _counted(findings.patches, "patch"),
            _counted(findings.revisions, "revision"),
        )
    )
    errors, warnings = findings.count("error"), findings.count("warning")
    return f"{looked}: {_counted(errors, 'error')}, {_counted(warnings, 'warning')}"


def _counted(number: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("ch") else f"{word}s"
    return f"{number} {word if number == 1 else plural}"


def _result(findings: Findings) -> dict[str, object]:
    return {
        "problems": [
            {
                "path": finding.problem.path,
                "line": finding.problem.line,
                "column": finding.problem.column,
                "level": finding.level,
                "message": finding.problem.message,
            }
            for finding in findings.ordered()
        ],
        "errors": findings.count("error"),
        "warnings": findings.count("warning"),
        "checked": {"stacks": findings.stacks, "patches": findings.patches, "revisions": findings.revisions},
    }
