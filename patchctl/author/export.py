"""The patches of a stack for people who do not use patchctl: one mbox, a quilt series, or numbered mails.

Each is written as it stands on the stack's base, so ``git am`` and ``quilt push -a`` give the stack's own tree. What
the page knows goes into DEP-3 headers (https://dep-team.pages.debian.net/deps/dep3/), which both read over.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.files import disk_errors, remove_folder
from patchctl.manifest.revision import parse
from patchctl.series.revise import export_line, with_trailers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from patchctl.manifest.model import Page
    from patchctl.manifest.revision import Change, Revision
    from patchctl.series.resolve import Resolved
    from patchctl.store import Store

FORMS = {"mbox": ".mbox", "quilt": "-quilt", "folder": "-mails"}  # and how the usual place of each ends
KINDS = {"120000": "is a symlink", "160000": "is a submodule"}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\s]+")


@dataclass(frozen=True)
class Mail:
    """One patch ready to leave: its id, its mail with DEP-3 headers, and what it changes."""

    patch: str
    content: bytes
    revision: Revision


def mails(store: Store, resolved: Resolved, pages: Mapping[str, Page]) -> list[Mail]:
    """Return a mail for each patch that the stack brings; what upstream has already is left out.

    ``resolved`` has no failed patch. The first mail names the base.
    """
    brought = [patch.id for patch, step in zip(resolved.patches, resolved.steps, strict=True) if step.outcome.applied]
    # git takes an empty range for the last commit of all.
    plain = export_line(store, resolved.base, resolved.result(store)[0]) if brought else []
    found: list[Mail] = []
    for patch_id, mail in zip(brought, plain, strict=True):
        revision = parse(mail, patch_id)
        text = _with_headers(mail, _dep3(pages[patch_id], revision))
        text = text.rstrip(b"\n") + b"\n\n" if found else with_trailers(text, resolved.base, []) + b"\n"
        found.append(Mail(patch_id, text, revision))
    return found


def _with_headers(mail: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the mail with more headers at the end of its own."""
    head, _, rest = mail.partition(b"\n\n")
    lines = [f"{name}: {CONTROL.sub(' ', value).strip()}".encode("utf-8", "replace") for name, value in headers]
    return b"\n".join([head, *lines]) + b"\n\n" + rest


def _dep3(page: Page, revision: Revision) -> Iterator[tuple[str, str]]:
    origin = page.upstream
    pr = f"https://github.com/{origin.pr.replace('#', '/pull/')}" if origin and origin.pr else None
    commit = origin.commit if origin else None
    yield "Description", page.title
    if page.from_:
        yield "Origin", f"upstream, commit:{page.from_.commit}"
    elif commit:
        yield "Origin", f"backport, commit:{commit}"
    else:
        yield "Origin", f"other, {pr}" if pr else "vendor"
    yield "Forwarded", pr or ("not-needed" if commit or page.from_ else "no")
    landed = page.from_.commit if page.from_ else page.drop_when.commit if page.drop_when else None
    if landed:
        yield "Applied-Upstream", f"commit:{landed}"
    if revision.date:
        seconds, zone = revision.date
        minutes = int(f"{zone[0]}1") * (int(zone[1:3]) * 60 + int(zone[3:5]))
        day = dt.datetime.fromtimestamp(seconds, dt.timezone(dt.timedelta(minutes=minutes))).date()
        yield "Last-Update", day.isoformat()


def files(found: Sequence[Mail], form: str) -> dict[str, bytes]:
    """Return what an export holds: file names and contents; an mbox is the one file without a name.

    Raises InvalidError with every change that ``quilt`` cannot apply, PatchctlError (exit code 2) without a patch.
    """
    if not found:
        raise PatchctlError(Code.USAGE, "nothing to export: the stack brings no patch")
    if form == "mbox":
        return {"": b"".join(mail.content for mail in found)}
    if form == "folder":
        return {f"{at:04}-{mail.patch}.patch": mail.content for at, mail in enumerate(found, 1)}
    problems = [problem for mail in found for problem in _beyond_quilt(mail)]
    if problems:
        raise InvalidError(problems)
    series = "".join(f"{mail.patch}.patch\n" for mail in found).encode()
    return {"series": series, **{f"{mail.patch}.patch": mail.content for mail in found}}


def _beyond_quilt(mail: Mail) -> Iterator[Problem]:
    for change in mail.revision.changes:
        what = _special(change)
        if what:
            yield Problem(mail.patch, 0, 0, f"{change.path} {what}, which quilt cannot apply; export --as mbox")


def _special(change: Change) -> str:
    modes = {mode for mode in (change.old_mode, change.new_mode) if mode}
    kind = next((KINDS[mode] for mode in sorted(modes) if mode in KINDS), "")
    return kind or ("is binary" if change.binary else "changes its mode" if len(modes) > 1 else "")


def needs_keep_cr(found: Sequence[Mail]) -> bool:
    """Return whether ``git am`` needs ``--keep-cr``: it drops the CR of files with CRLF otherwise."""
    return any(line.endswith(b"\r\n") for mail in found for change in mail.revision.changes for hunk in change.hunks
               for line in (*hunk.old, *hunk.new))  # fmt: skip


def write(path: Path, content: Mapping[str, bytes]) -> bool:
    """Put an export at ``path``, whole or not at all; returns False when the very same is there.

    Raises PatchctlError (exit code 2) when anything else is there, 9 when the disk refuses.
    """
    if path.exists() or path.is_symlink():
        if _holds(path, content):
            return False
        raise PatchctlError(Code.USAGE, f"{path} exists and holds something else; name another --output, or move it")
    beside = path.with_name(f".{path.name}.tmp")
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(beside)
        try:
            _make(beside, content)
            beside.rename(path)
        except BaseException:
            _clear(beside)
            raise
    return True


def _make(place: Path, content: Mapping[str, bytes]) -> None:
    if "" in content:
        place.write_bytes(content[""])
        return
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)


def _clear(place: Path) -> None:
    """Remove what a killed export left beside."""
    if place.is_dir() and not place.is_symlink():
        remove_folder(place)
    else:
        place.unlink(missing_ok=True)


def _holds(path: Path, content: Mapping[str, bytes]) -> bool:
    if "" in content:
        return path.is_file() and path.read_bytes() == content[""]
    if not path.is_dir() or {entry.name for entry in path.iterdir()} != content.keys():
        return False
    return all((path / name).is_file() and (path / name).read_bytes() == data for name, data in content.items())
