"""Where patches are imported to: a stack that is there, a new one on a base, or the folder of patches alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.series.patch import Patch
from patchctl.series.resolve import load_patches, patch_ids
from patchctl.store import DEMO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.author.draft import Draft
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.store import Store

LLAMA = "https://github.com/ggml-org/llama.cpp"


@dataclass(frozen=True)
class Target:
    """``stack`` is one that is there, ``new`` the path of one to make; with neither, patches alone are imported."""

    workspace: Workspace
    stack: StackFile | None = None
    new: Path | None = None

    def upstream(self, given: str | None) -> str:
        """Return the URL of upstream: the stack's, the given one, that of all stacks of the workspace, llama.cpp's.

        Raises PatchctlError (exit code 2) when they name several.
        """
        if self.stack is not None:
            return self.stack.stack.upstream.repo
        if given is not None:
            return given
        stacks = [self.workspace.load_stack(path) for path in self.workspace.stack_files()]
        urls = sorted({file.stack.upstream.repo for file in stacks} - {DEMO})
        if len(urls) > 1:
            raise PatchctlError(Code.USAGE, f"the stacks have several upstreams; say which with --upstream {urls[0]}")
        return urls[0] if urls else LLAMA

    def base(self, given: str | None) -> str | None:
        """Return the base of the stack, or the one given; raises PatchctlError (exit code 2) when they differ."""
        if self.stack is None:
            return given
        own = self.stack.stack.upstream.commit
        if given is not None and given != own:
            raise PatchctlError(Code.USAGE, f"wrong base: {self.stack.document.path} stands on {own}, not on {given}")
        return own

    @property
    def allow(self) -> list[str]:
        """Return the paths that the stack's policy means."""
        return list(self.stack.stack.policy.allow) if self.stack is not None else []

    @property
    def path(self) -> str | None:
        """Return the file of the stack from the workspace's folder on, or None."""
        file = self.stack.path if self.stack is not None else self.new
        return os.path.relpath(file, self.workspace.root) if file is not None else None

    def existing(self, store: Store, base: str) -> list[Patch]:
        """Return the patches of the stack, in order."""
        return load_patches(self.workspace, self.stack, store, base) if self.stack is not None else []


def find_target(workspace: Workspace, word: str | None, path: Path) -> Target:
    """Return what ``--stack`` means, ``path`` being its word as a path; raises PatchctlError (exit code 2)."""
    if word is None:
        return Target(workspace)
    known = {name: file for file in workspace.stack_files() for name in (file.name, file.stem)}
    file = path if path.is_file() else known.get(word)
    if file is not None:
        return Target(workspace, workspace.load_stack(file))
    new = path if path.suffix == ".yaml" else workspace.stacks_folder / f"{word}.yaml"
    if new.parent != workspace.stacks_folder:
        raise PatchctlError(Code.USAGE, f"{word} would not lie in {workspace.shown(workspace.stacks_folder)}")
    return Target(workspace, new=new)


def refuse_again(target: Target, store: Store, existing: Sequence[Patch], drafts: Sequence[Draft]) -> None:
    """Raise PatchctlError (exit code 2) when a patch is here already: the same change, pull request or commit."""
    if target.new is not None:
        return
    known = list(existing) if target.stack is not None else _all_revisions(target.workspace)
    by_id = {one: patch.id for one, patch in zip(patch_ids(store, known), known, strict=True) if one}
    mine = patch_ids(store, [Patch(draft.label, None, draft.label, draft.content) for draft in drafts])
    by_pr = _pull_requests(target.workspace)
    for draft, patch_id in zip(drafts, mine, strict=True):
        there = by_id.get(patch_id) or by_pr.get(draft.pr or "") or by_pr.get(draft.commit or "")
        if there is not None:
            more = f"; to move its pin: patchctl import --update {there} --head SHA" if draft.pr else ""
            message = f"{draft.label} ({draft.title}) is here already: {there}; nothing was written{more}"
            raise PatchctlError(Code.USAGE, message)


def _all_revisions(workspace: Workspace) -> list[Patch]:
    return [
        Patch(patch_id, path.name, workspace.shown(path), path.read_bytes())
        for patch_id in workspace.patch_ids()
        for path in workspace.revisions(patch_id)
    ]


def _pull_requests(workspace: Workspace) -> dict[str, str]:
    """Return the id of the patch for each pull request, and each commit taken by reference, that a page names."""
    found: dict[str, str] = {}
    for patch_id in workspace.patch_ids():
        page = workspace.load_page(patch_id).page
        if page.upstream is not None and page.upstream.pr and page.upstream.head:
            found.setdefault(page.upstream.pr, patch_id)
        if page.from_ is not None:
            found.setdefault(page.from_.commit, patch_id)
    return found
