"""Commits of upstream at which what still applies no longer compiles, bracketed by search.

Whether it compiles depends on the whole tree, so trying every commit would mean building every commit. Between two
commits at which the same patches apply, one that compiles and one that does not, the search halves until they are
neighbours. What broke and was mended in between is not seen: a bracket is no forecast, and is labelled as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from patchctl.upstream.outlook import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from patchctl.upstream.forecast import Forecast
    from patchctl.upstream.line import Landed


class Tried(NamedTuple):
    """Whether patches compile on a commit; None when that cannot be told, since upstream alone does not."""

    compiles: bool | None
    detail: str = ""


@dataclass(frozen=True)
class Stretch:
    """Neighbouring commits at which the same patches apply: which, and the commits in order."""

    patches: tuple[str, ...]
    commits: tuple[Landed, ...]


@dataclass(frozen=True)
class Break:
    """The last commit at which the patches compiled (None: they never did in this stretch), the first at which not.

    ``exact`` when the two are neighbours, or ``bad`` begins the stretch; ``detail`` is the first error.
    """

    patches: tuple[str, ...]
    good: Landed | None
    bad: Landed
    exact: bool
    detail: str


def stretches(found: Forecast, commits: Sequence[Landed]) -> list[Stretch]:
    """Return the commits of a forecast, its base first, parted where other patches of the stack apply."""
    applied = {name: fate.outcome.applied for name, fate in found.start.sequence.items()}
    changes: dict[str, list[tuple[str, bool]]] = {}
    for one in found.events:
        if one.patch is not None and not one.alone:
            changes.setdefault(one.commit, []).append((one.patch, one.after is Standing.APPLIES))
    parts: list[tuple[tuple[str, ...], list[Landed]]] = []
    for landed in commits:
        applied.update(changes.get(landed.oid, ()))
        ids = tuple(name for name, there in applied.items() if there)
        if not parts or parts[-1][0] != ids:
            parts.append((ids, []))
        parts[-1][1].append(landed)
    return [Stretch(ids, tuple(some)) for ids, some in parts if ids]


def breaks(parts: Sequence[Stretch], gate: Callable[[Landed, tuple[str, ...]], Tried]) -> Iterator[Break]:
    """Yield the break of each stretch that has one; ``gate`` is asked about its ends and some commits between."""
    for part in parts:
        found = _search(part, gate)
        if found is not None:
            yield found


def _search(part: Stretch, gate: Callable[[Landed, tuple[str, ...]], Tried]) -> Break | None:
    """Return where a stretch stops to compile, None when both ends do or nothing can be told."""
    known: dict[int, Tried] = {}

    def tried(at: int) -> Tried:
        if at not in known:
            known[at] = gate(part.commits[at], part.patches)
        return known[at]

    last = len(part.commits) - 1
    low = next((at for at in range(last + 1) if tried(at).compiles is not None), None)
    high = next((at for at in range(last, -1, -1) if tried(at).compiles is not None), None)
    if low is None or high is None or tried(high).compiles:
        return None
    if not tried(low).compiles:
        return Break(part.patches, None, part.commits[low], low == 0, tried(low).detail)
    while (middle := _between(low, high, tried)) is not None:
        low, high = (middle, high) if tried(middle).compiles else (low, middle)
    return Break(part.patches, part.commits[low], part.commits[high], high - low == 1, tried(high).detail)


def _between(low: int, high: int, tried: Callable[[int], Tried]) -> int | None:
    """Return the commit nearest to the middle that can be told of, None when there is none between the two."""
    middle = (low + high) // 2
    near = sorted(range(low + 1, high), key=lambda at: abs(at - middle))
    return next((at for at in near if tried(at).compiles is not None), None)
