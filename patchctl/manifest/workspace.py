"""A workspace: any folder with ``stacks/``; where its stacks, patches, pages and revisions are."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.document import Document, load, shown
from patchctl.errors import Code, PatchctlError, closest
from patchctl.manifest.outline import StackOutline, certain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.manifest.model import Stack
    from patchctl.manifest.page import PageFile

# The first revision for a base has no number; the second is ``-2``.
REVISION = re.compile(r"b(0|[1-9][0-9]*)(?:-([2-9]|[1-9][0-9]+))?\.patch")
LOCK = ".lock.yaml"


@dataclass(frozen=True)
class StackFile:
    """A valid stack as read: what judging its patches needs, and the document to place and edit it in."""

    path: Path
    outline: StackOutline
    document: Document

    @functools.cached_property
    def stack(self) -> Stack:
        """Return the whole stack; making it costs more time than judging a few patches."""
        from patchctl.manifest.model import Stack
        from patchctl.manifest.validate import validate

        return validate(self.document, Stack)

    def holding(self, stack: Stack) -> StackFile:
        """Return this file as if it held another stack, with the same base and patches."""
        other = replace(self)
        vars(other)["stack"] = stack
        return other


def revision_key(name: str) -> tuple[int, int] | None:
    """Return (build, number) of a revision's file name, or None when it is no such name."""
    found = REVISION.fullmatch(name)
    return (int(found[1]), int(found[2] or 1)) if found else None


@dataclass(frozen=True)
class Workspace:
    """The folder that holds ``stacks/``; nothing is read before it is asked for."""

    root: Path

    @property
    def stacks_folder(self) -> Path:
        """Return the folder of the stacks."""
        return self.root / "stacks"

    @property
    def patches_folder(self) -> Path:
        """Return the folder that holds one folder per patch."""
        return self.root / "patches"

    @property
    def out_folder(self) -> Path:
        """Return the folder that builds are installed into."""
        return self.root / "out"

    def shown(self, path: Path) -> str:
        """Return ``path`` as messages show it: relative to where the user stands, if it lies below."""
        return shown(path)

    def stack_files(self) -> list[Path]:
        """Return the paths of all stacks, sorted."""
        names = [name for name in _names(self.stacks_folder) if name.endswith(".yaml") and not name.startswith(".")]
        return [self.stacks_folder / name for name in sorted(names) if not name.endswith(LOCK)]

    def stack_path(self, word: str) -> Path:
        """Return the stack that ``word`` names: a path, or a name in ``stacks/`` with or without ``.yaml``.

        Raises PatchctlError (exit code 2) when there is none.
        """
        path = Path(word).absolute()
        if path.is_file():
            return path
        known = self.stack_files()
        for stack in known:
            if word in {stack.name, stack.stem}:
                return stack
        names = [stack.stem for stack in known]
        near = closest(Path(word).name.removesuffix(".yaml"), names)
        raise PatchctlError(Code.USAGE, f"there is no stack {word}{near or f'; there are: {_listed(names)}'}")

    def load_stack(self, path: Path) -> StackFile:
        """Return the stack at ``path``; raises InvalidError with every problem found."""
        document = load(path, self.shown(path))
        return StackFile(path, StackOutline.of(certain("stack", document)), document)

    def patch_ids(self) -> list[str]:
        """Return the names of all patch folders, sorted."""
        if not self.patches_folder.is_dir():
            return []
        with os.scandir(self.patches_folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())

    def patch_folder(self, patch_id: str) -> Path:
        """Return the folder of a patch; raises PatchctlError (exit code 3) when there is none."""
        folder = self.patches_folder / patch_id
        if not folder.is_dir():
            where = f"{self.shown(self.patches_folder)}{closest(patch_id, self.patch_ids())}"
            raise PatchctlError(Code.INVALID, f'there is no patch "{patch_id}" in {where}')
        return folder

    def load_page(self, patch_id: str) -> PageFile:
        """Return the page of a patch; raises PatchctlError (exit code 3) with every problem found."""
        from patchctl.manifest.page import load_page

        path = self.patch_folder(patch_id) / "README.md"
        return load_page(path, self.shown(path))

    def revisions(self, patch_id: str) -> list[Path]:
        """Return the revisions of a patch in order of (build, number); none when there is no such folder."""
        folder = self.patches_folder / patch_id
        found = [(key, name) for name in _names(folder) if (key := revision_key(name)) is not None]
        return [folder / name for _, name in sorted(found)]

    def pick_revision(self, patch_id: str, base_build: int, revisions: Sequence[Path] | None = None) -> Path:
        """Return the revision of a patch for a base: made for it, else the newest before, else the nearest after.

        Of several made for one build the highest number counts. ``revisions`` are those of the patch, where they are
        known. Raises PatchctlError (exit code 3) when there is none.
        """
        revisions = self.revisions(patch_id) if revisions is None else revisions
        if not revisions:
            folder = self.patch_folder(patch_id)
            message = f'patch "{patch_id}" has no revision: {self.shown(folder)} holds no b<build>.patch'
            raise PatchctlError(Code.INVALID, f"{message}; make one with patchctl import, or name a commit with from:")
        builds = [key[0] for path in revisions if (key := revision_key(path.name))]
        before = [build for build in builds if build <= base_build]
        wanted = max(before) if before else min(builds)
        return revisions[len(builds) - 1 - builds[::-1].index(wanted)]


def find_workspace(start: Path) -> Workspace:
    """Return the workspace that ``start`` lies in; raises PatchctlError (exit code 2) when it lies in none."""
    start = start.absolute()
    for folder in _upwards(start):
        if (folder / "stacks").is_dir():
            return Workspace(folder)
    message = f"no stacks/ in {start} or any folder above it; start a workspace with: patchctl init"
    raise PatchctlError(Code.USAGE, message)


def locate(word: str, start: Path) -> tuple[Workspace, Path]:
    """Return the stack that ``word`` names and its workspace: a stack named by path brings its own.

    Raises PatchctlError (exit code 2) when there is no such stack or no workspace.
    """
    path = start / word
    if path.is_file():
        return find_workspace(path.parent), path.absolute()
    workspace = find_workspace(start)
    return workspace, workspace.stack_path(word)


def _upwards(start: Path) -> Iterator[Path]:
    yield start
    yield from start.parents


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is needed, for thousands of folders
    except (FileNotFoundError, NotADirectoryError):
        return []


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
