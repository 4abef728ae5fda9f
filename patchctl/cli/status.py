"""``patchctl status``: what upstream did to each patch, and what can go."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from patchctl.cli.common import App, command
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from patchctl.manifest.workspace import StackFile
    from patchctl.store import Store
    from patchctl.upstream.github.client import Answer
    from patchctl.upstream.github.transport import Transport
    from patchctl.upstream.pull import PullName
    from patchctl.upstream.survey import Row, Survey

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Subject:
    """One stack on the base it is asked about, and where upstream's objects are."""

    stack: StackFile
    store: Store
    survey: Survey


def _seconds(_: click.Context, __: click.Parameter, value: str) -> int:
    """Return the seconds that ``90s``, ``5m``, ``1h`` or ``2d`` mean."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if found is None:
        raise click.BadParameter("a number and s, m, h or d, such as 90s, 5m, 1h, 2d")
    return int(found[1]) * UNITS[found[2]]


@command("status")
@click.argument("names", metavar="[STACK]...", nargs=-1)
@click.option("--onto", metavar="REF", help="Ask for this commit of upstream instead: 40 digits, bN, branch, tag.")
@click.option("--max-age", metavar="AGE", default="1h", show_default=True, callback=_seconds,
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
    from patchctl.cli.unpatched import probe_results
    from patchctl.upstream.survey import Told

    stacks = [app.stack(name) for name in names] or [app.stack(str(path)) for path in app.workspace.stack_files()]
    subjects = [_subject(app, stack, onto) for stack in stacks]
    answers, problems = _ask(app, subjects, max_age=max_age, offline=offline)
    shown = []
    for subject in subjects:
        heads = _heads(subject, answers, problems, max_age=max_age, offline=offline)
        there = (subject.stack, subject.survey.base)
        probes = probe_results(app, *there, sandbox=not no_sandbox) if probe else {}
        told = Told(answers, heads, probes, time.strftime("%Y-%m-%d", time.gmtime()), offline)
        shown.append((subject, subject.survey.rows(told)))
    recorded = [path for _, rows in shown for path in _record(app, rows)] if record else []
    files = [standing.write(app, subject.stack, subject.survey, rows) for subject, rows in shown]
    tables = [standing.Table(it.stack, it.survey, rows, kept) for (it, rows), kept in zip(shown, files, strict=True)]
    for table in tables:
        for line in standing.markdown(table) if markdown else standing.lines(table, verbose=app.ui.verbose):
            app.ui.say(line)
    for path in recorded:
        app.ui.note(f"recorded in {path}")
    for problem in dict.fromkeys(problems):
        app.ui.warn(f"{problem}; where nothing newer is known, the verdicts rest on git and on what was said before")
    app.ui.result({"stacks": [standing.as_object(table) for table in tables], "recorded": recorded})
    if problems:
        return Code.NETWORK
    wanted = any(row.verdict.value != "keep" for _, rows in shown for row in rows)
    return Code.ATTENTION if exit_code and wanted else Code.OK


def _subject(app: App, stack: StackFile, onto: str | None) -> Subject:
    from patchctl.series.resolve import load_patches
    from patchctl.series.sequence import Series
    from patchctl.upstream.evidence import Detectors
    from patchctl.upstream.history import History
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
        return Subject(stack, store, Survey(detectors, patches, pages, base, store.build_number(base)))


def _ask(app: App, subjects: list[Subject], *, max_age: int, offline: bool) -> tuple[dict[PullName, Answer], list[str]]:
    """Return what GitHub says of the pull requests that git leaves open, and what it could not be asked."""
    from patchctl.upstream.github.client import Client
    from patchctl.upstream.github.service import service_for

    names: dict[str, list[PullName]] = {}
    for subject in subjects:
        names.setdefault(subject.store.url, []).extend([*subject.survey.wanted(), *subject.survey.reviewed()])
    services = {url: service_for(url, os.environ) for url in names}
    answers: dict[PullName, Answer] = {}
    problems = []
    for service in dict.fromkeys(filter(None, services.values())):
        wanted = [name for url, some in names.items() if services[url] == service for name in some]
        with app.ui.progress("GitHub") as show:
            show(f"{len(wanted)} pull requests")
            asked = Client(service, app.ledger, _transport).pulls(wanted, max_age=max_age, offline=offline)
        answers |= asked.answers
        problems += [asked.problem] if asked.problem else []
    return answers, problems


def _transport(token: str) -> Transport:
    from patchctl.upstream.github.transport import Transport

    return Transport(token)


def _heads(
    subject: Subject, answers: dict[PullName, Answer], problems: list[str], *, max_age: int, offline: bool
) -> dict[PullName, str]:
    """Return the heads that git knows of pull requests that GitHub said nothing about."""
    from patchctl.upstream.drift import heads

    names = [name for name in subject.survey.reviewed() if name not in answers]
    try:
        return heads(subject.store, names, time.time(), max_age, offline=offline)
    except PatchctlError as error:
        problems.append(error.message)
        return {}


def _record(app: App, rows: list[Row]) -> list[str]:
    """Write proved landings into the pages of the patches and return those that changed."""
    from patchctl.upstream.record import record

    changed = [(row, record(app.workspace, row.patch, row.evidence)) for row in rows]
    return [app.workspace.shown(path) for _, path in changed if path is not None]


def known(app: App, stack: StackFile) -> dict[str, Any]:
    """Return what ``--json`` says of one stack, from git's objects at hand and what GitHub said before; asks nobody."""
    from patchctl.cli import standing
    from patchctl.upstream.survey import Told

    subject = _subject(app, stack, None)
    answers, problems = _ask(app, [subject], max_age=UNITS["d"], offline=True)
    heads = _heads(subject, answers, problems, max_age=UNITS["d"], offline=True)
    told = Told(answers, heads, {}, time.strftime("%Y-%m-%d", time.gmtime()), offline=True)
    return standing.as_object(standing.Table(stack, subject.survey, subject.survey.rows(told), {}))
