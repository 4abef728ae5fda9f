"""``patchctl report``: everything that is known about a stack, on one page."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command, stack_argument
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchctl.manifest.workspace import StackFile
    from patchctl.report.model import Findings
    from patchctl.series.resolve import Resolved
    from patchctl.series.sequence import Series
    from patchctl.store import Store

FORMATS = {".html": "html", ".htm": "html", ".md": "markdown", ".xml": "junit", ".json": "json"}
WORDS = ("html", "markdown", "junit", "json")
FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@command("report")
@stack_argument
@click.option("--format", "form", type=click.Choice(WORDS), help="What to write; else what the name of FILE says.")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Write it there; - is standard output.")
def report(app: App, *, name: str, form: str | None, output: Path | None) -> None:
    """Put together what is known about STACK: patches, builds, tests with their logs, bench, forecast, bisects.

    HTML goes to out/<release>/report.html, one file that needs nothing else; the other formats to standard output.
    Nothing is built and no test is run for it.

    \b
    patchctl report b9187
    patchctl report b9187 --format markdown >> "$GITHUB_STEP_SUMMARY"
    patchctl report b9187 -o results.xml
    """
    from patchctl.report.model import make_report

    if form is None and output is not None and str(output) != "-" and output.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise PatchctlError(Code.USAGE, f"the name {output.name} tells no format ({known}); give one with --format")
    stack = app.stack(name)
    took = functools.partial(app.ledger.seconds_of, "test")
    made = make_report(app.workspace, stack, _find(app, stack), app.cache, took)
    form = form or (FORMATS.get(output.suffix.lower()) if output else None) or "html"
    if output is None and form == "html":
        output = app.workspace.out_folder / stack.stack.release / "report.html"
    _write(app, _rendered(made, form), None if output is None or str(output) == "-" else output)
    app.ui.result({"path": str(output) if output else None, **{k: v for k, v in made.items() if k != "schema_version"}})


def _write(app: App, content: bytes, path: Path | None) -> None:
    from patchctl.cli.ui import write
    from patchctl.files import write_atomic

    if path is not None:
        write_atomic(path, content)
        app.ui.say(f"wrote {app.workspace.shown(path)}")
    elif not app.ui.as_json:
        write(content.decode(), nl=False)


def _rendered(made: Mapping[str, Any], form: str) -> bytes:
    if form == "html":
        from patchctl.report.page import page

        return page(made)
    if form == "markdown":
        from patchctl.report.markdown import markdown

        return markdown(made)
    if form == "junit":
        from patchctl.report.junit import junit

        return junit(made)
    import json

    return json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n"


def _find(app: App, stack: StackFile) -> Findings:
    """Return what can be found out without building; what cannot is a notice in the report, not a failure."""
    from patchctl.bench.results import read_results
    from patchctl.report.model import Findings, check_from_files

    benches = read_results(app.workspace.out_folder)
    try:
        store, series, resolved = app.resolve(stack)
        check = _check(store, series, resolved)
    except PatchctlError as error:
        if error.code not in {Code.NETWORK, Code.ENVIRONMENT}:
            raise
        why = f"The patches were not judged, what is shown is what was recorded: {error.message}"
        return Findings(check_from_files(stack), benches=benches, notices=[why])
    from patchctl.cli.status import known

    notices: list[str] = []
    try:
        status = known(app, stack)
    except PatchctlError as error:
        status = None
        notices.append(f"Upstream was not asked: {error.message}")
    bisect = app.ledger.get("bisect", stack.stack.release)
    bisects = [bisect] if bisect else []
    return Findings(check, status, _forecast(store, resolved), bisects=bisects, benches=benches, notices=notices)


def _check(store: Store, series: Series, resolved: Resolved) -> dict[str, Any]:
    from patchctl.series.explain import causes
    from patchctl.series.judge import Outcome

    rows = []
    for patch, step in zip(resolved.patches, resolved.steps, strict=True):
        conflict = step.outcome is Outcome.CONFLICT
        why = causes(series, patch, resolved.base, step.conflicts) if conflict else {}
        conflicts = [
            {"path": path, "upstream_commits": [vars(one) for one in why.get(path, [])]} for path in step.conflicts
        ]
        rows.append(
            {
                "id": patch.id,
                "revision": patch.file,
                "sha256": patch.sha256,
                "outcome": step.outcome.value,
                "detail": step.detail,
                "conflicts": conflicts,
                "refused": list(step.refused),
            }
        )
    whole = not resolved.failed and not resolved.refused
    commit, tree = resolved.result(store) if whole else ("", "")
    return {
        "base": {"commit": resolved.base, "build": resolved.build},
        "result": {"commit": commit, "tree": tree} if whole else None,
        "patches": rows,
    }


def _forecast(store: Store, resolved: Resolved) -> dict[str, Any] | None:
    from patchctl.upstream.forecast import remembered

    found = remembered(store, resolved.base, resolved.patches)
    if found is None:
        return None
    record = found.record()
    return {
        **record,
        "base": {"commit": found.base, "build": found.base_build},
        "to": {"commit": found.to, "build": found.to_build},
    }
