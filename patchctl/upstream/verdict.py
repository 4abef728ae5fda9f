"""What to do about a patch, from facts alone: pure, a table of cases."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Verdict(str, enum.Enum):
    """What to do with a patch on a base."""

    KEEP = "keep"
    RETIRE = "retire"
    REVIEW = "review"
    UNKNOWN = "unknown"


class Kind(str, enum.Enum):
    """What a piece of evidence is; the order is that of the policy."""

    DECLARED = "declared"  # drop_when.commit is in the base: the author said that this commit replaces the patch
    PROBE = "probe"  # the patch's probe passes on the unpatched base
    NEEDED = "needed"  # the patch's probe fails on the unpatched base
    LANDED = "landed"  # a landing of the patch's pull request is in the base and agrees with the patch
    PARTLY_LANDED = "partly landed"  # it is in the base, with some of the patch's hunks
    LANDED_WITH_CHANGES = "landed with changes"  # it is in the base, but brings something else
    REVERTED = "reverted"  # a landing was taken back before the base
    TAKEN_BACK = "taken back"  # the patch retired, and what brought it to upstream was taken back since
    PATCH_ID = "patch-id"  # a commit in the base makes the very same change
    ABSORBED = "absorbed"  # merged with the base, the patch brings nothing
    COVERAGE = "coverage"  # the lines it adds stand in the base, and did not on the revision's own base
    REVERSES = "reverse-apply"  # taken backwards it applies to the base: shown, and never counted
    MISSING = "missing"  # a commit or pull request that the page names is not upstream's
    CLASH = "clash"  # it takes a number or name that upstream gave to something else
    MOVED = "head moved"  # the pull request has another head than the one that was reviewed
    SUPERSEDED = "superseded"  # its pull request was closed for another one
    SUPERSET = "superset"  # it holds all of another patch of the stack
    SAME_HUNK = "same-hunk"  # it makes a part of another patch's change once more
    BROKEN = "broken"  # it conflicts, and its page names nothing by which a landing could be known
    DUE = "due"  # the page asks for a review from this build or day on
    OPEN = "open"  # the pull request is not merged yet
    MERGED = "merged"  # the pull request is merged, but not into the base
    CLOSED = "closed"  # the pull request was closed without merging
    UNTRIED = "untried"  # the page says that the probe decides, and nobody tried it on the base


@dataclass(frozen=True)
class Evidence:
    """One fact about a patch against upstream: its kind, the commit it is about (or None), its build, one sentence.

    ``difference`` shows how something landed or moved, as ``git range-diff`` does; ``rest`` is the patch that remains
    of one that landed partly. Both are empty where there is nothing to show.
    """

    kind: Kind
    commit: str | None
    build: int | None
    detail: str
    difference: str = ""
    rest: str = ""


PROOF = (Kind.DECLARED, Kind.PROBE, Kind.LANDED)
DIFFERS = (Kind.PARTLY_LANDED, Kind.LANDED_WITH_CHANGES)
CONTENT = (Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE)
BROUGHT = (Kind.DECLARED, Kind.LANDED, *DIFFERS, Kind.PATCH_ID)  # names the commit that brought it
BACK = frozenset({Kind.REVERTED, Kind.TAKEN_BACK})
ASKS = (
    Kind.TAKEN_BACK,
    Kind.CLASH,
    Kind.MOVED,
    Kind.SUPERSEDED,
    Kind.SUPERSET,
    Kind.SAME_HUNK,
    Kind.BROKEN,
    Kind.DUE,
)  # a person should look, whatever landed
STANDS = (Kind.REVERTED, Kind.NEEDED, Kind.MERGED, Kind.CLOSED, Kind.OPEN, Kind.UNTRIED)  # why a patch is still needed
NOT_IN = "not in the base"


def decide(evidence: Sequence[Evidence], *, named: bool = False) -> tuple[Verdict, str]:
    """Return the verdict and its reason; ``named``: the patch's page names the pull request that it is.

    Proof retires, unless the probe contradicts it. A landing that differs, or one sign by content alone, wants a
    person. Two independent signs by content retire, but not a patch whose pull request has not landed, or may not have:
    then the same text came from somebody else. A revert brings the patch back. Not applying is no sign of landing, and
    applying none of need.
    """
    by_kind = {one.kind: one for one in reversed(evidence)}
    return _by_landing(by_kind) or _by_content(by_kind, named=named) or _by_state(by_kind)


def _by_landing(by_kind: Mapping[Kind, Evidence]) -> tuple[Verdict, str] | None:
    needed = by_kind.get(Kind.NEEDED)
    for kind in PROOF:
        if kind in by_kind and needed is not None:
            return Verdict.REVIEW, f"{by_kind[kind].detail}, but {needed.detail}"
        if kind in by_kind:
            return Verdict.RETIRE, by_kind[kind].detail
    found = next((by_kind[kind] for kind in DIFFERS if kind in by_kind), None)
    return (Verdict.REVIEW, found.detail) if found and needed is None else None


def _by_content(by_kind: Mapping[Kind, Evidence], *, named: bool) -> tuple[Verdict, str] | None:
    """Judge by what the base holds; after a revert only a base that holds all of the patch again counts."""
    signs = [by_kind[kind] for kind in CONTENT if kind in by_kind]
    if not signs or Kind.NEEDED in by_kind or (BACK & by_kind.keys() and Kind.ABSORBED not in by_kind):
        return None
    said = "; ".join(sign.detail for sign in signs)
    unmerged = next((by_kind[kind].detail for kind in (Kind.OPEN, Kind.MERGED) if kind in by_kind), None)
    if unmerged is not None:
        return Verdict.REVIEW, f"{said}; but {unmerged}"
    if named and not {Kind.CLOSED, Kind.REVERTED} & by_kind.keys():
        return Verdict.REVIEW, f"{said}; but its pull request is not known to have landed"
    return (Verdict.RETIRE, said) if len(signs) > 1 else (Verdict.REVIEW, f"{said}; one sign alone is no proof")


def _by_state(by_kind: Mapping[Kind, Evidence]) -> tuple[Verdict, str]:
    if Kind.MISSING in by_kind:
        return Verdict.UNKNOWN, by_kind[Kind.MISSING].detail
    answered = {Kind.BROKEN} if Kind.NEEDED in by_kind else set()
    asks = [by_kind[kind].detail for kind in ASKS if kind in by_kind and kind not in answered]
    stands = next((by_kind[kind].detail for kind in STANDS if kind in by_kind), NOT_IN)
    return (Verdict.REVIEW, "; ".join(asks)) if asks else (Verdict.KEEP, stands)
