"""A repin that needs a person: the carried patches in a worktree, stopping at each real conflict.

Beside the session's own state lies what was decided when it began, so that going on never decides anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from patchctl.author.repin import Action, Choice, Target
from patchctl.errors import Code, PatchctlError
from patchctl.files import write_atomic
from patchctl.series.judge import Outcome
from patchctl.series.session import Progress, Session, Stop, read_progress
from patchctl.upstream.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.author.repin import Plan
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series, Step
    from patchctl.series.worktree import Worktree

NOTE, STACK = "patchctl-repin.json", "patchctl-repin.yaml"
SOLVED_AWAY = "solved to nothing: the base has all of it"


@dataclass(frozen=True)
class Note:
    """What was decided when a repin began: where it leads, and each patch's choice, in order.

    ``emptied`` are the patches of which a person left nothing, because the base has all; ``prove``: build and test the
    new stack at the end.
    """

    path: str
    release: str
    commit: str
    build: int
    in_place: bool
    choices: tuple[Choice, ...]
    emptied: tuple[str, ...] = ()
    prove: bool = True

    def encode(self) -> bytes:
        """Return the content of the file, below ``.git``, that holds this."""
        return json.dumps(asdict(self)).encode()

    def target(self, workspace: Workspace, stack: StackFile) -> Target:
        """Return where the repin leads; ``stack`` is the one it was asked for, as it was then."""
        path = workspace.root / self.path
        return Target(stack, path, self.release, self.commit, self.build, in_place=self.in_place)


def note_of(workspace: Workspace, plan: Plan, *, prove: bool = True) -> Note:
    """Return what a plan has decided."""
    target = plan.target
    path = target.path.relative_to(workspace.root).as_posix()
    return Note(path, target.release, target.commit, target.build, target.in_place, plan.choices, prove=prove)


def stack_of(workspace: Workspace, worktree: Worktree) -> StackFile:
    """Return the stack that a repin began with: moved in place, the file may have been written already."""
    return workspace.load_stack(worktree.folder / ".git" / STACK)


def read_note(worktree: Worktree) -> Note:
    """Return what was decided; raises PatchctlError (exit code 2) when no repin is open in the worktree."""
    path = worktree.folder / ".git" / NOTE
    if read_progress(worktree) is None or not path.exists():
        raise PatchctlError(Code.USAGE, f"no repin is open in {worktree.folder}; start one with repin STACK --to REF")
    data = json.loads(path.read_bytes())
    choices = tuple(_choice(one) for one in data["choices"])
    return Note(**{**data, "choices": choices, "emptied": tuple(data["emptied"])})


def _choice(record: dict[str, Any]) -> Choice:
    outcome = record["outcome"] and Outcome(record["outcome"])
    known = {"action": Action(record["action"]), "verdict": Verdict(record["verdict"]), "outcome": outcome}
    return Choice(**{**record, **known, "conflicts": tuple(record["conflicts"])})


class Repin(Session):
    """The carried patches of one stack on another base, in one worktree."""

    command = "repin"

    def __init__(self, worktree: Worktree, series: Series, stack: StackFile, note: Note) -> None:
        super().__init__(worktree, series, note.release)
        self.stack = stack
        self.note = note
        self.choices: tuple[Choice, ...] = note.choices

    def open(self) -> tuple[Stop | None, list[str]]:
        """Make the worktree, apply up to the first conflict; returns the stop, and the paths left out.

        Raises PatchctlError (exit code 9) when a repin is open there, or it holds what a person did.
        """
        self._refuse_open()
        self._require_free()
        shas = tuple(patch.sha256 for patch in self.series.stack)
        progress = Progress(self.note.commit, tuple(self.patches), shas, 0, self.note.commit)
        state = {**progress.encode(), NOTE: self.note.encode(), STACK: self.stack.document.source}
        left_out = self.worktree.create(self.note.commit, self.branch, state)
        return self._go_on(progress), left_out

    def _refuse_open(self) -> None:
        progress = self.progress() if self.worktree.exists() else None
        if progress is not None and (progress.stopped or progress.solved or progress.skipped or self._emptied()):
            why = f"a repin is open in {self.worktree.folder}"
            raise PatchctlError(Code.ENVIRONMENT, f"{why}; go on with --continue, --skip or --abort")

    def _emptied(self) -> tuple[str, ...]:
        return read_note(self.worktree).emptied

    # --- steps ----------------------------------------------------------------------------------------------------

    def _applied(self, progress: Progress, patch: Patch, step: Step) -> Progress:
        """Keep what moved as solved: its revision is made of the commit it became."""
        if patch.file is None or not step.outcome.applied or step.outcome is Outcome.CLEAN:
            return progress
        return replace(progress, solved={**progress.solved, patch.id: step.commit})

    def _solved(self, progress: Progress, patch: Patch, tree: str) -> Progress:
        if patch.file is None:
            why = f"{patch.label} is upstream's own commit, taken by reference"
            raise PatchctlError(Code.CONFLICT, f"{why}; --skip it, and import that commit under an id of its own")
        if tree == self.store.repo.tree_of(progress.head) and patch.id not in self.note.emptied:
            self.note = replace(self.note, emptied=(*self.note.emptied, patch.id))
            write_atomic(self.worktree.folder / ".git" / NOTE, self.note.encode())
        return super()._solved(progress, patch, tree)

    # --- what stays -----------------------------------------------------------------------------------------------

    def _settle(self, workspace: Workspace, progress: Progress) -> list[Path]:
        """Write the pages of what retired and the new stack, which is what counts."""
        self.choices = tuple(self._final(choice, progress) for choice in self.note.choices)
        return self.note.target(workspace, self.stack).hand_in(workspace, self.choices)

    def _final(self, choice: Choice, progress: Progress) -> Choice:
        """Return what became of a patch in the end."""
        done = replace(choice, conflicts=(), detail="")
        if choice.patch in self.note.emptied:
            return replace(done, action=Action.RETIRE, reason=SOLVED_AWAY)
        if choice.patch in progress.skipped:
            return replace(choice, action=Action.LEAVE)
        if choice.patch in progress.solved:
            return replace(done, action=Action.REFRESH)
        return replace(done, action=Action.CARRY) if choice.stays else choice


def carried_of(patches: Sequence[Patch], note: Note) -> list[Patch]:
    """Return the patches that a repin carries, of all those of the old stack."""
    carried = {choice.patch for choice in note.choices if choice.stays}
    return [patch for patch in patches if patch.id in carried]
