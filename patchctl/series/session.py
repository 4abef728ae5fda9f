"""A stack in a worktree with a person: stop where one is needed, go on when it is solved, keep what was solved.

``Session`` applies a stack; ``author.edit`` makes of it one that stops at a patch to be changed.

The state of a session is one small file in the worktree; each step writes it whole, so it can be resumed after a
kill, and aborting (``Worktree.remove``) is removing the worktree.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.files import write_atomic
from patchctl.series.judge import Judge, Outcome
from patchctl.series.revise import export, write_revision
from patchctl.series.worktree import Picked

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.manifest.workspace import Workspace
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series, Step
    from patchctl.series.worktree import Worktree

STATE = "patchctl-session.json"


@dataclass(frozen=True)
class Progress:
    """Where a session stands: base, ids in order, how many are done, what was solved (id -> commit) and skipped.

    ``stopped`` is the patch that lies in the worktree for a person; ``written`` the hashes of the revisions that the
    end of the session writes (id -> SHA-256); ``edited`` the patch that an edit is about, empty for an apply. A patch
    that is new has no hash in ``shas``.
    """

    base: str
    patches: tuple[str, ...]
    shas: tuple[str, ...]
    done: int
    head: str
    solved: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    stopped: str = ""
    written: dict[str, str] = field(default_factory=dict)
    edited: str = ""

    @property
    def known(self) -> tuple[str, ...]:
        """Return the ids of the patches that the stack had when the session began."""
        return tuple(patch_id for patch_id, sha in zip(self.patches, self.shas, strict=True) if sha)

    def encode(self) -> dict[str, bytes]:
        """Return the file, below ``.git``, that holds this."""
        return {STATE: json.dumps(asdict(self)).encode()}


@dataclass(frozen=True)
class Loss:
    """What a solution loses: files the patch used to change and leaves as they are, files it deletes and did not."""

    untouched: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is lost."""
        return bool(self.untouched or self.deleted)


@dataclass(frozen=True)
class Stop:
    """A patch that needs a person, and the files in conflict."""

    patch: str
    paths: tuple[str, ...]


def read_progress(worktree: Worktree) -> Progress | None:
    """Return where the session in a worktree stands, or None when none is open."""
    path = worktree.folder / ".git" / STATE
    if not path.exists():
        return None
    data = json.loads(path.read_bytes())
    return Progress(**{**data, **{name: tuple(data[name]) for name in ("patches", "shas", "skipped")}})


def open_base(worktree: Worktree) -> str | None:
    """Return the base of the session open in a worktree, or None."""
    progress = read_progress(worktree)
    return progress.base if progress else None


def require_kind(progress: Progress, edited: str, folder: Path) -> None:
    """Raise PatchctlError (exit code 9) when another session is open than the edit of ``edited`` (empty: an apply)."""
    if progress.edited == edited:
        return
    what = f"an edit of {progress.edited}" if progress.edited else "an apply"
    command = f"patchctl edit STACK {progress.edited}" if progress.edited else "patchctl apply STACK"
    raise PatchctlError(Code.ENVIRONMENT, f"{what} is open in {folder}; end it: {command} --continue (or --abort)")


def abandon(worktree: Worktree, edited: str = "") -> Path | None:
    """Remove a worktree and the session in it; where a person worked there, move it aside instead.

    An edit that is given up goes as a whole, and so does how a conflict at hand was being solved.

    Returns where it is then. Raises PatchctlError: exit code 2 when there is none, 9 when another kind of session is
    open there.
    """
    progress = read_progress(worktree)
    if progress is not None:
        require_kind(progress, edited, worktree.folder)
    elif edited:
        raise PatchctlError(Code.USAGE, f"nothing to abort: no edit of {edited} is open")
    if not edited and worktree.exists() and _worked_in(worktree, at_a_stop=progress is not None):
        return worktree.set_aside()
    worktree.remove()
    return None


def _worked_in(worktree: Worktree, *, at_a_stop: bool) -> bool:
    """Return whether a person did more there than solve the conflict that is given up."""
    try:
        return bool(worktree.put_there() if at_a_stop else worktree.belongings(f"patchctl/{worktree.folder.name}"))
    except PatchctlError:
        return True  # the store it borrowed from is gone, so nobody can tell


class Session:
    """One stack being applied in one worktree."""

    command = "apply"

    def __init__(self, worktree: Worktree, series: Series, release: str, edited: str = "") -> None:
        self.worktree = worktree
        self.edited = edited
        self.series = series
        self.store = series.store
        self.patches = {patch.id: patch for patch in series.stack}
        self.branch = f"patchctl/{release}"
        self.recalled: list[str] = []  # solved as they had been before, without a person

    # --- state ----------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self.worktree.folder / ".git" / STATE

    def progress(self) -> Progress | None:
        """Return where the session stands, or None when none is open."""
        return read_progress(self.worktree)

    def _keep(self, progress: Progress) -> Progress:
        for name, content in progress.encode().items():
            write_atomic(self.worktree.folder / ".git" / name, content)
        return progress

    def _open(self) -> Progress:
        progress = self.progress()
        if progress is None:
            nothing = f"nothing to go on with in {self.worktree.folder}"
            raise PatchctlError(Code.USAGE, f"{nothing}; start with: patchctl {self.command} STACK")
        require_kind(progress, self.edited, self.worktree.folder)
        began = dict(zip(progress.patches, progress.shas, strict=True))
        known = {patch_id: {sha, progress.written.get(patch_id)} for patch_id, sha in began.items()}
        same = [patch.sha256 in known.get(patch.id, ()) for patch in self.series.stack]
        if tuple(self.patches) not in {progress.patches, progress.known} or not all(same):
            raise PatchctlError(Code.INVALID, f"the stack changed since this {self.command} began; end it with --abort")
        return progress

    # --- steps ----------------------------------------------------------------------------------------------------

    def begin(self, base: str, steps: list[Step]) -> tuple[Stop | None, list[str]]:
        """Make the worktree with everything up to the first conflict; returns the stop, and paths left out.

        Raises PatchctlError (exit code 9) when a worktree of that name holds changes or an open session.
        """
        self._require_free()
        good = next((at for at, step in enumerate(steps) if step.outcome.failed), len(steps))
        head = steps[good - 1].commit if good else base
        left_out = self.worktree.create(head, self.branch)
        if good == len(steps):
            return None, left_out
        shas = tuple(patch.sha256 for patch in self.series.stack)
        progress = self._keep(Progress(base, tuple(self.patches), shas, good, head))
        return self._go_on(progress), left_out

    def _require_free(self) -> None:
        if not self.worktree.exists():
            if self.worktree.folder.exists() and any(self.worktree.folder.iterdir()):
                raise PatchctlError(Code.ENVIRONMENT, f"{self.worktree.folder} exists and was not made by patchctl")
            return
        progress = self.progress()
        if progress is not None:
            require_kind(progress, self.edited, self.worktree.folder)
        if progress is not None and (progress.stopped or progress.solved or progress.skipped):
            what = f"an edit of {self.edited}" if self.edited else "an apply"
            raise PatchctlError(Code.ENVIRONMENT, f"{what} is open; go on with --continue, --skip or --abort")
        if progress is not None:
            return  # killed before a person was asked for anything
        changed = self.worktree.belongings(self.branch)
        if changed:
            named = ", ".join(changed[:5])
            why = f"{self.worktree.folder} holds what is yours ({named})"
            raise PatchctlError(Code.ENVIRONMENT, f"{why}; --abort moves the worktree aside")

    def resume(self) -> Stop | None:
        """Take what was solved as the patch at hand and go on; returns the next stop, or None at the end.

        Raises PatchctlError (exit code 4) while conflict markers are left.
        """
        progress = self._open()
        if progress.stopped:
            progress = self._take_over(progress, progress.stopped)
        return self._go_on(progress)

    def _take_over(self, progress: Progress, patch_id: str) -> Progress:
        """Take what lies in the worktree as the patch at hand; a solution that loses a part is not remembered.

        Raises PatchctlError (exit code 9) when what is checked out does not stand on the patches before.
        """
        patch = self.patches[patch_id]
        self.worktree.first_after(progress.head)
        tree = self.worktree.hand_over(self.worktree.solved_tree(progress.head), progress.head)
        if not self._loss(progress.head, tree, patch):
            self.worktree.remember()
        return self._solved(progress, patch, tree)

    def _solved(self, progress: Progress, patch: Patch, tree: str) -> Progress:
        if tree == self.store.repo.tree_of(progress.head):
            # Solved to nothing: upstream has it all.
            return self._advance(progress, progress.head)
        commit = self.series.commit(patch, tree, progress.head, progress.base)
        return self._advance(replace(progress, solved={**progress.solved, patch.id: commit}), commit)

    def skip(self) -> Stop | None:
        """Leave the patch at hand, and what needs it, out of the worktree and go on."""
        progress = self._open()
        if progress.stopped:
            skipped = (*progress.skipped, progress.stopped)
            progress = self._advance(replace(progress, skipped=skipped), progress.head)
        return self._go_on(progress)

    def _advance(self, progress: Progress, head: str) -> Progress:
        return self._keep(replace(progress, done=progress.done + 1, head=head, stopped=""))

    def _applied(self, progress: Progress, patch: Patch, step: Step) -> Progress:  # noqa: ARG002 - for an edit
        """Return what to keep of a patch that applied by itself."""
        return progress

    def _go_on(self, progress: Progress) -> Stop | None:
        """Apply what applies; stop at the first patch that needs a person."""
        while progress.done < len(progress.patches):
            patch = self.patches[progress.patches[progress.done]]
            if set(patch.requires) & set(progress.skipped):
                progress = self._advance(replace(progress, skipped=(*progress.skipped, patch.id)), progress.head)
                continue
            step = self.series.on_top(patch, progress.head, progress.base)
            if step.outcome is not Outcome.CONFLICT:
                progress = self._advance(self._applied(progress, patch, step), step.commit)
                continue
            picked = self._conflict(progress, patch)
            if picked is not Picked.OPEN:
                self.recalled += [patch.id] if picked is Picked.RECALLED else []
                progress = self._take_over(progress, patch.id)
                continue
            self._keep(replace(progress, stopped=patch.id))
            return Stop(patch.id, tuple(self.worktree.unmerged()) or step.conflicts)
        self.worktree.reset(progress.head)
        return None

    def _conflict(self, progress: Progress, patch: Patch) -> Picked:
        """Put the conflict into the worktree; returns whether it is open there."""
        both = Judge(self.store.repo, lambda _: None).preimage_and_postimage(
            patch, self.store.repo.tree_of(progress.head)
        )
        self.worktree.reset(progress.head)
        if both is None:
            self._keep(replace(progress, stopped=patch.id))
            why = f"{patch.id} conflicts and the files it was made on cannot be had; write it anew in the worktree"
            raise PatchctlError(Code.CONFLICT, f"{why} ({self.worktree.folder}), then --continue")
        return self.worktree.pick(both[1])

    # --- what stays -----------------------------------------------------------------------------------------------

    def finish(self, workspace: Workspace) -> list[Path]:
        """Write what was solved as new revisions, close the session and return their files."""
        progress = self._open()
        build = self.store.build_number(progress.base)
        made = self._revisions(progress)
        shas = {patch_id: hashlib.sha256(content).hexdigest() for patch_id, content in made.items()}
        progress = self._keep(replace(progress, written=shas))
        written = [write_revision(workspace.patches_folder / name, build, content) for name, content in made.items()]
        written += self._settle(workspace, progress)
        self._path.unlink()
        return written

    def _settle(self, workspace: Workspace, progress: Progress) -> list[Path]:  # noqa: ARG002 - for an edit
        """Write what else the end of the session changes and return the files."""
        return []

    def losses(self) -> dict[str, Loss]:
        """Return by id what the new revisions of solved patches lose, without those that lose nothing."""
        found = {
            patch_id: self._loss(f"{commit}^", commit, self.patches[patch_id])
            for patch_id, commit in self._open().solved.items()
            if patch_id in self.patches and patch_id != self.edited
        }
        return {patch_id: loss for patch_id, loss in found.items() if loss}

    def _loss(self, before: str, after: str, patch: Patch) -> Loss:
        repo, paths = self.store.repo, patch.revision.paths
        listed = repo.run("diff-tree", "-r", "-z", "--name-status", "--no-renames", before, after).fields()
        changed = dict(zip(listed[1::2], listed[::2], strict=True))
        there = repo.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", before, "--", *paths).fields()
        goes = {change.old_path for change in patch.revision.changes if change.new_path != change.old_path}
        return Loss(
            untouched=tuple(sorted(set(there).intersection(paths) - changed.keys())),
            deleted=tuple(sorted(path for path, how in changed.items() if how == "D" and path not in goes)),
        )

    def _revisions(self, progress: Progress) -> dict[str, bytes]:
        """Return the new revision of each patch that was solved."""
        made: dict[str, bytes] = {}
        applied: list[bytes] = []
        for patch_id in progress.patches:
            if patch_id in progress.solved:
                before = [one for one in self.store.repo.patch_ids(applied) if one]
                made[patch_id] = export(self.store, progress.solved[patch_id], progress.base, before)
            if patch_id not in progress.skipped:
                applied.append(made[patch_id] if patch_id in made else self.patches[patch_id].content)
        return made
