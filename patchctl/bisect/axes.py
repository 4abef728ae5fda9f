"""Both axes made real: upstream's commits between two bases, and the patches of two stacks on any of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.bisect.space import Space, State
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest
from patchctl.series.judge import touched
from patchctl.series.overlap import requirements
from patchctl.series.patch import closure
from patchctl.series.resolve import Resolved, load_patches
from patchctl.series.sequence import Series
from patchctl.series.source import AppliedPatch, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.patch import Patch
    from patchctl.store import Store

OTHER = "'"  # marks a patch of the bad stack that has the id, but not the content, of one of the good stack


@dataclass(frozen=True, eq=False)
class End:
    """One end: a stack of a workspace, the commit it stands on, and the ids of the patches that count."""

    workspace: Workspace
    stack: StackFile
    base: str
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the path of the stack as people type it."""
        return self.workspace.shown(self.stack.path)


def make_end(workspace: Workspace, stack: StackFile, base: str, store: Store, only: str | None = None) -> End:
    """Return an end with all patches of a stack, or with one and what it requires."""
    ids = tuple(stack.stack.patches)
    if only is not None:
        ids = tuple(patch.id for patch in closure([only], load_patches(workspace, stack, store, base)))
    return End(workspace, stack, base, ids)


def upstream_line(store: Store, good: str, bad: str) -> tuple[list[str], bool]:
    """Return the commits from the good base to the bad one, both included, and whether time runs that way.

    Raises PatchctlError (exit code 2) when neither is on the other's first-parent line.
    """
    for old, new in ((good, bad), (bad, good)):
        listed = store.repo.run("rev-list", "--first-parent", "--reverse", f"{old}..{new}").text().split()
        line = [old, *listed]
        if old == new or (listed and store.repo.parents_of(listed[0])[:1] == [old]):
            return (line, True) if old == good else (line[::-1], False)
    why = f"{good[:9]} and {bad[:9]} are not on one line of upstream's history"
    raise PatchctlError(Code.USAGE, f"{why}; give bases of which one leads to the other")


class Axes:
    """The commits from the good base to the bad one, and the patches of both ends on each of them."""

    def __init__(self, store: Store, good: End, bad: End) -> None:
        self.store = store
        self.good = good
        self.bad = bad
        self.line, self.forward = upstream_line(store, good.base, bad.base)
        self._first = store.build_number(good.base)
        self._even = abs(store.build_number(bad.base) - self._first) == len(self.line) - 1
        self._series: dict[int, Series] = {}
        self._read: dict[tuple[End, str, str], Patch] = {}
        self._revisions: dict[tuple[End, str], list[Path]] = {}
        self.names = self._names()
        self.space = self._space()

    # --- patches ------------------------------------------------------------------------------------------------------

    def _names(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return for the ids of each end the names of its patches in the space, one name for what both have."""
        mine, theirs = ({name: name for name in end.ids} for end in (self.good, self.bad))
        if self.good.workspace.root != self.bad.workspace.root:
            for name in mine.keys() & theirs.keys():
                if self._load(self.good, 0)[name].sha256 != self._load(self.bad, 0)[name].sha256:
                    theirs[name] = name + OTHER
        return mine, theirs

    def _load(self, end: End, at: int) -> dict[str, Patch]:
        """Return an end's patches by id on one commit; pages and revisions are read once, not once for each commit."""
        files = {name: self._picked(end, name, at) for name in end.ids}
        known = {name: self._read.get((end, name, file)) for name, file in files.items()}
        if all(patch is not None for patch in known.values()):
            return {name: patch for name, patch in known.items() if patch is not None}
        loaded = {patch.id: patch for patch in load_patches(end.workspace, end.stack, self.store, self.line[at])}
        self._read |= {(end, name, file): loaded[name] for name, file in files.items()}
        return {name: loaded[name] for name in end.ids}

    def _picked(self, end: End, name: str, at: int) -> str:
        """Return the file of the revision for a commit, empty for a patch by reference; folders are listed once."""
        key = (end, name)
        if key not in self._revisions:
            self._revisions[key] = end.workspace.revisions(name)
        listed = self._revisions[key]
        return end.workspace.pick_revision(name, self.build(at), listed).name if listed else ""

    @functools.cached_property
    def _order(self) -> tuple[str, ...]:
        """Return the names in the order of the bad stack; what only the good one has follows its neighbour."""
        mine, theirs = ([names[name] for name in end.ids] for names, end in self._both())
        order = list(theirs)
        for at, name in enumerate(mine):
            if name not in order:
                before = [order.index(other) for other in mine[:at] if other in order]
                order.insert(max(before, default=-1) + 1, name)
        return tuple(order)

    def _both(self) -> tuple[tuple[dict[str, str], End], tuple[dict[str, str], End]]:
        return (self.names[0], self.good), (self.names[1], self.bad)

    def all_patches(self, at: int) -> dict[str, Patch]:
        """Return every patch of both ends by its name in the space, with its revision for one commit."""
        found = {}
        for names, end in self._both():
            loaded = self._load(end, at)
            found.update({names[name]: loaded[name] for name in end.ids})
        return {name: found[name] for name in self._order}

    def patches(self, state: State) -> list[Patch]:
        """Return the patches of a point, in order."""
        return [patch for name, patch in self.all_patches(state.at).items() if name in state.patches]

    def _space(self) -> Space:
        good, bad = (frozenset(names[name] for name in end.ids) for names, end in self._both())
        needs: dict[str, set[str]] = {name: set() for name in self._order}
        for (names, end), at, wanted in zip(self._both(), (0, len(self.line) - 1), (good, bad), strict=True):
            for one, others in self._needs(State(at, wanted)).items():
                needs[names[one]] |= {names[other] for other in others if other in end.ids}
        return Space(len(self.line) - 1, good, bad, self._order, _closed(needs))

    def _needs(self, state: State) -> dict[str, set[str]]:
        """Return what patches say that they require, and on whose lines they stand on this base."""
        patches = self.patches(state)
        found = {patch.id: set(patch.requires) for patch in patches}
        if len(patches) > 1:
            steps = self.series(state.at).sequence(self.line[state.at], patches)
            for one, others in requirements(self.store, self.line[state.at], patches, steps).items():
                found[one] |= set(others)
        return found

    # --- points -------------------------------------------------------------------------------------------------------

    def series(self, at: int) -> Series:
        """Return what applies patches on one commit."""
        if at not in self._series:
            everything = list(self.all_patches(at).values())
            allow = dict.fromkeys((*self.good.stack.stack.policy.allow, *self.bad.stack.stack.policy.allow))
            self._series[at] = Series(self.store, everything, allow=list(allow))
        return self._series[at]

    def apply(self, state: State) -> Resolved:
        """Return a point's patches applied in memory."""
        base, patches = self.line[state.at], self.patches(state)
        steps = self.series(state.at).sequence(base, patches)
        return Resolved(base, self.build(state.at), tuple(patches), tuple(steps))

    def build(self, at: int) -> int:
        """Return the build number of a commit of the line."""
        if self._even:
            return self._first + (at if self.forward else -at)
        return self.store.build_number(self.line[at])

    def source(self, resolved: Resolved) -> Source:
        """Return what the build takes."""
        commit, tree = resolved.result(self.store)
        applied = tuple(
            AppliedPatch(patch.id, patch.file, patch.sha256, step.outcome.value)
            for patch, step in zip(resolved.patches, resolved.steps, strict=True)
        )
        url, release = self.bad.stack.stack.upstream.repo, f"b{resolved.build}-{tree[:9]}"
        changed = tuple(touched(resolved.patches))
        return Source(url, resolved.base, resolved.build, commit, tree, release, applied, changed)

    def input_key(self, state: State) -> str:
        """Return what a point is made of, as a key: nothing has to be applied to know it."""
        made = [(patch.id, patch.sha256, patch.requires) for patch in self.patches(state)]
        return digest("bisect-input", 1, self.store.birth, self.line[state.at], made)

    def commit(self, step: int) -> str:
        """Return the upstream commit that a step adds, or takes away where the line runs back in time."""
        return self.line[step] if self.forward else self.line[step - 1]

    def label(self, state: State) -> str:
        """Return a point as people read it: the build, and which patches are in, the fewer of in and out."""
        base, names = f"b{self.build(state.at)}", self.space.order
        if state.patches == self.space.bad or not names:
            return base
        inside = [name for name in names if name in state.patches]
        outside = [name for name in names if name in self.space.bad and name not in state.patches]
        if len(outside) < len(inside) and state.patches <= self.space.bad:
            return f"{base} without {', '.join(outside)}"
        return f"{base} with {', '.join(inside) or 'no patch'}"

    def word(self, state: State) -> str:
        """Return a point as ``--try`` takes it: all 40 digits, a colon, the patches that are in."""
        return f"{self.line[state.at]}:{','.join(name for name in self.space.order if name in state.patches)}"

    def state(self, word: str) -> State:
        """Return the point that a word names; raises PatchctlError (exit code 2) for one that does not lie here."""
        base, colon, names = word.partition(":")
        chosen = [name for name in names.split(",") if name]
        if base not in self.line or not colon or not set(chosen) <= set(self.space.order):
            raise PatchctlError(Code.USAGE, f"{word} is no point of this bisect; --log names them as COMMIT:ID,ID")
        return State(self.line.index(base), frozenset(chosen))


def _closed(needs: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Return for each name all that it needs, directly or through others."""
    found = {name: frozenset(others) for name, others in needs.items()}
    while True:
        more = {name: mine.union(*(found[other] for other in mine)) for name, mine in found.items()}
        if more == found:
            return found
        found = more


def plain(names: Sequence[str]) -> list[str]:
    """Return the ids that these names of the space stand for."""
    return [name.removesuffix(OTHER) for name in names]
