"""Why a patch conflicts: the upstream commits since its revision's base that changed those lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.git import Repo
    from patchctl.series.patch import Patch
    from patchctl.store import Store

LIMIT = 20  # commits named for one path; more help nobody
PULL_REQUEST = re.compile(r"\((?:[\w.-]+/)?#?(\d+)\)\s*$")
# Escape sequences and control characters: subjects come from anyone who ever wrote to upstream.
CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Cause:
    """One upstream commit that changed what the patch changes: id, build number, subject, pull request or None."""

    commit: str
    build: int
    subject: str
    pr: int | None


def plain(text: str) -> str:
    """Return upstream's text without terminal escapes, and without the ``::`` that CI systems obey."""
    return CONTROL.sub("", text).replace("::", ": :")


def causes(store: Store, patch: Patch, base: str, paths: Sequence[str]) -> dict[str, list[Cause]]:
    """Return for each conflicting path the upstream commits that explain it, the first one first.

    Nothing where the revision's base is unknown, or is ``base`` itself: then the patches before it are the cause.
    """
    made_on = patch.revision.base_commit
    if made_on is None or made_on == base:
        return {path: [] for path in paths}
    key = digest("causes", 2, patch.sha256, base, list(paths))
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
    return [_cause(store, *entry) for entry in reversed(found[-LIMIT:])]


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
    within = f"{made_on}..{base}"
    whole = [entry for entry in repo.log("--no-renames", within, "--", path) if len(entry) == 2]
    ranges = _target_lines(repo, patch, made_on, base, path)
    found = {entry[0] for start, end in ranges for entry in repo.log(f"-L{start},{end}:{path}", within)}
    # Without lines to follow (the file is gone or moved) every commit that touched the path is a candidate.
    return [(commit, subject) for commit, subject in whole if commit in found or not found]


def _target_lines(repo: Repo, patch: Patch, made_on: str, base: str, path: str) -> list[tuple[int, int]]:
    """Return the line ranges (from 1, inclusive) of ``path`` at ``base`` that stand where the hunks' lines stood."""
    hunks = [hunk for change in patch.revision.changes if change.old_path == path for hunk in change.hunks]
    shown = repo.run("diff", "-U0", "--no-color", "--no-ext-diff", made_on, base, "--", path, accept=(0, 1, 128))
    moves = [tuple(int(n or 1) for n in found) for found in _MOVES.findall(shown.text())] if shown.status < 2 else []
    ranges = []
    for hunk in hunks:
        first, last = hunk.start + 1 + hunk.leading, hunk.start + len(hunk.old) - hunk.trailing
        touching = [move for move in moves if move[0] <= max(last, first) + 1 and move[0] + move[1] >= first - 1]
        if touching:
            starts = [move[2] for move in touching]
            ends = [move[2] + max(move[3], 1) - 1 for move in touching]
            ranges.append((max(min(starts), 1), max(ends)))
    return ranges


_MOVES = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
