"""Why a patch conflicts: the upstream commits since its revision's base that changed those lines."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError
from patchctl.ledger import digest
from patchctl.series.turning import Turning
from patchctl.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.git import Repo
    from patchctl.manifest.revision import Hunk
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.store import Store

LIMIT = 20  # commits named for one path; more help nobody
PULL_REQUEST = re.compile(r"\(#([1-9]\d*)\)\s*$")  # those of other repositories, "(ggml/N)", have other numbers


@dataclass(frozen=True)
class Cause:
    """One upstream commit that changed what the patch changes: id, build number, subject, pull request or None."""

    commit: str
    build: int
    subject: str
    pr: int | None


def plain(text: str) -> str:
    """Return upstream's text, which anyone wrote, on one line and unable to steer a terminal or a CI system."""
    return one_line(text)


def causes(series: Series, patch: Patch, base: str, paths: Sequence[str]) -> dict[str, list[Cause]]:
    """Return for each conflicting path the upstream commits that explain it: first the one that breaks the patch.

    After it come the others that changed the same lines, oldest first. Nothing where the revision's base is unknown, or
    is ``base`` itself: then the patches before it are the cause.
    """
    store, made_on = series.store, patch.revision.base_commit
    if made_on is None or made_on == base:
        return {path: [] for path in paths}
    before = series.stack[: series.stack.index(patch)] if patch in series.stack else ()
    inputs = [[one.id, one.sha256, one.requires] for one in (*before, patch)]
    key = digest("causes", 6, inputs, base, list(paths))
    kept = store.ledger.get("causes", key)
    if kept is None:
        try:
            store.ensure_commit(made_on)
            _bring_versions(store, made_on, base, patch.revision.paths)
            turning = Turning(series, patch, made_on, base)
            kept = {path: [vars(cause) for cause in _causes(store, turning, path)] for path in paths}
        except PatchctlError:
            return {path: [] for path in paths}  # a conflict is told whether or not it can be explained
        store.ledger.put("causes", key, kept)
    return {path: [Cause(**cause) for cause in found] for path, found in kept.items()}


def _causes(store: Store, turning: Turning, path: str) -> list[Cause]:
    touching, found = _commits(store.repo, turning.patch, turning.made_on, turning.base, path)
    breaking = None
    with contextlib.suppress(PatchctlError):  # where it cannot be tried, the lines still tell
        breaking = turning.point([commit for commit, _ in touching], path)
    first = [entry for entry in touching if entry[0] == breaking]
    return [_cause(store, *entry) for entry in [*first, *(one for one in found if one not in first)][:LIMIT]]


def _cause(store: Store, commit: str, subject: str) -> Cause:
    number = PULL_REQUEST.search(subject)
    return Cause(commit, store.build_number(commit), plain(subject), int(number[1]) if number else None)


def _bring_versions(store: Store, made_on: str, base: str, paths: Sequence[str]) -> None:
    """Bring every version of some paths between two commits at once: following lines and trying reads them all."""
    named = [f":(literal){path}" for path in paths]
    words = ("log", "--format=", "--raw", "--no-abbrev", "--no-renames", f"{made_on}..{base}", "--", *named)
    raw = store.repo.run(*words).text()
    oids = {oid for line in raw.splitlines() if line.startswith(":") for oid in line.split()[2:4] if set(oid) != {"0"}}
    store.ensure_blobs(oids)


Named = list[tuple[str, str]]  # commits and their subjects


def _commits(repo: Repo, patch: Patch, made_on: str, base: str, path: str) -> tuple[Named, Named]:
    """Return the commits that changed the file, and those that changed the lines of the patch's hunks; oldest first."""
    changes = [change for change in patch.revision.changes if path in {change.old_path, change.new_path}]
    ranges = [place(hunk) for change in changes for hunk in change.hunks]
    words = ("log", "--reverse", "-U0", "--no-renames", "--no-color", "--no-ext-diff", "--format=%x00%H%x1f%s%x1f")
    done = repo.run(*words, "-p", f"{made_on}..{base}", "--", f":(literal){path}", lazy=True)
    shown = done.stdout.decode("utf-8", "replace")
    entries = [entry.split("\x1f", 2) for entry in shown.split("\0")[1:]]
    found = []
    for commit, subject, diff in entries:
        hit, ranges = follow(ranges, moves(diff))
        if hit:
            found.append((commit, subject))
    touching = [(commit, subject) for commit, subject, _ in entries]
    # Without lines to follow (a new file, a binary) every commit that touched the path is a candidate.
    return touching, found or touching


Range = tuple[int, int]  # lines, from 1, inclusive
Move = tuple[int, int, int, int]  # old start, old count, new start, new count: a hunk without context


def place(hunk: Hunk) -> Range:
    """Return the lines that a hunk changes; for an insertion those on both sides of it."""
    first, last = hunk.start + 1 + hunk.leading, hunk.start + len(hunk.old) - hunk.trailing
    return (first, last) if first <= last else (max(last, 1), first)


def moves(diff: str) -> list[Move]:
    """Return the hunks of a diff without context, in order."""
    found = (match.groups(default="1") for match in _HUNK.finditer(diff))
    return [(int(a), int(b), int(c), int(d)) for a, b, c, d in found]


def follow(ranges: Sequence[Range], changes: Sequence[Move]) -> tuple[bool, list[Range]]:
    """Return whether a commit's changes touch any of the ranges, and where the ranges are after it."""
    hit = any(_touches(one, change) for one in ranges for change in changes)
    return hit, [(_moved(start, changes, last=False), _moved(end, changes, last=True)) for start, end in ranges]


def _touches(lines: Range, change: Move) -> bool:
    start, count = change[0], change[1]
    # An insertion stands after its line, so it touches a range that holds both its neighbours or ends there.
    return start <= lines[1] and start + max(count, 1) - 1 >= lines[0]


def _moved(line: int, changes: Sequence[Move], *, last: bool) -> int:
    drift = 0
    for old, count, new, made in changes:
        after = old + max(count, 1) if count else old + 1
        if line >= after:
            drift = (new + made if made else new + 1) - after
        elif count and line >= old:
            return max(new + made - 1 if last and made else new, 1)
    return line + drift


_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
