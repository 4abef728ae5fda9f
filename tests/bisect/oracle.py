"""Bisects played without builds: a truth that answers, and a player that counts what was asked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchctl.bisect.evidence import Evidence, Exact, Look, NeedError
from patchctl.bisect.search import Found, search
from patchctl.bisect.space import Space, State, Verdict

if TYPE_CHECKING:
    import random
    from collections.abc import Callable


@dataclass
class Played:
    """How one bisect went: the answer, and how often each point was looked at."""

    found: Found
    looks: Counter[State]
    skips: int
    evidence: Evidence

    @property
    def tests(self) -> int:
        return sum(self.looks.values())

    @property
    def points(self) -> int:
        """Return how many points were looked at that could be tested."""
        return len(self.looks) - self.skips


@dataclass
class Case:
    """A space, the answer that is right, and what each point truly is."""

    space: Space
    kind: str
    step: int | None = None
    patches: tuple[str, ...] = ()
    broken: set[int] = field(default_factory=set)

    def is_bad(self, state: State) -> bool:
        there = self.step is None or state.at >= self.step
        return there and all((patch in state.patches) == (patch in self.space.bad) for patch in self.patches)

    def __call__(self, state: State) -> Verdict:
        if state.at in self.broken:
            return Verdict.SKIP
        return Verdict.BAD if self.is_bad(state) else Verdict.GOOD

    def right(self, found: Found) -> bool:
        """Return whether an answer names the culprit, or a range of commits that holds it between broken ones."""
        if set(found.patches) != set(self.patches):
            return False
        if self.step is None or found.steps is None:
            return self.step is None and found.steps is None
        inside = range(found.steps.good + 1, found.steps.bad)
        return found.steps.good < self.step <= found.steps.bad and all(at in self.broken for at in inside)


def play(
    space: Space, truth: Callable[[State], Verdict], evidence: Evidence | None = None, most: int = 10_000
) -> Played:
    """Answer every question of a search from ``truth``."""
    evidence = evidence or Exact()
    looks: Counter[State] = Counter()
    skips = 0
    while sum(looks.values()) < most:
        found = following(space, evidence)
        if isinstance(found, Found):
            return Played(found, looks, skips, evidence)
        verdict = truth(found)
        looks[found] += 1
        skips += verdict is Verdict.SKIP
        evidence.add(found, Look(verdict, float(verdict is Verdict.BAD), float(sum(looks.values()))))
    raise AssertionError(f"no answer after {most} tests")


def following(space: Space, evidence: Evidence) -> Found | State:
    """Return the answer, or the point that the search needs."""
    try:
        return search(space, evidence)
    except NeedError as need:
        return need.state


NAMES = [f"p{number:02}" for number in range(16)]


def random_needs(names: list[str], chance: random.Random) -> dict[str, frozenset[str]]:
    """Some patches need an earlier one, and all that it needs."""
    needs: dict[str, frozenset[str]] = {}
    for at, name in enumerate(names):
        if at and chance.random() < 0.2:
            other = chance.choice(names[:at])
            needs[name] = frozenset({other}) | needs.get(other, frozenset())
    return needs


def random_case(kind: str, chance: random.Random, *, broken: bool = False) -> Case:
    """A space of hundreds of commits and 8 to 16 patches, and a culprit of this kind."""
    steps = chance.randint(100, 600)
    names = NAMES[: chance.randint(8, 16)]
    needs = random_needs(names, chance)
    step, patches, good, bad = None, (), frozenset(names), frozenset(names)
    if kind in {"upstream", "meeting"}:
        step = chance.randint(1, steps)
    if kind == "meeting":
        patches = (chance.choice(names),)
    if kind in {"patch", "pair", "removal", "added meeting"}:
        loose = [name for name in names if not any(name in some for some in needs.values()) and name not in needs]
        changed = loose if kind == "removal" else names
        patches = tuple(sorted(chance.sample(changed, 2 if kind == "pair" else 1)))
        while any(one in needs.get(other, ()) for one in patches for other in patches):
            patches = tuple(sorted(chance.sample(changed, 2)))
        good, bad = (frozenset(names), frozenset(names) - set(loose)) if kind == "removal" else (frozenset(), bad)
    if kind == "added meeting":
        step = chance.randint(1, steps)
    case = Case(Space(steps, good, bad, tuple(names), needs), kind, step, patches)
    if broken:
        first = chance.randint(1, steps - 1)
        case.broken = set(range(first, min(first + chance.randint(1, 60), steps)))
    return case
