"""What was seen at which point, and what follows from it. Pure: what is not known is asked for by ``NeedError``.

``Exact`` believes one look at a point. ``Noisy`` takes as many as the stated confidence needs, where they tell most.
A search is run again from the start whenever something new was seen: the same evidence always gives the same question,
so a bisect can be stopped anywhere, and several questions can be asked at once.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from patchctl.bisect.line import Range, narrow
from patchctl.bisect.noise import Tally, information, posterior
from patchctl.bisect.space import State, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from patchctl.bisect.noise import Model, Step


# A posterior is as good as its priors: where they are far from the truth it errs up to twice as often as it says
# (benchmarks/bisecting.py measures it), so it is asked for, and said to err, twice as often.
RESERVE = 2.0
CHEAPEST = 5.0  # times cheaper than the dearest look a look may count as
AT_ENDS = 0.2  # of the permitted error
# After how many looks at each end they are compared: at each count that is looked at, chance gets another try.
COMPARED = (3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)


@dataclass(frozen=True)
class Look:
    """One test of one point: good, bad or skip; for ``Noisy`` the number that stands for it, and when (seconds)."""

    verdict: Verdict
    value: float = 0.0
    when: float = 0.0


class NeedError(Exception):
    """The search cannot go on without a look at this point."""

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


class Compared(NamedTuple):
    """How likely the bad end is worse, and worse, or better, by so much that it counts."""

    worse: float
    counts: float
    counts_better: float


class EndsError(Exception):
    """The ends enclose no culprit: ``why`` is swapped, agree-good, agree-bad, agree, small, near, skip or flaky."""

    def __init__(self, why: str, state: State) -> None:
        super().__init__(why)
        self.why = why
        self.state = state


def nothing(states: Sequence[State]) -> Mapping[State, Sequence[Look]]:  # noqa: ARG001 - the shape of a recall
    """Recall nothing."""
    return {}


NO_LOOK = Tally()


class Evidence(ABC):
    """Looks by point; ``recall`` is asked for those of earlier bisects before a line is searched."""

    certain = True

    def __init__(
        self,
        recall: Callable[[Sequence[State]], Mapping[State, Sequence[Look]]] = nothing,
        cost: Callable[[State], float] = lambda _: 1.0,
    ) -> None:
        self.looks: dict[State, list[Look]] = defaultdict(list)
        self.recall = recall
        self.cost = cost
        self.error = 0.0
        # Of the line searched last: each step with how likely it is the culprit. Empty where nothing is left to chance.
        self.likely: list[tuple[State, State, float]] = []
        self._recalled: set[State] = set()

    def add(self, state: State, look: Look) -> None:
        """Note what was seen."""
        self.looks[state].append(look)

    def imagined(self, state: State, verdict: Verdict) -> Evidence:
        """Return this evidence with one more look, as if it had ended so."""
        other = self.copy()
        other.looks = defaultdict(list, {key: list(found) for key, found in self.looks.items()})
        # At a time of its own, since looks of one time are one look.
        other.add(state, Look(verdict, float(verdict is Verdict.BAD), -1.0 - len(self.looks)))
        return other

    @abstractmethod
    def copy(self) -> Evidence:
        """Return evidence of the same kind, without looks."""

    def start(self) -> None:
        """Begin a search: what earlier runs of it spent does not count."""
        self.error = 0.0

    def remember(self, states: Iterable[State]) -> None:
        """Take over what earlier bisects saw at these points."""
        asked = [state for state in states if state not in self._recalled]
        self._recalled.update(asked)
        for state, looks in self.recall(asked).items() if asked else ():
            if not self.looks[state]:
                self.looks[state] = list(looks)

    def verdict(self, state: State) -> Verdict | None:
        """Return how a point was judged by its first look, or None."""
        looks = self.looks.get(state)
        return looks[0].verdict if looks else None

    def leaning(self, state: State) -> Verdict | None:
        """Return what all that was seen makes of a point that was looked at; nobody has to be sure of it yet."""
        return self.verdict(state)

    @abstractmethod
    def ends(self, good: State, bad: State, *, bad_again: bool = True) -> None:
        """Make sure that the ends are what they are said to be; raises EndsError.

        Without ``bad_again`` the second look at the bad one is left to ``again``.
        """

    @abstractmethod
    def again(self, end: State, unless: Sequence[State] = ()) -> None:
        """Look at an end a second time, unless these points, which are bad as it is, were looked at twice."""

    @abstractmethod
    def ask(self, state: State) -> Verdict:
        """Return how a point is judged."""

    @abstractmethod
    def line(self, states: Sequence[State], *, last: int = 1) -> Range:
        """Return where a line that starts good and ends bad turns; ``last`` weighs its last step."""


class Exact(Evidence):
    """A test that always says the same: one look is enough; both ends are looked at ``looks_at_ends`` times."""

    def __init__(
        self,
        recall: Callable[[Sequence[State]], Mapping[State, Sequence[Look]]] = nothing,
        cost: Callable[[State], float] = lambda _: 1.0,
        *,
        looks_at_ends: int = 1,
    ) -> None:
        super().__init__(recall, cost)
        self.looks_at_ends = looks_at_ends

    def copy(self) -> Evidence:
        """Return evidence of the same kind, without looks."""
        return Exact(self.recall, self.cost, looks_at_ends=self.looks_at_ends)

    def ends(self, good: State, bad: State, *, bad_again: bool = True) -> None:
        """Look at both ends, and then again where a repeat is wanted; always where they are not what they should be."""
        self.remember((good, bad))
        seen = [self._end(state) for state in (good, bad)]
        self._repeat(good, self.looks_at_ends)
        enough = bad_again or seen != [Verdict.GOOD, Verdict.BAD]
        self._repeat(bad, self.looks_at_ends if enough else 1)
        if seen == [Verdict.BAD, Verdict.GOOD]:
            raise EndsError("swapped", good)
        if seen[0] is not Verdict.GOOD:
            raise EndsError("agree-bad", good)
        if seen[1] is not Verdict.BAD:
            raise EndsError("agree-good", bad)

    def _end(self, state: State) -> Verdict:
        verdict = self.ask(state)
        if verdict is Verdict.SKIP:
            raise EndsError("skip", state)
        return verdict

    def _repeat(self, state: State, times: int) -> None:
        looks = self.looks[state]
        if len({look.verdict for look in looks}) > 1:
            raise EndsError("flaky", state)
        if len(looks) < times:
            raise NeedError(state)

    def again(self, end: State, unless: Sequence[State] = ()) -> None:
        """Look at an end a second time; points of one tree share a look, which is one then."""
        if len({look.when for state in unless for look in self.looks[state]}) < self.looks_at_ends:
            self._repeat(end, self.looks_at_ends)

    def ask(self, state: State) -> Verdict:
        """Return the verdict of the one look."""
        verdict = self.verdict(state)
        if verdict is None:
            self.remember([state])
            verdict = self.verdict(state)
        if verdict is None:
            raise NeedError(state)
        return verdict

    def line(self, states: Sequence[State], *, last: int = 1) -> Range:
        """Search by halves."""
        self.remember(states)
        seen = {at: self.verdict(state) for at, state in enumerate(states)}
        known = {at: verdict for at, verdict in seen.items() if verdict is not None}
        # What the line is known to begin and end with counts, whatever was recalled.
        known |= {0: Verdict.GOOD, len(states) - 1: Verdict.BAD}
        found = narrow(known, lambda at: self.cost(states[at]), last=last)
        if isinstance(found, Range):
            return found
        raise NeedError(states[found])


class Noisy(Evidence):
    """A test that does not always say the same: looks until the whole answer is right with ``confidence``.

    The permitted error is spent: some on telling the ends apart, the rest on the parts of the search, half of what is
    left on each (all of it when there is one part only).
    """

    certain = False

    def __init__(
        self,
        recall: Callable[[Sequence[State]], Mapping[State, Sequence[Look]]] = nothing,
        cost: Callable[[State], float] = lambda _: 1.0,
        *,
        model: Model,
        confidence: float,
        one_part: bool = False,
    ) -> None:
        super().__init__(recall, cost)
        self.model = model
        self.confidence = confidence
        self.one_part = one_part
        self._ends: tuple[State, State] | None = None
        self._left = 0.0
        self._tallies: dict[State, tuple[int, Tally]] = {}
        # By how many looks at each end, whether they differ: what was seen first does not change.
        self._compared: dict[int, Compared] = {}
        self._latest: State | None = None

    def copy(self) -> Evidence:
        """Return evidence of the same kind, without looks."""
        return Noisy(
            self.recall, self.cost, model=self.model, confidence=self.confidence, one_part=self.one_part
        )  # fmt: skip

    def add(self, state: State, look: Look) -> None:
        """Note what was seen."""
        super().add(state, look)
        self._latest = state

    def start(self) -> None:
        """Begin a search with the whole permitted error."""
        super().start()
        self._left = (1 - self.confidence) * (1 - AT_ENDS) / RESERVE

    def _spend(self) -> float:
        part = self._left if self.one_part else self._left / 2
        self._left -= part
        return part

    def tally(self, state: State) -> Tally:
        """Return the looks at a point, added up."""
        looks = self.looks.get(state)
        if not looks:
            return NO_LOOK
        count, known = self._tallies.get(state, (0, NO_LOOK))
        if count < len(looks):
            known += _tally(looks[count:])
            self._tallies[state] = (len(looks), known)
        return known

    def verdict(self, state: State) -> Verdict | None:
        """Return ``skip`` where most looks could not judge, else how the first that could was judged, or None."""
        looks = self.looks.get(state)
        if not looks:
            return None
        if 2 * self.tally(state).number < len(looks):
            return Verdict.SKIP
        return next(look.verdict for look in looks if look.verdict is not Verdict.SKIP)

    def leaning(self, state: State) -> Verdict | None:
        """Return what all that was seen makes of a point, also what was seen beside it on the line searched last."""
        seen = self.verdict(state)
        if seen in {None, Verdict.SKIP}:
            return seen
        if self._ends and state in self._ends:
            return Verdict.GOOD if state == self._ends[0] else Verdict.BAD
        before = list(itertools.accumulate(share for *_, share in self.likely))
        shares = [share for (_, point, _), share in zip(self.likely, before, strict=True) if point == state]
        if self.likely and state == self.likely[0][0]:
            return Verdict.GOOD
        return Verdict.BAD if (shares or [self._bad_alone(state)])[0] > 0.5 else Verdict.GOOD

    def _bad_alone(self, state: State) -> float:
        """Return the probability that a point belongs to the bad end, by the looks at it alone."""
        tally = self.tally(state)
        if not tally.number:
            return 0.5
        return posterior(self.model, [NO_LOOK, tally, NO_LOOK], *self._known())[0].share

    def ends(self, good: State, bad: State, *, bad_again: bool = True) -> None:  # noqa: ARG002 - the signature
        """Look at both ends in turns until they differ beyond doubt."""
        self._ends = (good, bad)
        for state in (good, bad):
            if self.verdict(state) is Verdict.SKIP:
                raise EndsError("skip", state)
        if not self._told_apart(good, bad):
            one, other = self.tally(good).number, self.tally(bad).number
            if min(one, other) >= COMPARED[-1]:
                raise EndsError("near" if 1 - self._compared[COMPARED[-1]].worse <= self._at_ends else "agree", bad)
            # In turns, and not always the same one first: what drifts must not look like a difference.
            raise NeedError(good if one < other or (one == other and one % 2 == 0) else bad)

    def again(self, end: State, unless: Sequence[State] = ()) -> None:
        """Looks were taken by turns already."""

    def _told_apart(self, good: State, bad: State) -> bool:
        """Return whether the ends differ beyond doubt: as soon as they once did, later looks do not undo it.

        That what they differ by does not count has to be beyond doubt too. That it counts has to be as sure as the
        answer: it is no part of it.
        """
        fewest, permitted = min(self.tally(state).number for state in (good, bad)), self._at_ends
        for count in COMPARED:
            if fewest < count:
                return False
            if count not in self._compared:
                self._compared[count] = self._compare(*(_tally(self._values(at)[:count]) for at in (good, bad)))
            seen = self._compared[count]
            if max(seen.counts, seen.counts_better) <= permitted:
                raise EndsError("small", bad)
            if seen.worse <= permitted:
                raise EndsError("swapped", good)
            if 1 - seen.worse <= permitted and seen.counts >= self.confidence:
                self.error += RESERVE * (1 - seen.worse)
                return True
        return False

    @property
    def _at_ends(self) -> float:
        """Return the error that one comparison of the ends may make."""
        return (1 - self.confidence) * AT_ENDS / RESERVE / len(COMPARED)

    def _compare(self, good: Tally, bad: Tally) -> Compared:
        worse, share = self.model.differ(good, bad), self.model.threshold
        if not share:
            return Compared(worse, worse, 1 - worse)
        return Compared(worse, self.model.differ(good, bad, share), 1 - self.model.differ(good, bad, -share))

    def _values(self, state: State) -> list[Look]:
        return [look for look in self.looks.get(state, ()) if look.verdict is not Verdict.SKIP]

    def _known(self) -> tuple[Tally, Tally]:
        return (self.tally(self._ends[0]), self.tally(self._ends[1])) if self._ends else (NO_LOOK, NO_LOOK)

    def ask(self, state: State) -> Verdict:
        """Look at one point until it belongs to one of the ends beyond doubt."""
        permitted = self._spend()
        if self._ends and state in self._ends:
            return Verdict.GOOD if state == self._ends[0] else Verdict.BAD
        if self.verdict(state) is Verdict.SKIP:
            return Verdict.SKIP
        is_bad = self._bad_alone(state)
        wrong = min(is_bad, 1 - is_bad)
        if wrong > permitted:
            raise NeedError(self._missing(state))
        self.error += RESERVE * wrong
        return Verdict.BAD if is_bad > 0.5 else Verdict.GOOD

    def _missing(self, state: State) -> State:
        """Return a point that is to be told from the ends, or an end.

        However often the point is looked at, it is known no better than what it is held against. Where levels may move
        meanwhile, no point is looked at twice running.
        """
        ends = [end for end in self._ends or () if self.verdict(end) is not Verdict.SKIP]
        if not ends:
            return state
        end = min(ends, key=lambda end: self.tally(end).number)
        behind = self.tally(end).number < self.tally(state).number
        return end if behind or (self.model.turns and state == self._latest) else state

    def line(self, states: Sequence[State], *, last: int = 1) -> Range:
        """Look where a look tells most until one step, or one range between what can be tested, is sure enough."""
        permitted = self._spend()
        steps = self.steps(states, last=last)
        self.likely = [(states[at], states[at + 1], step.share) for at, step in enumerate(steps)]
        stops = [0, *self._open(states), len(states) - 1]
        classes = [sum(step.share for step in steps[a:b]) for a, b in itertools.pairwise(stops)]
        best = max(range(len(classes)), key=classes.__getitem__)
        if 1 - classes[best] <= permitted or len(classes) == 1:
            self.error += RESERVE * (1 - classes[best])
            return Range(stops[best], stops[best + 1])
        raise NeedError(self._most_telling(states, steps, stops))

    def steps(self, states: Sequence[State], *, last: int = 1) -> list[Step]:
        """Return the probability of each step of a line."""
        known = set(self._ends or ())
        looks = [NO_LOOK if state in known else self.tally(state) for state in states]
        return posterior(self.model, looks, *self._known(), last=last)

    def _open(self, states: Sequence[State]) -> list[int]:
        return [at for at in range(1, len(states) - 1) if self.verdict(states[at]) is not Verdict.SKIP]

    def _most_telling(self, states: Sequence[State], steps: Sequence[Step], stops: Sequence[int]) -> State:
        """Return the point of a line to look at; an end of the line also tells, of what good and bad look like."""
        within = self.model.spread(*self._known())
        told = information(self.model, steps, within)
        costs = {at: self.cost(states[at]) for at in stops}
        # However cheap a look is, many that tell little are no way to an answer.
        least = max(costs.values()) / CHEAPEST

        def worth(at: int) -> float:
            return told[at] / max(costs[at], least)

        best = max(stops, key=worth)
        if not self.model.turns or states[best] != self._latest:
            return states[best]
        # Again only after another one; that tells by what it is beside, so one that is built already does.
        seen = [at for at in stops if at != best and (self.looks.get(states[at]) or states[at] in (self._ends or ()))]
        return states[max(seen, key=worth, default=best)]


def _tally(looks: Iterable[Look]) -> Tally:
    judged = [look for look in looks if look.verdict is not Verdict.SKIP]
    return Tally.of([look.value for look in judged], [look.when for look in judged])
