"""``patchctl lint``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from patchctl.cli.common import App, command
from patchctl.errors import Code
from patchctl.report.words import duration

if TYPE_CHECKING:
    from patchctl.manifest.findings import Findings


@command("lint")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def lint(app: App, stacks: tuple[str, ...], *, strict: bool) -> int:
    """Find what is wrong with manifests, pages and patches, all of it in one run.

    Looks at the whole workspace, or at the given stacks and their patches. Exit code 3 when there are errors.

    \b
    patchctl lint
    patchctl lint stacks/b9187.yaml --strict
    """
    ui = app.ui
    started = time.monotonic()
    findings = _findings(stacks)
    ui.detail(f"looked for {duration(time.monotonic() - started)}")
    failed = findings.count("error") > 0 or (strict and bool(findings.found))
    for finding in findings.ordered():
        if finding.level == "error" or strict or not ui.quiet:
            ui.say(str(finding))
    if not ui.quiet:
        ui.say(_summary(findings))
    ui.result(_result(findings))
    return Code.INVALID if failed else Code.OK


def _findings(stacks: tuple[str, ...]) -> Findings:
    from patchctl.manifest.findings import Findings
    from patchctl.manifest.lint import lint as find
    from patchctl.manifest.workspace import Workspace, find_workspace, locate

    if not stacks:
        return find(find_workspace(Path.cwd()))
    groups: dict[Workspace, list[Path]] = {}
    for workspace, path in (locate(word, Path.cwd()) for word in dict.fromkeys(stacks)):
        groups.setdefault(workspace, []).append(path)
    findings = Findings()
    for workspace, paths in groups.items():
        find(workspace, paths, findings)
    return findings


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
