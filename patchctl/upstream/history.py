"""Upstream's own line as data: subjects with the pull requests they name, and what was reverted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchctl.store import Store

# llama.cpp squash-merges as "title (#N)"; changes synced from ggml end in "(ggml/N)". Numbers elsewhere name issues.
NUMBER = re.compile(r"\((?:(?P<other>[a-z.]+)/|#)(?P<number>[1-9]\d*)\)\s*$")
REVERTS = re.compile(r"This reverts commit ([0-9a-f]{7,40})")
REVERT_SUBJECT = re.compile(r'Revert "(?P<title>.*)"')


@dataclass(frozen=True)
class Commit:
    """One commit of upstream: id, build number, subject, the commit ids its message says it reverts."""

    oid: str
    build: int
    subject: str
    reverts: tuple[str, ...]

    @property
    def number(self) -> int | None:
        """Return the pull request of this repository that the subject ends with, or None."""
        found = NUMBER.search(self.subject)
        return int(found["number"]) if found and found["other"] in {None, "ggml"} else None


class History:
    """All commits that lead to one commit, oldest first; one git process, whatever is asked."""

    def __init__(self, store: Store, tip: str) -> None:
        self.tip = tip
        words = ("log", "--reverse", "--topo-order", "--no-show-signature", "--format=%H%x1f%s%x1f%b%x00")
        listed = store.repo.run(*words, tip).stdout.decode("utf-8", "replace")
        entries = [entry.lstrip("\n").split("\x1f", 2) for entry in listed.split("\0") if entry.strip()]
        self.commits = [
            Commit(oid, build, subject, tuple(REVERTS.findall(body)))
            for build, (oid, subject, body) in enumerate(entries, 1)
        ]
        self._by_oid = {commit.oid: commit for commit in self.commits}
        self._reverted = self._follow_reverts()

    def get(self, oid: str) -> Commit | None:
        """Return a commit that leads to the tip, or None."""
        return self._by_oid.get(oid)

    def landings(self, number: int) -> list[Commit]:
        """Return the commits whose subject says that they landed a pull request, oldest first."""
        return [commit for commit in self.commits if commit.number == number and not _is_revert(commit)]

    def reverted_by(self, oid: str) -> Commit | None:
        """Return the commit that took ``oid`` back, unless it was taken back itself."""
        return self._reverted.get(oid)

    def _follow_reverts(self) -> dict[str, Commit]:
        """Return what is reverted at the tip: a revert of a revert brings the first commit back."""
        taken: dict[str, Commit] = {}
        undone: dict[str, str] = {}
        for commit in self.commits:
            for oid in self._targets(commit):
                if oid in undone:
                    taken.pop(undone[oid], None)
                else:
                    taken[oid] = commit
                    undone[commit.oid] = oid
        return taken

    def _targets(self, commit: Commit) -> list[str]:
        named = [full for short in commit.reverts if (full := self._full(short))]
        if named:
            return named
        title = REVERT_SUBJECT.match(commit.subject)
        before = self.commits[: commit.build - 1] if title else []
        return [other.oid for other in reversed(before) if title and other.subject == title["title"]][:1]

    def _full(self, short: str) -> str | None:
        if len(short) == 40:
            return short if short in self._by_oid else None
        found = [oid for oid in self._by_oid if oid.startswith(short)]
        return found[0] if len(found) == 1 else None


def _is_revert(commit: Commit) -> bool:
    return bool(commit.reverts) or REVERT_SUBJECT.match(commit.subject) is not None
