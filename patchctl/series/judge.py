"""Judge one patch against one tree, in memory: does it apply, and how.

When every file the patch reads is the very file it was made on, it is applied directly. Otherwise it is merged: a
synthetic commit of the patch, whose only parent is the tree the patch was made on, with the target. A direct apply
alone would duplicate what upstream already has, and ``git apply --3way`` calls upstream renames and absorbed
deletions failures.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.errors import InvalidError, Problem
from patchctl.git import MissingObjectError
from patchctl.series.apply import Applied, apply_binary, apply_hunks, blob_id
from patchctl.series.trees import EMPTY_TREE, FOLDER, Entry, PathClashError, Trees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from patchctl.git import Repo
    from patchctl.manifest.revision import Change, Revision
    from patchctl.series.patch import Patch

EMPTY_BLOB = blob_id(b"")
PLAIN, GITLINK = "100644", "160000"


class Outcome(str, enum.Enum):
    """How applying one patch ended."""

    CLEAN = "clean"
    OFFSET = "offset"
    THREE_WAY = "3way"
    ABSORBED = "absorbed"
    CONFLICT = "conflict"
    BLOCKED = "blocked"

    @property
    def applied(self) -> bool:
        """Return whether the patch is in the resulting tree through us."""
        return self in {Outcome.CLEAN, Outcome.OFFSET, Outcome.THREE_WAY}

    @property
    def failed(self) -> bool:
        """Return whether the patch is missing from the resulting tree."""
        return self in {Outcome.CONFLICT, Outcome.BLOCKED}


@dataclass(frozen=True)
class Judged:
    """The outcome, the tree after it (unchanged when the patch brings nothing), conflicting paths, one detail.

    ``blind``: the files the patch was made on could not be had, so nothing was merged.
    """

    outcome: Outcome
    tree: str
    conflicts: tuple[str, ...] = ()
    detail: str = ""
    blind: bool = False


class _NotDirectError(Exception):
    """The patch does not stand on the very files it was made on."""


class _NoPreimageError(Exception):
    """A file the patch was made on cannot be had."""


class Judge:
    """Judges patches on one repository. ``bring(patch)`` is asked once for objects a patch was made on."""

    def __init__(self, repo: Repo, bring: Callable[[Patch], None]) -> None:
        self.repo = repo
        self.trees = Trees(repo)
        self._bring = bring

    def judge(self, patch: Patch, target: str) -> Judged:
        """Return how ``patch`` applies to the tree ``target``.

        Raises InvalidError when the revision contradicts itself (its hunks are not the change its ids name).
        """
        try:
            tree = self._direct(patch, target)
        except (_NotDirectError, _NoPreimageError, PathClashError):
            return self._judge_merge(patch, target)
        # A patch whose every change is there already is absorbed, also where nothing had to be merged to see it.
        return Judged(Outcome.CLEAN if tree != target else Outcome.ABSORBED, tree)

    # --- the very files -------------------------------------------------------------------------------------------

    def _direct(self, patch: Patch, target: str) -> str:
        for change in patch.revision.changes:
            self._require_same(patch.revision, change, target)
        return self._after(patch, target, target)

    def _require_same(self, revision: Revision, change: Change, target: str) -> None:
        old = self.trees.entry(target, change.old_path) if change.old_path else None
        if change.old_path and not _is_preimage(change, old):
            raise _NotDirectError
        created = change.new_path if change.new_path != change.old_path else None
        gone = {other.old_path for other in revision.changes if other.new_path != other.old_path and not other.is_copy}
        if created and created not in gone and self.trees.entry(target, created) is not None:
            raise _NotDirectError

    def _after(self, patch: Patch, preimage: str, target: str) -> str:
        """Return ``target`` with the patch's results, computed from the files in ``preimage``."""
        edits: dict[str, Entry | None] = {}
        for change in patch.revision.changes:
            if change.old_path and change.old_path != change.new_path and not change.is_copy:
                edits.setdefault(change.old_path, None)
        for change in patch.revision.changes:
            if change.new_path:
                edits[change.new_path] = self._result(patch, change, preimage)
        return self.trees.edit(target, edits)

    def _result(self, patch: Patch, change: Change, preimage: str) -> Entry:
        old = self.trees.entry(preimage, change.old_path) if change.old_path else None
        mode = change.new_mode or (old.mode if old else PLAIN)
        if mode == GITLINK:
            return Entry(mode, change.new_oid)  # a commit elsewhere: there is nothing to read or write
        if not change.hunks and change.binary is None:
            return Entry(mode, old.oid if old else self.repo.write("blob", b""))
        before = self.repo.read(old.oid, "blob") if old else b""
        after = apply_binary(before, change.binary) if change.binary else _content(apply_hunks(before, change.hunks))
        full = len(change.new_oid) == 40
        if after is None and change.old_path and len(change.old_oid) < 40:
            raise _NoPreimageError  # an abbreviated id may name another file
        if after is None or (full and blob_id(after) != change.new_oid):
            why = f"the change of {change.path} is not the one its index line names; the file was edited or damaged"
            raise InvalidError([Problem(patch.label, change.line, 1, why)])
        return Entry(mode, self.repo.write("blob", after))

    # --- the merge ------------------------------------------------------------------------------------------------

    def _judge_merge(self, patch: Patch, target: str) -> Judged:
        try:
            preimage, postimage = self._images(patch, target)
        except _NoPreimageError:
            return replace(self.without_preimage(patch, target), blind=True)
        except PathClashError:
            # The patch contradicts itself: it makes a file below a path where it says that a file is.
            return Judged(Outcome.CONFLICT, target, tuple(sorted({change.path for change in patch.revision.changes})))
        return self._merge(patch, preimage, postimage, target)

    def _images(self, patch: Patch, target: str) -> tuple[str, str]:
        """Return the tree a patch was made on and the one it made of it, after asking once for what is missing."""
        try:
            preimage = self._preimage(patch, target)
        except _NoPreimageError:
            self._bring(patch)
            preimage = self._preimage(patch, target)
        return preimage, self._after(patch, preimage, preimage)

    def _merge(self, patch: Patch, preimage: str, postimage: str, target: str) -> Judged:
        root = self._synthetic(preimage)
        merged = self.repo.merge(self._synthetic(target, root), self._synthetic(postimage, root))
        if merged.conflicts:
            return Judged(Outcome.CONFLICT, target, merged.conflicts)
        if merged.tree == target:
            return Judged(Outcome.ABSORBED, target)
        found = self._searched(patch.revision, target)
        if found is not None and found[0] == merged.tree:
            return Judged(Outcome.OFFSET, merged.tree, detail=found[1])
        return Judged(Outcome.THREE_WAY, merged.tree)

    def preimage_and_postimage(self, patch: Patch, target: str) -> tuple[str, str] | None:
        """Return commits of the patch's old tree and of its new one on top of it, or None when they cannot be had."""
        try:
            preimage = self._preimage(patch, target)
        except _NoPreimageError:
            return None
        root = self._synthetic(preimage)
        return root, self._synthetic(self._after(patch, preimage, preimage), root)

    def _preimage(self, patch: Patch, target: str) -> str:
        """Return the tree the patch was made on: its base with the files its index lines name."""
        base = self._base_tree(patch.revision) or target
        edits: dict[str, Entry | None] = {}
        for change in patch.revision.changes:
            if change.new_path and change.new_path != change.old_path:
                edits.setdefault(change.new_path, None)
        for change in patch.revision.changes:
            if change.old_path:
                edits[change.old_path] = self._old_entry(change, base, target)
        try:
            return self.trees.edit(base, edits)
        except PathClashError:
            # The base is not the one the patch was made on; its own files alone make a tree to merge from.
            return self.trees.edit(EMPTY_TREE, edits)

    def _base_tree(self, revision: Revision) -> str | None:
        if revision.base_commit is None:
            return None
        try:
            return self.repo.tree_of(revision.base_commit)
        except MissingObjectError:
            return None

    def _old_entry(self, change: Change, base: str, target: str) -> Entry:
        if not change.old_oid and (change.hunks or change.binary):
            raise _NoPreimageError
        nearby = [self.trees.entry(tree, change.old_path or "") for tree in (base, target)]
        here = next((entry for entry in nearby if entry and entry.oid.startswith(change.old_oid)), None)
        mode = change.old_mode or next((entry.mode for entry in nearby if entry), PLAIN)
        if not change.hunks and change.binary is None and change.new_path is not None and not change.old_oid:
            if here is None:
                raise _NoPreimageError
            return Entry(mode, here.oid)
        oid = here.oid if here else change.old_oid
        if mode == GITLINK and oid:
            return Entry(mode, oid)
        if len(oid) < 40:
            oid = self.repo.resolve(oid, "blob") or "" if len(oid) >= 7 else ""
        if not oid or not self._readable(oid):
            raise _NoPreimageError
        return Entry(mode, oid)

    def _readable(self, oid: str) -> bool:
        try:
            self.repo.read(oid, "blob")
        except MissingObjectError:
            return False
        return True

    def _synthetic(self, tree: str, *parents: str) -> str:
        who = "patchctl <patchctl@localhost> 0 +0000"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
        return self.repo.write("commit", ("\n".join(lines) + "\n\nsynthetic\n").encode())

    # --- direct apply with a search -------------------------------------------------------------------------------

    def _searched(self, revision: Revision, target: str, *, reverse: bool = False) -> tuple[str, str] | None:
        """Return the tree and a detail of a direct apply that looks for each hunk, or None where one has no place."""
        edits: dict[str, Entry | None] = {}
        offsets: list[int] = []
        for change in map(_reversed, revision.changes) if reverse else revision.changes:
            old = self.trees.entry(target, change.old_path) if change.old_path else None
            if (change.old_path and old is None) or (change.old_path is None and self._exists(target, change)):
                return None
            if change.old_path and change.old_path != change.new_path and not change.is_copy:
                edits.setdefault(change.old_path, None)
            content = self._searched_content(change, old)
            if content is None:
                return None
            offsets += content.offsets
            if change.new_path:
                mode = change.new_mode or (old.mode if old else PLAIN)
                edits[change.new_path] = Entry(mode, self.repo.write("blob", content.content))
        try:
            return self.trees.edit(target, edits), _describe(offsets)
        except PathClashError:
            return None

    def reverses(self, patch: Patch, target: str) -> bool:
        """Return whether a direct apply takes a patch out of the tree ``target``; no binary change can be taken out.

        No sign of its own that the patch is there: it has been seen to succeed on what a patch was made on.
        """
        if any(change.binary for change in patch.revision.changes):
            return False
        return self._searched(patch.revision, target, reverse=True) is not None

    def _exists(self, target: str, change: Change) -> bool:
        return change.new_path is not None and self.trees.entry(target, change.new_path) is not None

    def _searched_content(self, change: Change, old: Entry | None) -> Applied | None:
        if old is not None and old.mode == FOLDER:
            return None
        try:
            before = self.repo.read(old.oid, "blob") if old else b""
        except MissingObjectError:
            return None
        if change.binary is None:
            return apply_hunks(before, change.hunks, search=True)
        after = apply_binary(before, change.binary)
        return None if after is None else Applied(after, ())

    def without_preimage(self, patch: Patch, target: str) -> Judged:
        """Judge by direct apply alone; what applies both ways stands there already and would be doubled."""
        forward = self._searched(patch.revision, target)
        backward = self._searched(patch.revision, target, reverse=True)
        paths = tuple(sorted({change.path for change in patch.revision.changes}))
        if forward is None:
            return Judged(Outcome.ABSORBED, target) if backward else Judged(Outcome.CONFLICT, target, paths)
        if backward is not None:
            return Judged(Outcome.CONFLICT, target, paths, "stands there already and would apply a second time")
        return Judged(Outcome.OFFSET, forward[0], detail=forward[1])


def _content(applied: Applied | None) -> bytes | None:
    return applied.content if applied else None


def _is_preimage(change: Change, old: Entry | None) -> bool:
    """Return whether ``old`` is the file the change was made on, content and mode."""
    if old is None or (change.old_mode and old.mode != change.old_mode):
        return False
    if change.old_oid:
        return old.oid.startswith(change.old_oid)
    # No ids: nothing but a rename or a mode change, which needs no content; hunks without ids need a merge.
    return not change.hunks and change.binary is None


def _reversed(change: Change) -> Change:
    hunks = tuple(replace(hunk, old=hunk.new, new=hunk.old) for hunk in change.hunks)
    return replace(
        change, old_path=change.new_path, new_path=change.old_path, old_mode=change.new_mode, new_mode=change.old_mode,
        old_oid=change.new_oid, new_oid=change.old_oid, hunks=hunks,
    )  # fmt: skip


def _describe(offsets: Sequence[int]) -> str:
    moved = [abs(offset) for offset in offsets if offset]
    hunks = f"{len(moved)} hunk{'s' if len(moved) != 1 else ''}"
    return (
        f"{hunks}, up to {max(moved)} line{'s' if max(moved) != 1 else ''}" if moved else "the file changed elsewhere"
    )


def touched(patches: Sequence[Patch]) -> Iterator[str]:
    """Return every path the patches read or write, each once, sorted."""
    yield from sorted({path for patch in patches for path in patch.revision.paths})
