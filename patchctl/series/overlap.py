"""What the patches of a stack have to do with each other and with what upstream did: things a person should look at.

None of it makes a check fail. Each kind can be acknowledged in the page of the patch (``acknowledged: [double]``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, PatchctlError
from patchctl.git import MissingObjectError
from patchctl.ledger import digest
from patchctl.manifest.revision import parse
from patchctl.series.apply import split_lines
from patchctl.series.judge import touched
from patchctl.series.ownership import Ownership, reduced
from patchctl.series.revise import export_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.manifest.revision import Change, Revision
    from patchctl.series.ownership import Made
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series, Step
    from patchctl.series.trees import Trees
    from patchctl.store import Store

VERSION = 2
LISTED = 3  # lines or ids named in one sentence
WORD = re.compile(rb"\w")
Piece = tuple[str, tuple[bytes, ...], tuple[bytes, ...]]  # path, lines removed, lines added


@dataclass(frozen=True)
class Warned:
    """One thing to look at: its kind, the sentence, the other patches and the path it is about."""

    kind: str
    message: str
    patches: tuple[str, ...] = ()
    path: str = ""


@dataclass(frozen=True)
class _Applied:
    patch: Patch
    step: Step
    revision: Revision  # of the commit it resulted in, without lines of context


def warnings(series: Series, base: str, patches: Sequence[Patch], steps: Sequence[Step]) -> dict[str, list[Warned]]:
    """Return for each patch what a person should look at and has not acknowledged in its page."""
    store = series.store
    made = [
        [patch.id, patch.sha256, patch.requires, step.commit, patch.first and patch.first.sha256]
        for patch, step in zip(patches, steps, strict=True)
    ]
    key = digest("overlap", VERSION, store.birth, base, made)
    kept = store.ledger.get("overlap", key)
    if kept is None:
        upstream = _Upstream(store, series.trees, base, sorted(touched(patches)))
        found = _warnings(upstream, patches, steps)
        kept = {patch_id: [asdict(one) for one in some] for patch_id, some in found.items()}
        if upstream.was_reached:
            store.ledger.put("overlap", key, kept)
    return {patch.id: list(_unacknowledged(patch, kept[patch.id])) for patch in patches}


def among(patches: Sequence[Patch]) -> dict[str, list[Warned]]:
    """Return for each patch what the patches alone tell of it, a base or not, and its page does not acknowledge."""
    found: dict[str, list[Warned]] = {patch.id: [] for patch in patches}
    for patch_id, warned in repeated(patches):
        found[patch_id].append(warned)
    return {patch.id: [one for one in found[patch.id] if one.kind not in patch.acknowledged] for patch in patches}


def _unacknowledged(patch: Patch, kept: Sequence[dict[str, Any]]) -> Iterator[Warned]:
    for one in kept:
        if one["kind"] not in patch.acknowledged:
            yield Warned(**{**one, "patches": tuple(one["patches"])})


def requirements(store: Store, base: str, patches: Sequence[Patch], steps: Sequence[Step]) -> dict[str, list[str]]:
    """Return for each patch the earlier ones whose lines it needs, without those that another of them brings along."""
    needs = {one.patch.id: made.needs for one, made in _followed(_applied(store, base, patches, steps))}
    order = [patch.id for patch in patches]
    closures: dict[str, set[str]] = {}
    for patch_id in order:
        mine = needs.get(patch_id, set())
        closures[patch_id] = mine.union(*(closures[one] for one in mine)) if mine else set()
    return {patch_id: reduced(needs.get(patch_id, ()), order, closures) for patch_id in order}


def _warnings(upstream: _Upstream, patches: Sequence[Patch], steps: Sequence[Step]) -> dict[str, list[Warned]]:
    store, trees, base = upstream.store, upstream.trees, upstream.base
    found: dict[str, list[Warned]] = {patch.id: [] for patch in patches}
    applied = _applied(store, base, patches, steps)
    closures = _closures(patches)
    order = [patch.id for patch in patches]
    for one, made in _followed(applied):
        mine = found[one.patch.id]
        missing = reduced(made.needs - closures[one.patch.id], order, closures)
        if missing:
            named = _listed(missing)
            mine.append(Warned("requires", f"needs lines of {named}; add to requires", tuple(missing)))
        # What came after the commit that its first revision was made on, nobody wrote the patch for.
        since = (one.patch.first or one.patch).revision.base_commit
        mine += _deletions(upstream, made, since or base)
        mine += _doubled(trees, one)
    for patch_id, warned in repeated(patches):
        found[patch_id].append(warned)
    return found


def _applied(store: Store, base: str, patches: Sequence[Patch], steps: Sequence[Step]) -> list[_Applied]:
    """Return the patches that are in the resulting tree, with what each really changed there."""
    there = [(patch, step) for patch, step in zip(patches, steps, strict=True) if step.outcome.applied]
    mails = export_line(store, base, steps[-1].commit, context=0) if there else []
    return [_Applied(patch, step, parse(mail, patch.label)) for (patch, step), mail in zip(there, mails, strict=True)]


def _followed(applied: Sequence[_Applied]) -> Iterator[tuple[_Applied, Made]]:
    ownership = Ownership()
    for one in applied:
        yield one, ownership.follow(one.patch.id, one.revision.changes)


def _closures(patches: Sequence[Patch]) -> dict[str, set[str]]:
    """Return for each patch all that it requires, directly or through others."""
    closures: dict[str, set[str]] = defaultdict(set)
    for patch in patches:
        mine = set(patch.requires)
        closures[patch.id] = mine.union(*(closures[one] for one in mine))
    return closures


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


# --- lines upstream added since ---------------------------------------------------------------------------------------


class _Upstream:
    """Which lines of the base upstream added since an older commit; asked once for all ``paths`` of each commit."""

    def __init__(self, store: Store, trees: Trees, base: str, paths: Sequence[str]) -> None:
        self.store = store
        self.trees = trees
        self.base = base
        self.paths = paths
        self.was_reached = True  # else another time there may be more to see
        self._known: dict[str, dict[str, set[int]]] = {}

    def added(self, since: str, path: str) -> set[int]:
        """Return the numbers (from 1) of the lines of ``path`` that are newer than ``since``; none when unknown."""
        if since == self.base:
            return set()
        if since not in self._known:
            try:
                self._known[since] = self._added(since)
            except PatchctlError as error:
                self._known[since] = {}  # what cannot be asked cannot be warned of
                self.was_reached &= error.exit_code != Code.NETWORK
        return self._known[since].get(path, set())

    def _added(self, since: str) -> dict[str, set[int]]:
        store, trees = self.store, self.trees
        if not store.repo.is_ancestor(since, self.base):
            return {}
        both = [(trees.entry(store.tree_of(since), path), trees.entry(store.tree_of(self.base), path), path)
                for path in self.paths]  # fmt: skip
        changed = [(old, new, path) for old, new, path in both if old and new and old.oid != new.oid]
        if not changed:
            return {}
        store.ensure_blobs(entry.oid for old, new, _ in changed for entry in (old, new))
        words = (
            "diff",
            "--unified=0",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            since,
            self.base,
        )
        shown = store.repo.run(*words, "--", *(f":(literal){path}" for _, _, path in changed)).stdout
        return {path: lines for part in shown.split(b"\ndiff --git ") for path, lines in _new_lines(part)}


def _new_lines(part: bytes) -> Iterator[tuple[str, set[int]]]:
    """Return the path of one file's diff and the lines it adds."""
    named = _NEW_NAME.search(part)
    if named:
        ranges = _NEW_LINES.findall(part)
        lines = {number for start, count in ranges for number in range(int(start), int(start) + int(count or 1))}
        yield named[1].decode("utf-8", "surrogateescape"), lines


_NEW_NAME = re.compile(rb"^\+\+\+ b/([^\n\t]+)", re.MULTILINE)
_NEW_LINES = re.compile(rb"^@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)


def _deletions(upstream: _Upstream, made: Made, since: str) -> Iterator[Warned]:
    for path, lines in made.removes.items():
        if not any(map(_tells, lines.values())):
            continue
        newer = sorted(number for number in upstream.added(since, path) & lines.keys() if _tells(lines[number]))
        if newer:
            shown = lines[newer[0]].decode("utf-8", "replace").strip()
            message = f"deletes {_count(len(newer), 'line')} that upstream added since {since[:9]}: {shown!r}"
            yield Warned("deletes-upstream", message, (), path)


def _tells(line: bytes) -> bool:
    """Return whether a line says something: braces and blanks stand everywhere."""
    return len(WORD.findall(line)) >= 4


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


# --- lines that stand there already -----------------------------------------------------------------------------------


def _doubled(trees: Trees, one: _Applied) -> Iterator[Warned]:
    for change in one.revision.changes:
        if change.new_path is None or change.old_path is None or not any(hunk.new for hunk in change.hunks):
            continue
        at = _doubled_at(trees, one.step.tree, change)
        if at is not None:
            message = (
                f"adds {_count(at[1], 'line')} that already stand beside themselves (line {at[0]}): applied twice?"
            )
            yield Warned("double", message, (), change.new_path)


def _doubled_at(trees: Trees, tree: str, change: Change) -> tuple[int, int] | None:
    """Return the line (from 1) where added lines stand twice, one after the other, and how many; None when nowhere."""
    entry = trees.entry(tree, change.new_path or "")
    try:
        lines = split_lines(trees.repo.read(entry.oid, "blob")) if entry else []
    except MissingObjectError:
        return None
    moved = 0
    for hunk in change.hunks:
        start, count = hunk.start + moved, len(hunk.new)
        moved += count - len(hunk.old)
        # A replacement keeps the number of copies; only what is purely added can double.
        if hunk.old or not _block(hunk.new):
            continue
        for first in range(max(start - count, 0), start + 1):
            if lines[first : first + count] == lines[first + count : first + 2 * count]:
                return first + 1, count
    return None


def _block(lines: Sequence[bytes]) -> bool:
    """Return whether repeated lines are no accident: two that say something, or one that says much."""
    telling = [len(WORD.findall(line)) for line in lines]
    return sum(count >= 4 for count in telling) > 1 or max(telling, default=0) >= 16


# --- the same hunk twice ----------------------------------------------------------------------------------------------


def repeated(patches: Sequence[Patch]) -> Iterator[tuple[str, Warned]]:
    """Return (id, warning) of each patch that makes a change of an earlier one again, all of it or some hunks."""
    pieces = {patch.id: set(_pieces(patch.revision)) for patch in patches}
    holders: dict[Piece, list[str]] = defaultdict(list)
    for patch in patches:
        shared: dict[str, set[Piece]] = defaultdict(set)
        for piece in pieces[patch.id]:
            # What a patch in between took back is meant to come again.
            back = (piece[0], piece[2], piece[1])
            for other in holders[piece]:
                if not any(back in pieces[between] for between in _after(holders[back], other, patches)):
                    shared[other].add(piece)
            holders[piece].append(patch.id)
        for other, some in shared.items():
            yield patch.id, _shared(other, some, pieces[other], pieces[patch.id])


def _after(holders: Sequence[str], other: str, patches: Sequence[Patch]) -> list[str]:
    order = [patch.id for patch in patches]
    return [holder for holder in holders if order.index(holder) > order.index(other)]


def _shared(other: str, some: set[Piece], theirs: set[Piece], mine: set[Piece]) -> Warned:
    path = min(some)[0]
    if some == theirs:
        what = "makes the same change as" if some == mine else "holds all of"
        return Warned("superset", f"{what} {other}; one of them is enough", (other,), path)
    return Warned("same-hunk", f"has {_count(len(some), 'hunk')} of {other} once more", (other,), path)


def _pieces(revision: Revision) -> Iterator[Piece]:
    for change in revision.changes:
        for hunk in change.hunks:
            old = hunk.old[hunk.leading : len(hunk.old) - hunk.trailing]
            new = hunk.new[hunk.leading : len(hunk.new) - hunk.trailing]
            if _block((*old, *new)):
                yield change.path, old, new
