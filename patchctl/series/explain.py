"""Why a patch conflicts: the upstream commits since its revision's base that changed those lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError
from patchctl.ledger import digest
from patchctl.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.git import Repo
    from patchctl.manifest.revision import Hunk
    from patchctl.series.patch import Patch
    from patchctl.store import Store

LIMIT = 20  # commits named for one path; more help nobody
PULL_REQUEST = re.compile(r"\((?:[\w.-]+/)?#?(\d+)\)\s*$")


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


def causes(store: Store, patch: Patch, base: str, paths: Sequence[str]) -> dict[str, list[Cause]]:
    """Return for each conflicting path the upstream commits that explain it, the first one first.

    Nothing where the revision's base is unknown, or is ``base`` itself: then the patches before it are the cause.
    """
    made_on = patch.revision.base_commit
    if made_on is None or made_on == base:
        return {path: [] for path in paths}
    key = digest("causes", 4, patch.sha256, base, list(paths))
    kept = store.ledger.get("causes", key)
    if kept is None:
        try:
            kept = {path: [vars(cause) for cause in _causes(store, patch, made_on, base, path)] for path in paths}
        except PatchctlError:
            return {path: [] for path in paths}  # a conflict is told whether or not it can be explained
        store.ledger.put("causes", key, kept)
    return {path: [Cause(**cause) for cause in found] for path, found in kept.items()}


def _causes(store: Store, patch: Patch, made_on: str, base: str, path: str) -> list[Cause]:
    store.ensure_commit(made_on)
    _bring_versions(store, made_on, base, path)
    found = _commits(store.repo, patch, made_on, base, path)
    return [_cause(store, *entry) for entry in found[:LIMIT]]


def _cause(store: Store, commit: str, subject: str) -> Cause:
    number = PULL_REQUEST.search(subject)
    return Cause(commit, store.build_number(commit), plain(subject), int(number[1]) if number else None)


def _bring_versions(store: Store, made_on: str, base: str, path: str) -> None:
    """Bring every version of a path between two commits at once: following lines reads them all."""
    words = ("log", "--format=", "--raw", "--no-abbrev", "--no-renames", f"{made_on}..{base}", "--", path)
    raw = store.repo.run(*words).text()
    oids = {oid for line in raw.splitlines() if line.startswith(":") for oid in line.split()[2:4] if set(oid) != {"0"}}
    store.ensure_blobs(oids)


def _commits(repo: Repo, patch: Patch, made_on: str, base: str, path: str) -> list[tuple[str, str]]:
    """Return (commit, subject) of the commits that changed the lines of the patch's hunks, the first one first."""
    changes = [change for change in patch.revision.changes if path in {change.old_path, change.new_path}]
    ranges = [place(hunk) for change in changes for hunk in change.hunks]
    words = ("log", "--reverse", "-U0", "--no-renames", "--no-color", "--no-ext-diff", "--format=%x00%H%x1f%s%x1f")
    shown = repo.run(*words, "-p", f"{made_on}..{base}", "--", path, lazy=True).stdout.decode("utf-8", "replace")
    entries = [entry.split("\x1f", 2) for entry in shown.split("\0")[1:]]
    found = []
    for commit, subject, diff in entries:
        hit, ranges = follow(ranges, moves(diff))
        if hit:
            found.append((commit, subject))
    # Without lines to follow (a new file, a binary) every commit that touched the path is a candidate.
    return found or [(commit, subject) for commit, subject, _ in entries]


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
