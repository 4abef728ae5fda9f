"""Apply an ordered list of patches to a base, in memory; every patch is judged, and an unchanged prefix is free.

Each step's key is made of the base and of all patches up to it, so what was judged once is read from the ledger.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.git import OID, MissingObjectError
from patchctl.ledger import digest
from patchctl.series.judge import GITLINK, Judge, Judged, Outcome
from patchctl.series.patch import Patch, closure
from patchctl.series.policy import Refusal, links, outside, refusals
from patchctl.series.resolve import patch_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from patchctl.series.trees import Trees
    from patchctl.store import Store

RECIPE = 5  # raise it when the same input would be judged or committed differently


@dataclass(frozen=True)
class Step:
    """One patch applied (or not): outcome, the commit and tree after it, conflicting paths, detail, policy refusals.

    ``sight`` is empty, or which patches were in sight when the files the patch was made on could not be had: with
    others in sight it may be judged better.
    """

    outcome: Outcome
    commit: str
    tree: str
    conflicts: tuple[str, ...] = ()
    detail: str = ""
    refused: tuple[str, ...] = ()
    sight: str = ""

    def record(self) -> dict[str, Any]:
        """Return the step as plain data for the ledger."""
        return {**self.__dict__, "outcome": self.outcome.value}

    @staticmethod
    def of(record: dict[str, Any]) -> Step:
        """Return the step that ``record`` made of it."""
        conflicts, refused = tuple(record["conflicts"]), tuple(record["refused"])
        outcome = Outcome(record["outcome"])
        return Step(outcome, record["commit"], record["tree"], conflicts, record["detail"], refused, record["sight"])


class Series:
    """Applies patches of one ``stack``, some or all; ``allow`` are the paths its policy means.

    ``recorded`` gives every revision at hand, also of patches that the stack no longer has: what a revision says it was
    made on is looked up there. It is asked only when something is missing.
    """

    def __init__(
        self,
        store: Store,
        stack: Sequence[Patch],
        *,
        allow: Sequence[str] = (),
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        recorded: Callable[[], Sequence[Patch]] = tuple,
    ) -> None:
        self.store = store
        self.stack = tuple(stack)
        self.allow = tuple(allow)
        self.progress = progress
        self._recorded = recorded
        self._judge = Judge(store.repo, self._bring)
        self._rebuilt: set[str] = set()
        self._prepared: set[str] = set()

    @property
    def trees(self) -> Trees:
        """Return the trees this series has read and made, so that nobody reads them again."""
        return self._judge.trees

    def sequence(self, base: str, patches: Sequence[Patch]) -> list[Step]:
        """Return what became of each patch, applied in order onto the commit ``base``.

        Raises PatchctlError when upstream or an object that is needed cannot be had, InvalidError for a revision that
        contradicts itself.
        """
        keys = self._keys(base, patches)
        known = self._known(base, keys)
        return known if len(known) == len(patches) else self._continue(base, patches, keys, known)

    def on_top(self, patch: Patch, commit: str, base: str) -> Step:
        """Return what becomes of one patch on ``commit``, which holds on ``base`` all that the patch requires."""
        tree = self.store.repo.tree_of(commit)
        self._prepare(tree, [patch])
        return self._step(patch, commit, tree, base, set())

    def alone(self, base: str, patches: Sequence[Patch]) -> list[Step]:
        """Return what becomes of each patch with nothing under it but what it requires."""
        return [self.sequence(base, closure([patch.id], patches))[-1] for patch in patches]

    def _keys(self, base: str, patches: Sequence[Patch]) -> list[str]:
        key = digest("series", RECIPE, self.store.birth, base, self.allow)
        keys = []
        for patch in patches:
            key = digest(key, patch.id, patch.sha256, patch.requires)
            keys.append(key)
        return keys

    def _known(self, base: str, keys: Sequence[str]) -> list[Step]:
        """Return the steps judged before, up to the first that was not, or that others in sight could change."""
        kept = self.store.ledger.get_many("step", keys)
        known: list[Step] = []
        before = base
        for key in keys:
            record = kept.get(key)
            if record is None or record["before"] != before or (record["sight"] and record["sight"] != self._sight):
                break
            known.append(Step.of(record))
            before = known[-1].commit
        return known

    def _keep(self, base: str, keys: Sequence[str], steps: Sequence[Step]) -> None:
        before = [base, *(step.commit for step in steps)]
        records = {key: {**step.record(), "before": at} for key, step, at in zip(keys, steps, before, strict=False)}
        self.store.ledger.put_many("step", records)

    def _continue(self, base: str, patches: Sequence[Patch], keys: Sequence[str], known: list[Step]) -> list[Step]:
        tree = self.store.tree_of(base)
        _require_readable(patches)
        self._prepare(tree, patches)
        steps = list(known)
        failed = {patch.id for patch, step in zip(patches, known, strict=False) if step.outcome.failed}
        try:
            for patch in patches[len(known) :]:
                before = (steps[-1].commit, steps[-1].tree) if steps else (base, tree)
                steps.append(self._step(patch, *before, base, failed))
                if steps[-1].outcome.failed:
                    failed.add(patch.id)
                self.progress(len(steps), len(patches))
        finally:
            self._keep(base, keys, steps)
        return steps

    def _step(self, patch: Patch, commit: str, tree: str, base: str, failed: set[str]) -> Step:
        found = refusals(patch.id, patch.revision, self.allow)
        refused = tuple(map(str, found))
        if failed.intersection(patch.requires):
            missing = ", ".join(name for name in patch.requires if name in failed)
            return Step(Outcome.BLOCKED, commit, tree, detail=f"needs {missing}", refused=refused)
        escaping = tuple(path for path in patch.revision.paths if outside(path))
        if escaping:
            return Step(Outcome.CONFLICT, commit, tree, escaping, "its paths leave the tree", refused)
        judged = self.judge(patch, tree)
        if judged.outcome.applied:
            commit = self.commit(patch, judged.tree, commit, base)
        found = [refusal for refusal in found if not self._stood(refusal, tree, judged)]
        found += links(patch.id, self._judge.trees.changed(tree, judged.tree), self.allow)
        refused = tuple(dict.fromkeys(map(str, found)))
        sight = self._sight if judged.blind else ""
        return Step(judged.outcome, commit, judged.tree, judged.conflicts, judged.detail, refused, sight)

    def _stood(self, refusal: Refusal, tree: str, judged: Judged) -> bool:
        """Return whether what is refused stood there before, so that the stack does not bring it."""
        if judged.outcome.failed:
            return False
        before, after = (self._judge.trees.entry(one, refusal.path) for one in (tree, judged.tree))
        return before is not None and before == after

    def judge(self, patch: Patch, tree: str) -> Judged:
        """Return how one patch applies to one tree, whatever stands before it in the stack."""
        try:
            return self._judge.judge(patch, tree)
        except MissingObjectError as missing:
            lacking = self.store.ensure_blobs([missing.oid])
            if lacking:
                raise MissingObjectError(missing.oid, f"needed by {patch.id}") from missing
            return self._judge.judge(patch, tree)

    def reverses(self, patch: Patch, tree: str) -> bool:
        """Return whether a direct apply takes one patch out of a tree; see ``Judge.reverses``."""
        return self._judge.reverses(patch, tree)

    def commit(self, patch: Patch, tree: str, parent: str, base: str) -> str:
        """Write the commit of a patch: author and date its own (undated: the base's), the committer always the same."""
        revision = patch.revision
        when, zone = revision.date or _author_date(self.store.repo.read(base, "commit"))
        lines = [
            f"tree {tree}",
            f"parent {parent}",
            f"author {revision.author} <{revision.email}> {when} {zone}",
            f"committer patchctl <patchctl@localhost> {when} {zone}",
            "",
            revision.message,
        ]
        text = "\n".join(lines).rstrip("\n") + "\n"
        return self.store.repo.write("commit", text.encode("utf-8", "surrogateescape"))

    # --- objects --------------------------------------------------------------------------------------------------

    def _prepare(self, tree: str, patches: Iterable[Patch]) -> None:
        """Bring all blobs of ``tree`` that the patches touch, in one request."""
        if tree in self._prepared:
            return
        self._prepared.add(tree)
        paths = {path for patch in patches for path in patch.revision.paths if not outside(path)}
        entries = (self._judge.trees.entry(tree, path) for path in paths)
        self.store.ensure_blobs(entry.oid for entry in entries if entry and entry.mode.startswith("100"))

    def _bring(self, patch: Patch) -> None:
        """Bring what a patch was made on: blobs of its own base, and what the patches before it made of them there."""
        base = patch.revision.base_commit
        named = {change.old_oid for change in patch.revision.changes if change.old_mode != GITLINK}
        full = [oid for oid in named if OID.fullmatch(oid)]
        if base is not None:
            under = self._made_on(patch)
            self._rebuild(base, under)
            if not under or not all(self.store.repo.has(full).values()):
                there = [at for at, other in enumerate(self.stack, 1) if other.revision.base_commit == base]
                self._rebuild(base, self.stack[: max(there, default=0)])
        # A base that was forgotten or is not upstream's: the index lines still name files that upstream may have.
        self.store.ensure_blobs(full)

    @functools.cached_property
    def _at_hand(self) -> list[Patch]:
        """Return the revisions at hand, those of the stack first."""
        return list({patch.sha256: patch for patch in (*self._recorded(), *self.stack)}.values())

    @functools.cached_property
    def _sight(self) -> str:
        return digest([patch.sha256 for patch in self.stack], sorted(patch.sha256 for patch in self._at_hand))

    def _made_on(self, patch: Patch) -> list[Patch]:
        """Return the revisions that a revision records as its prerequisites, in their order, as far as at hand."""
        wanted = patch.revision.prerequisites
        if not wanted:
            return []
        known = dict(zip(patch_ids(self.store, self._at_hand), self._at_hand, strict=True))
        return [replace(known[patch_id], requires=()) for patch_id in wanted if patch_id in known]

    def _rebuild(self, base: str, patches: Sequence[Patch]) -> None:
        """Apply patches to a base that something was made on, so that the objects are there."""
        key = digest(base, [patch.sha256 for patch in patches])
        if not patches or key in self._rebuilt:
            return
        self._rebuilt.add(key)
        try:
            tree = self.store.tree_of(base)
        except MissingObjectError:
            return
        except PatchctlError as error:
            if error.exit_code != Code.INVALID:
                raise  # upstream could not be asked; the next run may see more
            return
        self._prepare(tree, patches)
        old = Series(self.store, patches, allow=self.allow, recorded=self._recorded)
        old._rebuilt = self._rebuilt  # once, also from within another's rebuilding
        old.sequence(base, patches)


def _require_readable(patches: Iterable[Patch]) -> None:
    """Raise InvalidError with the problems of every revision that cannot be read, not of the first alone."""
    problems: list[Problem] = []
    for patch in patches:
        problems += _problems(patch)
    if problems:
        raise InvalidError(problems)


def _problems(patch: Patch) -> tuple[Problem, ...]:
    try:
        _ = patch.revision
    except InvalidError as error:
        return error.problems
    return ()


def _author_date(commit: bytes) -> tuple[int, str]:
    author = next(line for line in commit.split(b"\n") if line.startswith(b"author "))
    _, when, zone = author.decode("utf-8", "replace").rsplit(" ", 2)
    return int(when), zone
