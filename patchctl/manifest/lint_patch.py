"""Lint of one patch folder: its page, its revisions, its probe, and files that belong to none of them."""

from __future__ import annotations

import datetime as dt
import os
import re
from typing import TYPE_CHECKING

from patchctl.document import load
from patchctl.errors import Problem
from patchctl.manifest.lint_test import check_output
from patchctl.manifest.model import ProbeFile
from patchctl.manifest.revision import Revision, parse_file
from patchctl.manifest.validate import validate
from patchctl.manifest.workspace import Workspace, revision_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from patchctl.manifest.findings import Findings
    from patchctl.manifest.page import PageFile

FOLDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
TRAILING = re.compile(rb"^\+(?!\+\+ )[^\n]*[ \t]\r?$", re.MULTILINE)


def check_patch(workspace: Workspace, patch_id: str, findings: Findings) -> PageFile | None:
    """Check everything in the folder of a patch and return its page, or None when that is invalid."""
    folder = workspace.patches_folder / patch_id
    name = workspace.shown(folder)
    if not FOLDER.fullmatch(patch_id):
        message = 'is no patch id: lower-case letters, digits, ".", "_" and "-", starting with a letter or digit'
        findings.error(Problem(name, 0, 0, message))
    page: PageFile | None = None
    with findings.collecting(name):
        page = workspace.load_page(patch_id)
    names = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))  # noqa: PTH208 - names only
    has_probe = "probe.yaml" in names
    probe = _check_probe(workspace, folder, findings) if has_probe else ""
    revisions = workspace.revisions(patch_id)
    for revision in revisions:
        check_revision(revision, workspace.shown(revision), findings)
    for unknown in sorted(set(names) - {"README.md", "probe.yaml"} - {path.name for path in revisions}):
        if unknown not in probe:
            findings.error(Problem(workspace.shown(folder / unknown), 0, 0, _why_unknown(unknown)))
    if page is not None:
        _check_sources(page, name, revisions, findings)
        _check_page(page, findings, has_probe=has_probe)
    if not has_probe:
        findings.warning(
            Problem(name, 0, 0, "has no probe (probe.yaml): nothing shows that the patch works or is needed")
        )
    return page


def _why_unknown(name: str) -> str:
    if name.endswith(".patch") and revision_key(name) is None:
        return "is no name of a revision: b<build>.patch, the next for the same base b<build>-2.patch"
    return "belongs to nothing: it is no page, revision or probe, and probe.yaml does not name it"


def _check_probe(workspace: Workspace, folder: Path, findings: Findings) -> str:
    """Return the text of the probe, in which the files it uses are named."""
    path = folder / "probe.yaml"
    name = workspace.shown(path)
    text = ""
    with findings.collecting(name):
        document = load(path, name)
        text = document.text
        probe = validate(document, ProbeFile)
        check_output(document, (), probe.command, findings)
    return text


def _check_sources(page: PageFile, name: str, revisions: list[Path], findings: Findings) -> None:
    if page.page.from_ is None and not revisions:
        message = "has no revision: neither a b<build>.patch nor from: in its page; make one with patchctl import"
        findings.error(Problem(name, 0, 0, message))
    if page.page.from_ is not None and revisions:
        message = f"from: and {revisions[-1].name} are both there; remove from: when the patch had to be adapted"
        findings.error(page.document.problem(("from",), message, key=True))


def _check_page(page: PageFile, findings: Findings, *, has_probe: bool) -> None:
    for loc, message in _page_errors(page, has_probe=has_probe):
        findings.error(page.document.problem(loc, message, key=True))
    front = page.page
    if front.upstream is None and front.drop_when is None and front.review_after is None and front.from_ is None:
        message = "says nowhere when the patch can go: add drop_when or review_after"
        findings.warning(page.document.problem(("title",), message, key=True))


def _page_errors(page: PageFile, *, has_probe: bool) -> Iterator[tuple[tuple[str, ...], str]]:
    front = page.page
    if front.upstream is not None and not (front.upstream.pr or front.upstream.head or front.upstream.commit):
        yield ("upstream",), "upstream is empty; it names at least one of: pr, head, commit"
    drop, review = front.drop_when, front.review_after
    if drop is not None and not (drop.commit or drop.pr or drop.probe):
        yield ("drop_when",), "drop_when never happens; it names at least one of: commit, pr, probe: true"
    if drop is not None and drop.probe and not has_probe:
        yield ("drop_when", "probe"), "drop_when.probe needs a probe.yaml in the folder of the patch"
    if review is not None and not (review.build or review.date):
        yield ("review_after",), "review_after is empty; it names at least one of: build, date"
    if review is not None and review.date and not _is_date(review.date):
        yield ("review_after", "date"), f"review_after.date: {review.date} is no day of the calendar"


def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def check_revision(path: Path, name: str, findings: Findings) -> None:
    """Check one revision: its mail, its diff, and what a later move to another base will need."""
    findings.revisions += 1
    with findings.collecting(name):
        revision = findings.read[path] = parse_file(path, name)
        _check_hygiene(revision, name, findings)


def _check_hygiene(revision: Revision, name: str, findings: Findings) -> None:
    if revision.base_commit is None:
        message = (
            "has no base-commit: trailer, which a merge onto another base needs; git format-patch --base writes it"
        )
        findings.warning(Problem(name, 0, 0, message))
    short = [
        change for change in revision.changes if min(map(len, _oids(change.old_oid, change.new_oid)), default=40) < 40
    ]
    if short:
        message = "its object ids are abbreviated, so they may mean another file later; git format-patch --full-index"
        findings.warning(Problem(name, short[0].line, 1, message))
    _check_trailing(revision, name, findings)


def _oids(*oids: str) -> list[str]:
    return [oid for oid in oids if oid]


def _check_trailing(revision: Revision, name: str, findings: Findings) -> None:
    content = revision.content
    # Most revisions have none, and two searches for bytes are far faster than one with a pattern.
    if b" \n" not in content and b"\t\n" not in content and b" \r\n" not in content and b"\t\r\n" not in content:
        return
    found = list(TRAILING.finditer(content, content.find(b"\ndiff --git ")))
    if found:
        line = content.count(b"\n", 0, found[0].start()) + 1
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        findings.warning(Problem(name, line, 1, f"adds blanks at the end of a line{more}"))
