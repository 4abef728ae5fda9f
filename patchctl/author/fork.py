"""A fork's branch as a stack: its own commits in order on the newest upstream it holds, upstream's left out.

The line of first parents is followed. Where the branch already stands on that newest upstream, each commit is taken
as it is, and a merge is the commits it brought, then what the merge resolved itself, as one patch: so the tree is the
branch's own again after each of them. Commits from before the branch took that upstream in are moved onto it; where
they conflict they keep their own lines, and the merge that took upstream in tells in its patch how it resolved them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.author.commits import Told, read_commit, tree_before, write_commit
from patchctl.author.upstream import bring_changes, is_file, lacking
from patchctl.errors import Code, PatchctlError
from patchctl.git import GitError, run_git
from patchctl.series.revise import export_line
from patchctl.series.trees import FOLDER, Entry, Trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchctl.store import Store

NOBODY = ("patchctl <patchctl@localhost>", "0 +0000")


@dataclass(frozen=True)
class Taken:
    """One patch of a fork: its subject, the commit it came from, whether it is what a merge resolved itself."""

    title: str
    source: str
    resolution: bool
    adapted: bool


@dataclass
class Line:
    """The patches of a fork as commits in one line: the last of them, its tree, and what was left out and why."""

    head: str
    tree: str
    taken: list[Taken] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Weaver:
    """Makes the line for a branch with the tip ``tip`` that holds upstream up to ``base``.

    ``stores`` are asked for files, the fork's first.
    """

    def __init__(self, stores: Sequence[Store], base: str, tip: str) -> None:
        self.stores = stores
        self.repo = stores[0].repo
        self.trees = Trees(self.repo)
        self.base = base
        self.tip = tip
        self.line = Line(base, self.repo.tree_of(base))
        self.lacking: list[str] = []
        self._clean = True

    def weave(self) -> Line:
        """Return the line, whose tree is the branch's.

        Raises PatchctlError with exit code 4 when it is not, 9 when files that are needed cannot be had.
        """
        self.lacking = bring_changes(self.stores, self.tip, self.base)
        chain = self._listed("--first-parent", self.tip, f"^{self.base}")
        # From the first commit on that holds the base, the branch's own trees are what the patches must give.
        holding = set(self._listed("--ancestry-path", self.tip, f"^{self.base}"))
        for at, commit in enumerate(chain, 1):
            self.stores[0].progress(f"commit {at} of {len(chain)}")
            self._take(commit, exact=commit in holding)
        if self.line.tree != self.repo.tree_of(self.tip):
            message = f"the patches of {self.tip[:9]} give another tree than the branch; nothing was written"
            raise PatchctlError(Code.CONFLICT, message)
        return self.line

    def mails(self) -> list[bytes]:
        """Return the patches as mails without trailers; raises PatchctlError (exit code 9) for missing files."""
        try:
            return export_line(self.stores[0], self.base, self.line.head)
        except GitError as error:
            if not self.lacking:
                raise
            raise lacking("the branch", self.lacking) from error

    def _listed(self, *words: str) -> list[str]:
        return self.repo.run("rev-list", "--reverse", "--topo-order", *words).text().split()

    def _take(self, commit: str, *, exact: bool) -> None:
        told = read_commit(self.repo, commit)
        if len(told.parents) < 2:
            self._pick(commit, told)
            return
        brought = self._listed("--no-merges", commit, f"^{told.parents[0]}", f"^{self.base}")
        for other in brought:
            self._pick(other, read_commit(self.repo, other))
        if exact and self.line.tree != told.tree:
            self._resolution(commit, told)

    def _resolution(self, commit: str, told: Told) -> None:
        self._bring_difference(self.line.tree, told.tree)
        subject = f"{told.subject}: what the merge itself resolved"
        message = f"{subject}\n\n{told.body}".rstrip("\n")
        self._add(replace(told, message=message), Taken(subject, commit, resolution=True, adapted=False))

    def _pick(self, commit: str, told: Told) -> None:
        before = tree_before(self.repo, told)
        tree, own = (told.tree, True) if before == self.line.tree else self._moved(before, told.tree)
        if tree == self.line.tree:
            why = "changes nothing" if before == told.tree else "brings nothing to the newer upstream"
            self.line.notes.append(f"{commit[:9]} ({told.subject}) {why}; left out")
            return
        self._add(replace(told, tree=tree), Taken(told.subject, commit, resolution=False, adapted=not own))

    def _add(self, told: Told, taken: Taken) -> None:
        self.line.head = write_commit(self.repo, replace(told, parents=(self.line.head,)))
        self.line.tree = told.tree
        self.line.taken.append(taken)

    # --- moving one change onto another tree ----------------------------------------------------------------------

    def _moved(self, before: str, after: str) -> tuple[str, bool]:
        """Return the line's tree with the change made, and whether nothing of it had to give way."""
        changed = self._bring_difference(before, after)
        entries = (self.trees.entry(self.line.tree, path) for path in changed)
        self._bring(entry.oid for entry in entries if entry and is_file(entry.mode, entry.oid))
        # Only a file that is gone here may have moved; to look for it git needs files that not every copy has.
        gone = [path for path in changed if self._is_gone(path, before)]
        merged = self._merged(before, after) if gone else None
        if merged is not None:
            return merged, True
        self._clean = not gone
        edits = {path: self._favoured(path, before, after) for path in changed}
        return self.trees.edit(self._cleared(edits), edits), self._clean

    def _is_gone(self, path: str, before: str) -> bool:
        return self._file(before, path) is not None and self._file(self.line.tree, path) is None

    def _file(self, tree: str, path: str) -> Entry | None:
        entry = self.trees.entry(tree, path)
        return entry if entry and entry.mode != FOLDER else None

    def _merged(self, before: str, after: str) -> str | None:
        """Return the tree that git's merge gives, which follows renames, or None where it conflicts or cannot be."""
        root = self._synthetic(before)
        for store in self.stores:
            try:
                merged = store.repo.merge(self._synthetic(self.line.tree, root), self._synthetic(after, root))
            except GitError:
                continue  # this copy lacks files that git compares
            return None if merged.conflicts else merged.tree
        return None

    def _cleared(self, edits: dict[str, Entry | None]) -> str:
        """Return the line's tree without what is in the way of new files: a file for a folder, a folder for a file."""
        blocked: dict[str, Entry | None] = {}
        for path, entry in edits.items():
            steps = path.split("/") if entry else []
            above = ["/".join(steps[:length]) for length in range(1, len(steps))]
            blocked |= {folder: None for folder in above if self._file(self.line.tree, folder)}
            here = self.trees.entry(self.line.tree, path)
            if entry and here and here.mode == FOLDER:
                blocked[path] = None
        return self.trees.edit(self.line.tree, blocked) if blocked else self.line.tree

    def _favoured(self, path: str, before: str, after: str) -> Entry | None:
        """Return what stands at ``path`` when the change is made and its own lines win where both changed."""
        old, new, here = (self._file(tree, path) for tree in (before, after, self.line.tree))
        if here in {old, new}:
            return new
        if old is None or new is None or here is None or not self._are_text(old, new, here):
            self._clean = False
            return new
        return Entry(new.mode, self._merged_file(old.oid, new.oid, here.oid))

    @staticmethod
    def _are_text(*entries: Entry) -> bool:
        return all(is_file(entry.mode, entry.oid) and entry.mode != "120000" for entry in entries)

    def _merged_file(self, old: str, new: str, here: str) -> str:
        with tempfile.TemporaryDirectory(prefix="patchctl-merge-") as folder:
            files = [Path(folder) / name for name in ("here", "old", "new")]
            for file, oid in zip(files, (here, old, new), strict=True):
                file.write_bytes(self.repo.read(oid, "blob"))
            words = ("merge-file", "-p", "-q")
            done = run_git(*words, *map(str, files), accept=range(256))
            if done.status:
                self._clean = False
                done = run_git(*words, "--theirs", *map(str, files), accept=range(256))
        # 255: git calls it binary, and such files are whole or not at all.
        return self.repo.write("blob", done.stdout) if done.status < 128 else new

    def _synthetic(self, tree: str, *parents: str) -> str:
        return write_commit(self.repo, Told(tree, parents, *NOBODY, "synthetic"))

    def _bring_difference(self, before: str, after: str) -> list[str]:
        """Bring the files that differ between two trees and return their paths."""
        raw = self.repo.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", before, after).fields()
        rows = [row.lstrip(":").split() for row in raw[::2]]
        self._bring(oid for row in rows for mode, oid in (row[0:3:2], row[1:4:2]) if is_file(mode, oid))
        return raw[1::2]

    def _bring(self, oids: Iterable[str]) -> None:
        """Bring files; one that no copy has stops nothing yet, its content may not be needed."""
        missing = list(oids)
        for store in self.stores:
            missing = store.ensure_blobs(missing)
