"""Lint of what tests say: names, variants, regular expressions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import patchctl
from patchctl.document import Document, Loc, load, plain
from patchctl.errors import InvalidError, closest

if TYPE_CHECKING:
    from patchctl.manifest.findings import Findings
    from patchctl.manifest.model import Command, Stack


def general_tests() -> set[str]:
    """Return the names of the tests that come with patchctl; files that cannot be read name none."""
    folder = Path(patchctl.__file__).parent / "smoke" / "tests"
    return {name for path in sorted(folder.glob("*.yaml")) for name in _names_in(path)}


def _names_in(path: Path) -> set[str]:
    try:
        data = plain(load(path).root)
    except InvalidError:
        return set()
    listed = data.get("tests", [data]) if isinstance(data, dict) else data
    names = {entry["name"] for entry in listed or [] if isinstance(entry, dict) and "name" in entry}
    return names or {path.stem}


def check_tests(document: Document, stack: Stack, findings: Findings) -> None:
    """Check the tests of a stack: known names, each once, variants that exist, expressions that compile."""
    seen: set[str] = set()
    known: set[str] | None = None
    for at, test in enumerate(stack.tests):
        loc: Loc = ("tests", at)
        name = test if isinstance(test, str) else test.name
        if name in seen:
            findings.error(document.problem(loc, f'test "{name}" is named twice'))
        seen.add(name)
        if isinstance(test, str) or test.general:
            known = general_tests() if known is None else known
            if name not in known:
                findings.error(document.problem(loc, f'there is no test "{name}"{closest(name, sorted(known))}'))
            continue
        _check_variants(document, loc, test.variants or [], list(stack.build.variants), findings)
        check_output(document, loc, test.command, findings)


def _check_variants(document: Document, loc: Loc, named: list[str], known: list[str], findings: Findings) -> None:
    for at, variant in enumerate(named):
        if variant not in known:
            message = f'there is no variant "{variant}" in build.variants{closest(variant, known)}'
            findings.error(document.problem((*loc, "variants", at), message))


def check_output(document: Document, loc: Loc, command: Command | None, findings: Findings) -> None:
    """Check that the output of a command is matched by an expression that compiles."""
    if command is None or command.output is None:
        return
    try:
        re.compile(command.output)
    except re.error as error:
        message = f"output is no regular expression: {error}"
        findings.error(document.problem((*loc, "command", "output"), message))
