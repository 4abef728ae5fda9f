"""Change one patch in the middle of its stack, or start a new one there: a session that stops at that patch.

What a person leaves in the worktree becomes the patch; those after it are applied again on top of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from patchctl.author.commits import told_by, write_commit
from patchctl.author.draft import Draft
from patchctl.errors import Code, PatchctlError, closest
from patchctl.series.judge import Judge, Outcome
from patchctl.series.patch import Patch
from patchctl.series.policy import refusals
from patchctl.series.revise import export
from patchctl.series.session import Progress, Session, Stop, read_progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.sequence import Series, Step
    from patchctl.series.worktree import Worktree

ORIGIN = "Written for this stack; not sent upstream yet."


class Edit(Session):
    """One patch of one stack being changed in one worktree."""

    command = "edit"

    def __init__(self, worktree: Worktree, series: Series, stack: StackFile, edited: str) -> None:
        super().__init__(worktree, series, stack.stack.release, edited)
        self.stack = stack
        self.emptied: list[str] = []  # later patches whose change is now in one below
        self._paths: dict[str, frozenset[str]] = {}

    # --- begin ----------------------------------------------------------------------------------------------------

    def open(self, base: str, steps: Sequence[Step]) -> list[str]:
        """Make the worktree with the stack up to the patch, its change on top; returns the paths left out.

        Raises PatchctlError: exit code 2 when there is no such patch or nothing of it to edit, 4 when a patch below
        does not apply, 9 when the worktree holds what a person did.
        """
        ids = list(self.patches)
        if self.edited not in ids:
            why = f"the stack has no patch {self.edited!r}{closest(self.edited, ids)}"
            raise PatchctlError(Code.USAGE, f"{why}; start a new one with --new {self.edited}")
        at = ids.index(self.edited)
        self._require_below(ids[: at + 1], steps)
        self._require_own(self.patches[self.edited], steps[at])
        shas = tuple(patch.sha256 for patch in self.series.stack)
        below = steps[at - 1].commit if at else base
        return self._start(Progress(base, tuple(ids), shas, at, below, edited=self.edited), steps[at].commit)

    def open_new(self, base: str, steps: Sequence[Step], after: str | None) -> list[str]:
        """Make the worktree for a new patch, with the stack up to ``after`` (by default all of it).

        Raises PatchctlError as ``open`` does, and with exit code 2 for an id that cannot be given to a new patch.
        """
        ids = list(self.patches)
        if after is not None and after not in ids:
            raise PatchctlError(Code.USAGE, f"the stack has no patch {after!r}{closest(after, ids)}")
        at = ids.index(after) + 1 if after else len(ids)
        self._require_below(ids[:at], steps)
        self._inserted(at)
        shas = [patch.sha256 for patch in self.series.stack]
        below = steps[at - 1].commit if at else base
        patches, shas = [*ids[:at], self.edited, *ids[at:]], [*shas[:at], "", *shas[at:]]
        return self._start(Progress(base, tuple(patches), tuple(shas), at, below, edited=self.edited), below)

    def _start(self, progress: Progress, commit: str) -> list[str]:
        self._require_free()
        return self.worktree.create(commit, self.branch, replace(progress, stopped=self.edited).encode())

    def _require_below(self, ids: Sequence[str], steps: Sequence[Step]) -> None:
        failed = [patch_id for patch_id, step in zip(ids, steps, strict=False) if step.outcome.failed]
        if failed:
            why = f"{', '.join(failed)} {'do' if len(failed) > 1 else 'does'} not apply"
            raise PatchctlError(Code.CONFLICT, f"{why}; solve that first: patchctl apply {self.stack.path.name}")

    def _require_own(self, patch: Patch, step: Step) -> None:
        if patch.file is None:
            why = f"{patch.label} is upstream's own commit, taken by reference"
            raise PatchctlError(Code.USAGE, f"{why}; to change it, import that commit under an id of its own")
        if not step.outcome.applied:
            raise PatchctlError(Code.USAGE, f"{patch.id} brings nothing on this base: upstream has it; nothing to edit")

    # --- the patch at hand ----------------------------------------------------------------------------------------

    def _take_over(self, progress: Progress, patch_id: str) -> Progress:
        if patch_id != self.edited:
            after = super()._take_over(progress, patch_id)
            if after.head == progress.head:
                self.emptied.append(patch_id)
            return after
        made = self.worktree.first_after(progress.head)
        tree = self.worktree.hand_over(self.worktree.solved_tree(progress.head, take_new=True), progress.head)
        if tree == self.store.repo.tree_of(progress.head):
            raise PatchctlError(Code.INVALID, f"nothing is left of {patch_id}; change something, or end with --abort")
        patch = self._authored(tree, progress, made)
        commit = self.series.commit(patch, tree, progress.head, progress.base)
        if commit == self._before(progress):
            return self._advance(progress, commit)
        return self._advance(replace(progress, solved={**progress.solved, patch_id: commit}), commit)

    def _authored(self, tree: str, progress: Progress, made: bytes | None) -> Patch:
        """Return the patch as the revision to be written says it: whose it is and what it says come from ``made``."""
        if made is None and self.edited not in self.patches:
            why = f"{self.edited} has no message yet; commit what you did with git, its message becomes the patch's"
            raise PatchctlError(Code.USAGE, f"{why} ({self.worktree.folder})")
        if made is None:
            # Its own commit was undone with git; who wrote it and why stay.
            made = self.store.repo.read(
                self.series.commit(self.patches[self.edited], tree, progress.head, progress.base), "commit"
            )
        commit = write_commit(self.store.repo, replace(told_by(made), tree=tree, parents=(progress.head,)))
        patch = Patch(self.edited, "", self.edited, export(self.store, commit, progress.base, []))
        refused = refusals(patch.id, patch.revision, self.series.allow)
        if refused:
            named = "".join(f"\n  {refusal}" for refusal in refused)
            raise PatchctlError(Code.POLICY, f"the tree policy refuses{named}")
        return patch

    def _before(self, progress: Progress) -> str | None:
        """Return the commit that the patch was before the edit, None for a new one."""
        patch = self.patches.get(self.edited)
        return self.series.on_top(patch, progress.head, progress.base).commit if patch else None

    def skip(self) -> Stop | None:
        """Leave a later patch as it is; raises PatchctlError (exit code 2) for the one this edit is about."""
        progress = self._open()
        if progress.stopped == self.edited:
            raise PatchctlError(Code.USAGE, f"{self.edited} is what this edit is about; end it with --abort")
        return super().skip()

    # --- those after it -------------------------------------------------------------------------------------------

    def _applied(self, progress: Progress, patch: Patch, step: Step) -> Progress:
        """Keep a patch that applied by a merge with files that only the old stack could make: nobody else has them."""
        if step.outcome is Outcome.ABSORBED:
            self.emptied.append(patch.id)
        if patch.file is None or not step.outcome.applied or step.outcome is Outcome.CLEAN:
            return progress
        changed = frozenset[str]().union(*(self._changed(patch_id, progress) for patch_id in progress.solved))
        if not changed.intersection(patch.revision.paths) or self._stands_alone(patch, progress, step):
            return progress
        return replace(progress, solved={**progress.solved, patch.id: step.commit})

    def _changed(self, patch_id: str, progress: Progress) -> frozenset[str]:
        """Return the paths that a patch touches, as it was and as it is now."""
        commit = progress.solved[patch_id]
        if commit not in self._paths:
            listed = self.store.repo.run("diff-tree", "-r", "-z", "--no-commit-id", "--name-only", commit).fields()
            old = self.patches[patch_id].revision.paths if patch_id in self.patches else ()
            self._paths[commit] = frozenset([*listed, *old])
        return self._paths[commit]

    def _stands_alone(self, patch: Patch, progress: Progress, step: Step) -> bool:
        """Return whether the revision as it is gives the same tree where nothing but upstream and itself is at hand."""
        blind = Judge(self.store.repo, lambda _: None).without_preimage(patch, self.store.repo.tree_of(progress.head))
        return blind.outcome.applied and blind.tree == step.tree

    # --- what stays -----------------------------------------------------------------------------------------------

    def _settle(self, workspace: Workspace, progress: Progress) -> list[Path]:
        """Give a new patch its page and its place in the stack; the stack comes last, it is what counts."""
        from patchctl.author.pages import page as page_of
        from patchctl.files import write_atomic

        if self.edited in progress.known or self.edited in self.stack.stack.patches:
            return []
        page = workspace.patches_folder / self.edited / "README.md"
        message = self.store.repo.read(progress.solved[self.edited], "commit").partition(b"\n\n")[2].decode()
        draft = Draft(message.partition("\n")[0], self.edited, b"")
        written = []
        if not page.exists():
            write_atomic(page, page_of(self.edited, draft, message, ORIGIN))
            written.append(page)
        write_atomic(self.stack.path, self._inserted(progress.patches.index(self.edited)))
        return [*written, self.stack.path]

    def _inserted(self, at: int) -> bytes:
        """Return the stack's file with the new patch as its item ``at``."""
        from patchctl.manifest.edit import insert_item_after

        try:
            return insert_item_after(self.stack.document, ("patches", at - 1), self.edited)
        except KeyError as error:
            why = f"{self.stack.path.name} has no list of patches to put {self.edited} into"
            raise PatchctlError(Code.USAGE, f'{why}; give it "patches: []"') from error


def edited_in(worktree: Worktree, wanted: str | None) -> str:
    """Return the id of the patch whose edit is open in a worktree, which is ``wanted`` where one is named.

    Raises PatchctlError (exit code 2) when none is open, or another one.
    """
    progress = read_progress(worktree)
    if progress is None or not progress.edited:
        what = "an apply" if progress else "no edit"
        raise PatchctlError(Code.USAGE, f"{what} is open in {worktree.folder}; start one with edit STACK ID")
    if wanted not in {None, progress.edited}:
        raise PatchctlError(Code.USAGE, f"the edit that is open is of {progress.edited}, not of {wanted}")
    return progress.edited


def require_new(workspace: Workspace, patch_id: str) -> None:
    """Raise PatchctlError (exit code 2) when ``patch_id`` is no id, or a patch has it."""
    from pydantic import TypeAdapter, ValidationError

    from patchctl.manifest.model import Name

    try:
        TypeAdapter(Name).validate_python(patch_id)
    except ValidationError as error:
        why = f'{patch_id!r} is no id of a patch: lower-case letters, digits, ".", "_", "-"'
        raise PatchctlError(Code.USAGE, why) from error
    folder = workspace.patches_folder / patch_id
    if folder.exists():
        raise PatchctlError(Code.USAGE, f"{workspace.shown(folder)} exists; choose another id, or name it in the stack")
