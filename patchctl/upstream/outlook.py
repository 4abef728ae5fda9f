"""How the patches of a stack apply from commit to commit, each distinct state tried once.

What one patch meets, alone or after others, decides how it applies; so what was found for one commit holds for every
other where it meets the same. Results are kept in the ledger as they are found.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest
from patchctl.series.judge import Outcome
from patchctl.series.patch import closure
from patchctl.series.policy import outside
from patchctl.series.trees import Entry, Trees
from patchctl.upstream.line import Watch
from patchctl.upstream.meeting import Overlay, needs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.upstream.line import Landed, State

RECIPE = 1  # raise it when the same input would be judged differently


class Standing(str, enum.Enum):
    """What matters of an outcome from commit to commit."""

    APPLIES = "applies"
    ABSORBED = "absorbed"
    CONFLICT = "conflict"
    BLOCKED = "blocked"

    @staticmethod
    def of(outcome: Outcome) -> Standing:
        """Return the standing that an outcome means."""
        return Standing.APPLIES if outcome.applied else Standing(outcome.value)


class Fate(NamedTuple):
    """How one patch applied to one commit: the outcome, the paths in conflict."""

    outcome: Outcome
    conflicts: tuple[str, ...] = ()


class Row(NamedTuple):
    """What became of each patch on one commit: after those before it, and with only what it requires."""

    sequence: dict[str, Fate]
    alone: dict[str, Fate]


@dataclass(frozen=True)
class _Applied:
    """One application: how it ended, and what it made of which paths."""

    fate: Fate
    changes: Overlay

    def record(self, sight: str) -> dict[str, Any]:
        return {"outcome": self.fate.outcome.value, "conflicts": self.fate.conflicts,
                "changes": self.changes, "sight": sight}  # fmt: skip

    @staticmethod
    def of(record: dict[str, Any]) -> _Applied:
        changes = {path: Entry(*entry) if entry else None for path, entry in record["changes"].items()}
        return _Applied(Fate(Outcome(record["outcome"]), tuple(record["conflicts"])), changes)


class Outlook:
    """Judges the patches of one stack on any commit of upstream; ``applications`` counts what had to be tried."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.patches = series.stack
        self.store = series.store
        self.trees = Trees(self.store.repo)
        self.applications = 0
        self.whole = True  # whether the last row depends on more than what is watched
        self._known: dict[str, _Applied] = {}
        self._sight = digest([patch.sha256 for patch in self.patches])
        self._needs = {patch.id: needs_of(self.store.repo, patch.revision, self._base_tree(patch))
                       for patch in self.patches}  # fmt: skip

    def watch(self) -> Watch:
        """Return a watch on all that the patches read or make."""
        needs = self._needs.values()
        return Watch(self.store.repo, sorted({path for need in needs for path in need.reads | need.makes}))

    def bring(self, states: Iterable[State]) -> None:
        """Bring the files of these states in one request."""
        oids = {entry.oid for state in states for entry in state.values() if entry and entry.mode.startswith("100")}
        self.store.ensure_blobs(sorted(oids))

    def row(self, landed: Landed, state: State) -> Row:
        """Return what becomes of each patch on a commit that holds ``state`` at the watched paths.

        Raises PatchctlError when an object that is needed cannot be had.
        """
        self.whole = False
        sequence = self._chain(landed.tree, state, self.patches)
        alone = {patch.id: self._chain(landed.tree, state, closure([patch.id], self.patches))[patch.id]
                 for patch in self.patches}  # fmt: skip
        return Row(sequence, alone)

    def _chain(self, tree: str, state: State, patches: Sequence[Patch]) -> dict[str, Fate]:
        overlay: Overlay = {}
        fates: dict[str, Fate] = {}
        for patch in patches:
            if any(fates[name].outcome.failed for name in patch.requires if name in fates):
                fates[patch.id] = Fate(Outcome.BLOCKED)
                continue
            applied = self._meet(patch, tree, state, overlay)
            fates[patch.id] = applied.fate
            overlay.update(applied.changes)
        return fates

    def _meet(self, patch: Patch, tree: str, state: State, overlay: Overlay) -> _Applied:
        met, whole = self._needs[patch.id].met(state, overlay, tree)
        self.whole |= whole
        key = digest("meeting", RECIPE, self.store.birth, patch.sha256, met)
        if key not in self._known:
            kept = self.store.ledger.get("meeting", key)
            found = kept is not None and kept["sight"] in {"", self._sight}
            self._known[key] = _Applied.of(kept) if kept and found else self._apply(patch, tree, overlay, key)
        return self._known[key]

    def _apply(self, patch: Patch, tree: str, overlay: Overlay, key: str) -> _Applied:
        self.applications += 1
        escaping = tuple(path for path in patch.revision.paths if outside(path))
        if escaping:
            return _Applied(Fate(Outcome.CONFLICT, escaping), {})
        before = self.trees.edit(tree, overlay) if overlay else tree
        judged = self.series.judge(patch, before)
        changes = dict(self._changes(before, judged.tree)) if judged.outcome.applied else {}
        made = _Applied(Fate(judged.outcome, judged.conflicts), changes)
        self.store.ledger.put("meeting", key, made.record(self._sight if judged.blind else ""))
        return made

    def _changes(self, before: str, after: str) -> Iterator[tuple[str, Entry | None]]:
        yield from ((path, None) for path, _ in self.trees.changed(after, before))
        yield from self.trees.changed(before, after)

    def _base_tree(self, patch: Patch) -> str | None:
        base = patch.revision.base_commit
        try:
            return self.store.tree_of(base) if base else None
        except PatchctlError as error:
            if error.exit_code in {Code.INVALID, Code.ENVIRONMENT}:
                return None  # no commit of upstream, or one whose objects are gone
            raise
