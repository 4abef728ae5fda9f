"""From a manifest to patches, from patches to a lock and a source."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.files import read_regular
from patchctl.git import GitError
from patchctl.ledger import digest
from patchctl.manifest.mail import MAX_BYTES
from patchctl.manifest.retirement import still_required
from patchctl.series.judge import touched
from patchctl.series.patch import Patch
from patchctl.series.source import AppliedPatch, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from patchctl.document import Loc
    from patchctl.manifest.model import Lock
    from patchctl.manifest.outline import PageOutline
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.sequence import Step
    from patchctl.store import Store

# The one way patches are written: whoever writes a commit, wherever and whenever, gets the same bytes. What a person
# sets is shut out already (git.py), what a repository sets is not; so each flag is said, though some are git's default.
EXPORT = (
    "format-patch",
    "-1",  # the commit alone; its line of ancestors is not meant
    "--stdout",  # bytes for a revision, no files that git would name
    "--zero-commit",  # else the first line is the commit's id, another one on each base
    "--full-index",  # else ids are as long as the repository is large; full ones name what to merge from for good
    "--no-signature",  # else the last line is the version of git
    "--no-stat",  # else counts and bars as wide as somebody's terminal, which say nothing that the diff does not
    "--binary",  # binary files with their content: as format-patch does by itself, other commands of git not
    "--no-renames",  # else what is a rename is a matter of git's version and limits, and reading it needs both files
    "--no-color",  # no escape sequences: format-patch heeds no setting for them today
    "--no-ext-diff", "--no-textconv",  # no program of a repository writes it: format-patch asks none today
    "--diff-algorithm=myers", "--unified=3",  # else a setting moves the hunks, or cuts them elsewhere
    "--src-prefix=a/", "--dst-prefix=b/",  # else diff.noPrefix and diff.mnemonicPrefix name other paths
    "--subject-prefix=PATCH",  # else format.subjectPrefix becomes part of the message
    "--no-attach",  # else format.attach makes it a mail in parts
    "--no-thread",  # else format.thread adds ids with the time of day
    "--no-cover-letter",  # else format.coverLetter adds a mail without a patch
)  # fmt: skip


def load_patches(workspace: Workspace, stack: StackFile, store: Store, base: str) -> list[Patch]:
    """Return the patches of a stack, each with the revision that the rule picks for the commit ``base``.

    Raises InvalidError with every problem of every page, PatchctlError when upstream is needed and cannot be had.
    """
    found: list[Patch] = []
    problems: list[Problem] = []
    build = 0  # where nobody has the base: that is one problem, not one of each patch
    with _collecting(stack, ("upstream", "commit"), problems):
        build = store.build_number(base)
    for at, patch_id in enumerate(stack.outline.patches):
        with _collecting(stack, ("patches", at), problems):
            page = workspace.load_page(patch_id).outline
            requires = still_required(workspace, page.requires, stack.outline.patches, lambda: build)
            found.append(replace(_load(workspace, patch_id, page, store, build), requires=requires))
    if problems or (problems := _order_problems(stack, found)):
        raise InvalidError(sorted(problems))
    return found


@contextlib.contextmanager
def _collecting(stack: StackFile, loc: Loc, problems: list[Problem]) -> Iterator[None]:
    """Note what is invalid, at ``loc`` of the stack when the error does not say where; all else is raised."""
    try:
        yield
    except InvalidError as error:
        problems += error.problems
    except PatchctlError as error:
        if error.exit_code != Code.INVALID:
            raise
        problems.append(stack.document.problem(loc, error.message))


def _load(workspace: Workspace, patch_id: str, page: PageOutline, store: Store, build: int) -> Patch:
    if page.commit is not None:
        content, label = commit_as_patch(store, page.commit), f"{patch_id} ({page.commit[:9]})"
        return Patch(patch_id, None, label, content, acknowledged=page.acknowledged)
    revisions = workspace.revisions(patch_id)
    file = workspace.pick_revision(patch_id, build, revisions)
    first = None if file == revisions[0] else _read(workspace, patch_id, revisions[0])
    return replace(_read(workspace, patch_id, file), first=first, acknowledged=page.acknowledged)


def load_patch(workspace: Workspace, store: Store, patch_id: str, base: str) -> Patch:
    """Return one patch, whatever stack it is in, with the revision that the rule picks for the commit ``base``.

    Raises PatchctlError when it cannot be read, or upstream is needed and cannot be had.
    """
    return _load(workspace, patch_id, workspace.load_page(patch_id).outline, store, store.build_number(base))


def recorded(workspace: Workspace) -> list[Patch]:
    """Return every revision of every patch in the workspace that can be read, oldest first for each patch."""
    found: list[Patch] = []
    for patch_id in workspace.patch_ids():
        for file in workspace.revisions(patch_id):
            with contextlib.suppress(PatchctlError):
                found.append(_read(workspace, patch_id, file))
    return found


def _read(workspace: Workspace, patch_id: str, file: Path) -> Patch:
    name = workspace.shown(file)
    return Patch(patch_id, file.name, name, read_regular(file, name, MAX_BYTES))


def _order_problems(stack: StackFile, patches: Sequence[Patch]) -> list[Problem]:
    """Return what is wrong with the order: an id named twice, a patch before or without what it requires."""
    seen: set[str] = set()
    ids = {patch.id for patch in patches}
    problems = []
    for at, patch in enumerate(patches):
        why = ["is named twice"] if patch.id in seen else []
        why += [
            "requires itself"
            if other == patch.id
            else f"requires {other}, which {'comes after it' if other in ids else 'the stack does not have'}"
            for other in patch.requires
            if other not in seen
        ]
        problems += [stack.document.problem(("patches", at), f"{patch.id} {one}") for one in why]
        seen.add(patch.id)
    return problems


def commit_as_patch(store: Store, commit: str) -> bytes:
    """Return a commit of upstream as a revision, made on its parent; the same bytes everywhere.

    Raises PatchctlError (exit code 3) for a merge, a commit without parent, or one upstream does not have.
    """
    key = digest("reference", 1, commit)
    kept: str | None = store.ledger.get("reference", key)
    if kept is None:
        store.ensure_commit(commit)
        parents = store.repo.parents_of(commit)
        if len(parents) != 1:
            raise PatchctlError(Code.INVALID, f"{commit} has {len(parents)} parents; only a commit with one is a patch")
        raw = store.repo.run("diff-tree", "-r", "--raw", "--no-abbrev", "--no-renames", parents[0], commit).text()
        oids = {oid for line in raw.splitlines() for oid in line.split()[2:4] if set(oid) != {"0"}}
        lacking = store.ensure_blobs(oids)
        try:
            mail = store.repo.run(*EXPORT, f"--base={parents[0]}", commit).stdout
        except GitError as error:
            if lacking:
                raise PatchctlError(Code.ENVIRONMENT, f"{commit} needs objects no copy has: {lacking[0]}") from error
            raise
        kept = mail.decode("utf-8", "surrogateescape")
        store.ledger.put("reference", key, kept)
    return kept.encode("utf-8", "surrogateescape")


def patch_ids(store: Store, patches: Sequence[Patch]) -> list[str]:
    """Return each patch's stable patch-id; asks git once for those not asked before."""
    kept = store.ledger.get_many("patch-id", [patch.sha256 for patch in patches])
    unknown = [patch for patch in patches if patch.sha256 not in kept]
    if unknown:
        made = dict(zip((p.sha256 for p in unknown), store.repo.patch_ids([p.content for p in unknown]), strict=True))
        store.ledger.put_many("patch-id", made)
        kept |= made
    return [kept[patch.sha256] for patch in patches]


@dataclass(frozen=True)
class Resolved:
    """A stack applied: its patches, what became of each, and the base they stand on."""

    base: str
    build: int
    patches: tuple[Patch, ...]
    steps: tuple[Step, ...]

    @property
    def refused(self) -> list[str]:
        """Return what the tree policy refuses, as sentences."""
        return [sentence for step in self.steps for sentence in step.refused]

    @property
    def failed(self) -> list[str]:
        """Return the ids of the patches that are not in the resulting tree though they should be."""
        return [patch.id for patch, step in zip(self.patches, self.steps, strict=True) if step.outcome.failed]

    def result(self, store: Store) -> tuple[str, str]:
        """Return the resulting commit and tree."""
        last = self.steps[-1] if self.steps else None
        return (last.commit, last.tree) if last else (self.base, store.tree_of(self.base))

    def require_success(self, stack: str) -> None:
        """Raise PatchctlError when the policy refuses something (exit code 8) or a patch did not apply (4)."""
        if self.refused:
            named = "".join(f"\n  {sentence}" for sentence in self.refused)
            raise PatchctlError(Code.POLICY, f"the tree policy refuses{named}")
        if self.failed:
            count = f"{len(self.failed)} of {len(self.patches)} patches do not apply: {', '.join(self.failed)}"
            hint = f"see why: patchctl check {stack}; solve: patchctl apply {stack}"
            raise PatchctlError(Code.CONFLICT, f"{count}\n{hint}")

    def source(self, store: Store, repo_url: str, release: str) -> Source:
        """Return what the build takes."""
        commit, tree = self.result(store)
        applied = tuple(
            AppliedPatch(patch.id, patch.file, patch.sha256, step.outcome.value)
            for patch, step in zip(self.patches, self.steps, strict=True)
        )
        changed = tuple(touched(self.patches))
        return Source(repo_url, self.base, self.build, commit, tree, release, applied, changed)

    def lock(self, store: Store) -> Lock:
        """Return the lock of this result."""
        from patchctl.manifest.model import Lock, LockedBase, LockedPatch, LockedResult

        commit, tree = self.result(store)
        locked = [
            LockedPatch(id=p.id, revision=p.file, sha256=p.sha256, patch_id=patch_id,
                        commit=step.commit if step.outcome.applied else None)
            for p, step, patch_id in zip(self.patches, self.steps, patch_ids(store, self.patches), strict=True)
        ]  # fmt: skip
        base = LockedBase(commit=self.base, build=self.build, tree=store.tree_of(self.base))
        return Lock(schema_version=1, base=base, patches=locked, result=LockedResult(commit=commit, tree=tree))


def why_stale(lock: Lock, base: str, patches: Sequence[Patch]) -> str | None:
    """Return in which way a lock no longer describes the stack, or None when it does."""
    if lock.base.commit != base:
        return f"the base moved from {lock.base.commit[:9]} to {base[:9]}"
    old = {patch.id: (patch.revision, patch.sha256) for patch in lock.patches}
    new = {patch.id: (patch.file, patch.sha256) for patch in patches}
    changed = [patch_id for patch_id in {**old, **new} if old.get(patch_id) != new.get(patch_id)]
    if changed:
        return f"changed since: {', '.join(changed)}"
    return None if list(old) == list(new) else "the order of the patches changed"


def check_lock(lock: Lock, resolved: Resolved, store: Store, stack: str) -> None:
    """Raise PatchctlError (exit code 3) when the same inputs gave another tree than the lock says."""
    commit, tree = resolved.result(store)
    if (commit, tree) != (lock.result.commit, lock.result.tree):
        raise PatchctlError(
            Code.INVALID,
            f"{stack}: the tree is {tree[:9]}, but its lock says {lock.result.tree[:9]} for the same patches; "
            "another git merged differently, or the lock was edited",
        )
