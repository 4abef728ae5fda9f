"""``patchctl status``: what upstream did to each patch, and what can go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.cli.hearsay import UNITS, Hearsay, age
from patchctl.errors import Code, InvalidError, PatchctlError
from patchctl.text import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.workspace import StackFile
    from patchctl.store import Store
    from patchctl.upstream.survey import Row, Survey


@dataclass(frozen=True)
class Subject:
    """One stack on the base it is asked about, and where upstream's objects are."""

    stack: StackFile
    store: Store
    survey: Survey


@command("status")
@click.argument("names", metavar="[STACK]...", nargs=-1)
@click.option("--onto", metavar="REF", help="Ask for this commit of upstream instead: 40 digits, bN, branch, tag.")
@click.option("--max-age", metavar="AGE", default="1h", show_default=True, callback=age,
              help="Ask GitHub again about what is older; what was merged is never asked again.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask nobody: git's objects at hand and what GitHub said before.")
@click.option("--probe", is_flag=True, help="Build the base without patches, in a sandbox, and try each probe on it.")
@click.option("--no-sandbox", is_flag=True, help="Trust upstream's code: --probe builds and runs it as you.")
@click.option("--record", is_flag=True, help="Write landings that are proved into the patches' pages.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for the summary of a CI job.")
@click.option("--exit-code", is_flag=True, help="Exit 10 when a patch can go or wants a look.")
def status(
    app: App,
    *,
    names: tuple[str, ...],
    onto: str | None,
    max_age: int,
    offline: bool,
    probe: bool,
    no_sandbox: bool,
    record: bool,
    markdown: bool,
    exit_code: bool,
) -> int:
    """Say for each patch of the stacks (all of them, when none is named) what upstream did. Changes no file.

    \b
    patchctl status
    patchctl status b9187 --onto b9206
    patchctl status --markdown >> "$GITHUB_STEP_SUMMARY"
    """
    if no_sandbox and not probe:
        raise PatchctlError(Code.USAGE, "--no-sandbox belongs to --probe")
    from patchctl.cli import standing
    from patchctl.cli.unpatched import probe_results, remembered

    subjects, failed = _subjects(app, names or [str(path) for path in app.workspace.stack_files()], onto)
    hearsay = Hearsay(app, [subject.survey for subject in subjects], max_age=max_age, offline=offline)
    shown = []
    for subject in subjects:
        there = (subject.stack, subject.survey.base)
        probes = remembered(app, *there) | (probe_results(app, *there, sandbox=not no_sandbox) if probe else {})
        shown.append((subject, subject.survey.rows(hearsay.told(subject.survey, probes))))
    recorded = [path for _, rows in shown for path in _record(app, rows)] if record else []
    files = [standing.write(app, subject.stack, subject.survey, rows) for subject, rows in shown]
    tables = [standing.Table(it.stack, it.survey, rows, kept) for (it, rows), kept in zip(shown, files, strict=True)]
    for table in tables:
        for line in standing.markdown(table) if markdown else standing.lines(table, verbose=app.ui.verbose):
            app.ui.say(line)
    for path in recorded:
        app.ui.note(f"recorded in {path}")
    hearsay.warn()
    for name, error in failed.items():
        _tell(app, name, error)
    app.ui.result(
        {
            "stacks": [standing.as_object(table) for table in tables],
            "recorded": recorded,
            "failed": [{"stack": name, "message": redacted(error.message)} for name, error in failed.items()],
        }
    )
    if failed:
        return next(iter(failed.values())).code
    if hearsay.problems:
        return Code.NETWORK
    wanted = any(row.verdict.value != "keep" for _, rows in shown for row in rows)
    return Code.ATTENTION if exit_code and wanted else Code.OK


def _subjects(app: App, names: Sequence[str], onto: str | None) -> tuple[list[Subject], dict[str, PatchctlError]]:
    """Return the stacks that can be asked about and, by name, why the others cannot; raises when none can."""
    asked = {Path(name).stem: _try_subject(app, name, onto) for name in names}
    subjects = [it for it in asked.values() if isinstance(it, Subject)]
    failed = {name: it for name, it in asked.items() if isinstance(it, PatchctlError)}
    if failed and not subjects:
        *others, last = {why.message: (name, why) for name, why in failed.items()}.values()
        for other in others:
            _tell(app, *other)
        raise last[1]
    return subjects, failed


def _try_subject(app: App, name: str, onto: str | None) -> Subject | PatchctlError:
    try:
        return _subject(app, app.stack(name), onto)
    except PatchctlError as error:
        return error


def _tell(app: App, name: str, error: PatchctlError) -> None:
    app.ui.error(error.message if isinstance(error, InvalidError) else f"error: {name}: {error.message}")


def _subject(app: App, stack: StackFile, onto: str | None) -> Subject:
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series
    from patchctl.upstream.evidence import Detectors
    from patchctl.upstream.history import History
    from patchctl.upstream.returned import gone_from
    from patchctl.upstream.survey import Survey

    with app.ui.progress(f"{stack.stack.release}: upstream") as show:
        store = app.store(stack, show)
        own = stack.stack.upstream.commit
        store.ensure_commit(own)
        base = own if onto is None else store.resolve(onto, own)
        patches = load_patches(app.workspace, stack, store, own)
        series = Series(store, patches, allow=stack.stack.policy.allow)
        pages = {patch.id: app.workspace.load_page(patch.id).page for patch in patches}
        detectors = Detectors(series, History(store, base))
        gone = gone_from(app.workspace, store, stack, base)
        return Subject(stack, store, Survey(detectors, patches, pages, base, gone))


def _record(app: App, rows: list[Row]) -> list[str]:
    """Write proved landings into the pages of the patches and return those that changed."""
    from patchctl.upstream.record import record

    changed = [(row, record(app.workspace, row.patch, row.evidence)) for row in rows]
    return [app.workspace.shown(path) for _, path in changed if path is not None]


def known(app: App, stack: StackFile) -> dict[str, Any]:
    """Return what ``--json`` says of one stack, from git's objects at hand and what GitHub said before; asks nobody."""
    from patchctl.cli import standing
    from patchctl.cli.unpatched import remembered

    survey = _subject(app, stack, None).survey
    hearsay = Hearsay(app, [survey], max_age=UNITS["d"], offline=True)
    told = hearsay.told(survey, remembered(app, stack, survey.base))
    return standing.as_object(standing.Table(stack, survey, survey.rows(told), {}))
