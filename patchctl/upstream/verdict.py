"""What to do about a patch, from facts alone: pure, a table of cases."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    LANDED = "landed"  # a landing of the patch's pull request is in the base and agrees with the patch
    LANDED_WITH_CHANGES = "landed with changes"  # it is in the base, but brings something else
    REVERTED = "reverted"  # a landing was taken back before the base
    PATCH_ID = "patch-id"  # a commit in the base makes the very same change
    ABSORBED = "absorbed"  # merged with the base, the patch brings nothing
    COVERAGE = "coverage"  # the lines it adds stand in the base, and did not on the revision's own base
    MISSING = "missing"  # a commit that the page names is not upstream's


@dataclass(frozen=True)
class Evidence:
    """One fact about a patch against upstream: its kind, the commit it is about (or None), its build, one sentence."""

    kind: Kind
    commit: str | None
    build: int | None
    detail: str


# What settles a verdict by itself, the strongest first. A landing that was taken back counts only while the base does
# not hold the change all the same (re-landed under another number).
SETTLED = (
    (Kind.DECLARED, Verdict.RETIRE),
    (Kind.PROBE, Verdict.RETIRE),
    (Kind.LANDED, Verdict.RETIRE),
    (Kind.LANDED_WITH_CHANGES, Verdict.REVIEW),
    (Kind.REVERTED, Verdict.KEEP),
)
CONTENT = (Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE)


def decide(evidence: Sequence[Evidence]) -> tuple[Verdict, str]:
    """Return the verdict and its reason.

    Proof retires. A landing that differs, or one sign by content alone, wants a person. Two independent signs by
    content retire. A revert brings the patch back. Not applying is no sign of landing, and applying none of need.
    """
    by_kind = {one.kind: one for one in reversed(evidence)}
    signs = [by_kind[kind] for kind in CONTENT if kind in by_kind]
    for kind, verdict in SETTLED:
        if kind in by_kind and not (kind is Kind.REVERTED and Kind.ABSORBED in by_kind):
            return verdict, by_kind[kind].detail
    if len(signs) >= 2:
        return Verdict.RETIRE, "; ".join(sign.detail for sign in signs)
    if signs:
        return Verdict.REVIEW, f"{signs[0].detail}; one sign alone is no proof"
    missing = by_kind.get(Kind.MISSING)
    return (Verdict.UNKNOWN, missing.detail) if missing else (Verdict.KEEP, "not in the base")
