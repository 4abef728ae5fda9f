"""How a diff that does not say how it is meant fits a base: its paths, its line ends; and why one does not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from patchctl.author.intake import AS_WRITTEN
from patchctl.errors import InvalidError
from patchctl.git import MissingObjectError
from patchctl.series.patch import Patch
from patchctl.series.trees import FOLDER, Trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.author.draft import Draft
    from patchctl.manifest.revision import Change
    from patchctl.store import Store


class Fit:
    """Holds diffs against a base and the ``patches`` that come before them."""

    def __init__(self, store: Store, base: str, patches: Sequence[Patch]) -> None:
        self.store = store
        self.base = base
        self.patches = patches
        self.trees = Trees(store.repo)
        self.tree = store.tree_of(base)
        self.made = {change.path for patch in patches for change in _changes(patch)}
        self._bare: set[str] = set()

    def chosen(self, drafts: Sequence[Draft]) -> tuple[list[Draft], list[str]]:
        """Return the drafts, each read in the way that fits the base, and a note on each that is not read as usual."""
        if not any(draft.readings for draft in drafts):
            return list(drafts), []
        found: list[Draft] = []
        notes: list[str] = []
        for draft in drafts:
            how, content = self._reading(draft)
            found.append(replace(draft, content=content))
            notes += [f"{draft.label} ({draft.title}): read with {how}; only so it fits the base"] if how else []
            self._bare |= {draft.label} if any(how.startswith(AS_WRITTEN) for how, _ in draft.readings) else set()
            self.made |= {change.path for change in _changes(_patch(draft, content))}
        return found, notes

    def _reading(self, draft: Draft) -> tuple[str, bytes]:
        usual = ("", draft.content)
        fitting = (one for one in (usual, *draft.readings) if self._fits(_changes(_patch(draft, one[1])), one[0]))
        return next(fitting, usual)

    def _fits(self, changes: Sequence[Change], how: str) -> bool:
        """Return whether changes could apply: all their files (read as usual: some) are there, and lines end alike."""
        read = [change for change in changes if change.old_path]
        if not read:
            # New files alone tell by their folder that the first step of their paths is one of the tree.
            return how == AS_WRITTEN and all(self._is_folder(change.path.partition("/")[0]) for change in changes)
        are_there = [self._is_there(change.old_path or "") for change in read]
        return (all if how else any)(are_there) and not any(self.line_ends(change, self.tree) for change in read)

    def _is_folder(self, name: str) -> bool:
        entry = self.trees.entry(self.tree, name)
        return entry is not None and entry.mode == FOLDER

    def _is_there(self, path: str) -> bool:
        return path in self.made or self.trees.entry(self.tree, path) is not None

    def why(self, patch: Patch, path: str, tree: str) -> str:
        """Return why a patch conflicts at a path of a tree, as far as names and line ends tell; else nothing."""
        change = next((one for one in patch.revision.changes if one.old_path == path), None)
        if change is None:
            return ""
        if self.trees.entry(tree, path) is not None:
            return self.line_ends(change, tree)
        hint = "; the first step of its paths was taken off, as of a/ and b/" if patch.label in self._bare else ""
        return f"is not there{hint}"

    def line_ends(self, change: Change, tree: str) -> str:
        """Return in what the line ends of a change and of its file differ, and what to do; nothing when they do not."""
        old = [line for hunk in change.hunks for line in hunk.old if line.endswith(b"\n")]
        content = self._content(tree, change.old_path or "")
        if not old or not content:
            return ""
        if all(line.endswith(b"\r\n") for line in old) and b"\r\n" not in content:
            return "has lines that end in LF, the patch CRLF: take the CR out of the patch (dos2unix)"
        if not any(line.endswith(b"\r\n") for line in old) and content.count(b"\r\n") == content.count(b"\n"):
            return "has lines that end in CRLF, the patch LF: something on its way took the CR out; get it unchanged"
        return ""

    def _content(self, tree: str, path: str) -> bytes:
        entry = self.trees.entry(tree, path)
        if entry is None or not entry.mode.startswith("100"):
            return b""
        self.store.ensure_blobs([entry.oid])
        try:
            return self.trees.repo.read(entry.oid, "blob")
        except MissingObjectError:
            return b""


def _changes(patch: Patch) -> Sequence[Change]:
    """Return what a patch changes; one that cannot be read says so when it is applied."""
    try:
        return patch.revision.changes
    except InvalidError:
        return ()


def _patch(draft: Draft, content: bytes) -> Patch:
    return Patch(draft.label, None, draft.label, content)
