"""What decides how a patch applies to a tree: the files that stand at its paths, and only sometimes more.

A three-way merge of one patch reads the files the patch names. It looks further where a file that the patch changes is
gone (it may have been renamed), a folder that it puts a file into is gone (all of it may have moved), a file that it
makes is there already (another may have become it), or files and folders stand in each other's place: then the whole
tree decides. A patch that leaves a folder empty moves what upstream puts there, so it always reads the whole tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.ledger import digest
from patchctl.series.trees import FOLDER, Trees
from patchctl.upstream.line import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from patchctl.git import Repo
    from patchctl.manifest.revision import Revision
    from patchctl.series.trees import Entry
    from patchctl.upstream.line import State

Overlay = dict[str, "Entry | None"]  # what patches made of some paths, None where they removed the file


@dataclass(frozen=True)
class Needs:
    """The paths that a patch reads (``reads``) and makes (``makes``), the folders above those, and whether it always
    reads the whole tree; ``known`` are the folders that the tree it was made on had.
    """

    reads: frozenset[str]
    makes: frozenset[str]
    folders: frozenset[str]
    known: frozenset[str]
    whole: bool

    def met(self, state: State, overlay: Mapping[str, Entry | None], tree: str) -> tuple[str, bool]:
        """Return a key of all that decides how the patch applies to ``tree`` with ``overlay`` laid over it.

        ``state`` is what ``tree`` holds at the paths and at the folders above them. Also returns whether the whole
        tree is part of the key.
        """
        paths = sorted(self.reads | self.makes)
        files = {path: overlay[path] if path in overlay else state.get(path) for path in paths}
        folders = {folder: _folder(folder, state, overlay) for folder in sorted(self.folders)}
        if self.whole or self._looks_further(files, folders):
            return digest("whole", tree, sorted(overlay.items())), True
        return digest("files", files, folders), False

    def _looks_further(self, files: State, folders: Mapping[str, str]) -> bool:
        gone = any(files[path] is None for path in self.reads)
        there = any(files[path] is not None for path in self.makes)
        folder = any(entry is not None and entry.mode == FOLDER for entry in files.values())
        moved = any(kind == "none" and name in self.known for name, kind in folders.items())
        return gone or there or folder or moved or not {"file", "unsure"}.isdisjoint(folders.values())


def _folder(folder: str, state: State, overlay: Mapping[str, Entry | None]) -> str:
    """Return what stands where a folder is expected; ``unsure`` where patches took files out of it."""
    below = [entry for path, entry in overlay.items() if path.startswith(f"{folder}/")]
    if any(entry is not None for entry in below):
        return "folder"
    if below or folder in overlay:
        return "unsure"
    entry = state.get(folder)
    return "none" if entry is None else "folder" if entry == HERE else "file"


def needs_of(repo: Repo, revision: Revision, base_tree: str | None) -> Needs:
    """Return what a patch needs; ``base_tree`` is the tree of the base it was made on, None where that is unknown."""
    trees = Trees(repo)
    reads = {change.old_path for change in revision.changes if change.old_path}
    makes = {change.new_path for change in revision.changes if change.new_path} - reads
    folders = {folder for path in makes for folder in _above(path)}
    known = {folder for folder in folders if base_tree and trees.entry(base_tree, folder) is not None}
    stays = {change.new_path for change in revision.changes if change.new_path}
    stays |= {change.old_path for change in revision.changes if change.is_copy and change.old_path}
    emptied = any(_empties(trees, base_tree, path, reads - stays, stays) for path in reads - stays)
    return Needs(frozenset(reads), frozenset(makes), frozenset(folders), frozenset(known), emptied)


def _empties(trees: Trees, tree: str | None, path: str, gone: set[str], stays: set[str]) -> bool:
    """Return whether a folder above ``path`` holds nothing any more once the paths ``gone`` are."""
    for folder in _above(path):
        if any(other.startswith(f"{folder}/") for other in stays):
            continue
        entry = trees.entry(tree, folder) if tree else None
        if entry is None or all(file in gone for file in _files(trees, entry.oid, folder)):
            return True
    return False


def _files(trees: Trees, tree: str, folder: str) -> Iterator[str]:
    for name, entry in trees.entries(tree).items():
        path = f"{folder}/{name}"
        if entry.mode == FOLDER:
            yield from _files(trees, entry.oid, path)
        else:
            yield path


def _above(path: str) -> list[str]:
    """Return the folders that a path lies in, the innermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
