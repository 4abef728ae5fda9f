"""Upstream's own line as data: the pull requests that subjects name, what was reverted, what each commit changed."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.store import Store

# llama.cpp squash-merges as "title (#N)"; changes synced from ggml end in "(ggml/N)". Numbers elsewhere name issues.
NUMBER = re.compile(r"\((?:(?P<other>[a-z.]+)/|#)(?P<number>[1-9]\d*)\)\s*$")
MERGE = re.compile(r"Merge pull request #(?P<number>[1-9]\d*) from ")
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
    def named(self) -> str:
        """Return how a person finds it: ``1867a0c69 in b9206``."""
        return f"{self.oid[:9]} in b{self.build}"

    @property
    def landed(self) -> tuple[str, int] | None:
        """Return what the subject says landed: the short name of a synced repository or "", and the number."""
        found = NUMBER.search(self.subject)
        if found is not None:
            return found["other"] or "", int(found["number"])
        merged = MERGE.match(self.subject)
        return ("", int(merged["number"])) if merged else None


class Changed(NamedTuple):
    """One path that a commit changed: blob ids before and after, empty where there is no file."""

    path: str
    old: str
    new: str


class History:
    """All commits that lead to one commit, oldest first; read when first asked, by one git process."""

    def __init__(self, store: Store, tip: str) -> None:
        self.store = store
        self.tip = tip
        self._since = 0
        self._changes: dict[str, list[Changed]] = {}

    @functools.cached_property
    def commits(self) -> list[Commit]:
        """Return the commits; one's build number is its place, from 1."""
        words = ("log", "--reverse", "--topo-order", "--no-show-signature", "--format=%H%x1f%s%x1f%b%x00")
        listed = self.store.repo.run(*words, self.tip).stdout.decode("utf-8", "replace")
        entries = [entry.lstrip("\n").split("\x1f", 2) for entry in listed.split("\0") if entry.strip()]
        return [
            Commit(oid, build, subject, tuple(REVERTS.findall(body)))
            for build, (oid, subject, body) in enumerate(entries, 1)
        ]

    @functools.cached_property
    def _by_oid(self) -> dict[str, Commit]:
        return {commit.oid: commit for commit in self.commits}

    @functools.cached_property
    def _by_landed(self) -> dict[tuple[str, int], list[Commit]]:
        found: dict[tuple[str, int], list[Commit]] = {}
        for commit in self.commits:
            if commit.landed is not None:
                found.setdefault(commit.landed, []).append(commit)
        return found

    @functools.cached_property
    def _reverted(self) -> dict[str, list[Commit]]:
        return self._follow_reverts()

    def get(self, oid: str) -> Commit | None:
        """Return a commit that leads to the tip, or None."""
        return self._by_oid.get(oid)

    def landings(self, number: int, other: str = "") -> list[Commit]:
        """Return the commits whose subject says that they landed a pull request, oldest first.

        ``other`` names the synced repository whose number it is. A commit that takes one of them back is none.
        """
        named = self._by_landed.get((other, number), [])
        ids = {commit.oid for commit in named}
        return [commit for commit in named if not ids.intersection(self._targets(commit))]

    def again(self, commit: Commit) -> list[Commit]:
        """Return the next commit of the same title after ``commit`` was taken back, as a list of it or of nothing."""
        undone = self.reverted_by(commit.oid)
        later = self.commits[undone.build :] if undone else []
        found = (other for other in later if _title(other.subject) == _title(commit.subject))
        return [other for other in found if self.reverted_by(other.oid) is None][:1]

    def reverted_by(self, oid: str) -> Commit | None:
        """Return the commit that took ``oid`` back, unless it was taken back itself; of several the first."""
        return next(iter(self._reverted.get(oid, ())), None)

    def changes(self, since: Commit) -> dict[str, list[Changed]]:
        """Return what each commit after ``since``, and maybe some before it, changed, merges left out.

        One process, and none when a commit before ``since`` was asked for already.
        """
        if not self._since or since.build < self._since:
            self._changes = self._read_changes(since.oid)
            self._since = since.build
        return self._changes

    def _read_changes(self, since: str) -> dict[str, list[Changed]]:
        words = ("log", "-z", "--reverse", "--topo-order", "--no-merges", "--raw", "--no-abbrev", "--no-renames")
        listed = self.store.repo.run(*words, "--format=%x01%H", f"{since}..{self.tip}").stdout
        text = listed.decode("utf-8", "surrogateescape")
        return {entry[:40]: list(_changed(entry[40:])) for entry in text.split("\x01")[1:]}

    def _follow_reverts(self) -> dict[str, list[Commit]]:
        """Return what is reverted at the tip: a revert of a revert brings the first commit back."""
        taken: dict[str, list[Commit]] = {}
        undone: dict[str, str] = {}
        for commit in self.commits:
            for oid in self._targets(commit):
                if oid in undone:
                    taken[undone[oid]] = [one for one in taken[undone[oid]] if one.oid != oid]
                else:
                    taken.setdefault(oid, []).append(commit)
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


def _title(subject: str) -> str:
    """Return a subject without the number it ends with."""
    return NUMBER.sub("", subject).strip().lower()


def _changed(listed: str) -> Iterator[Changed]:
    """Read ``:mode mode old new status NUL path NUL``, repeated."""
    fields = iter(listed.strip("\0\n").split("\0"))
    for head in filter(None, fields):  # a commit that changes nothing has one empty field
        _, _, old, new, _ = head.lstrip("\n").split(" ")
        yield Changed(next(fields), old.strip("0") and old, new.strip("0") and new)
