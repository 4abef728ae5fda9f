"""Drive a bisect: ask the search what it needs, look there, note what was seen, until there is an answer.

All state is in the ledger, by content: a bisect that was stopped goes on where it was because it asks the same
questions and finds most of them answered.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from patchctl.bisect.evidence import EndsError, Evidence, Exact, Look, NeedError, Noisy
from patchctl.bisect.noise import Flaky, Measured
from patchctl.bisect.predicate import CANNOT_RUN, NOT_FOUND, AbortError, Until
from patchctl.bisect.row import Row, row_of_applied, row_of_broken
from patchctl.bisect.search import Found, search
from patchctl.bisect.space import State, Verdict
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from patchctl.bisect.axes import Axes
    from patchctl.bisect.noise import Model
    from patchctl.bisect.predicate import Predicate
    from patchctl.bisect.workshop import Made, Workshop
    from patchctl.build.progress import Progress
    from patchctl.series.resolve import Resolved
    from patchctl.series.source import Source

LOOK = "bisect-look"


@dataclass(frozen=True)
class Settings:
    """How sure the answer has to be (None: one look is believed), after how many looks it is given up, the noise."""

    confidence: float | None = None
    budget: int | None = None
    model: Model = field(default_factory=Flaky)
    fresh: str = ""  # part of every key of a bisect that believes nothing seen before


@dataclass
class Point:
    """A point that was asked: all looks at it, and how many of them this run took."""

    state: State
    rows: list[Row] = field(default_factory=list)
    taken: int = 0


@dataclass(frozen=True)
class Answer:
    """How a bisect ended: what was found and how sure that is, or why it ended without.

    ``unknown`` says that there may be a culprit all the same.
    """

    found: Found | None
    confidence: float
    certain: bool
    why: str = ""
    code: Code = Code.OK
    unknown: bool = False


class BudgetError(Exception):
    """As many looks were taken as were permitted."""


class Bisect:
    """One bisect of ``axes`` by ``predicate``; ``tell`` is handed each point as it is looked at."""

    def __init__(
        self,
        axes: Axes,
        workshop: Workshop,
        predicate: Predicate,
        settings: Settings,
        *,
        hardware: Sequence[str] = (),
        tell: Callable[[Point, Row], None] = lambda _point, _row: None,
        watch: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.axes = axes
        self.workshop = workshop
        self.predicate = predicate
        self.settings = settings
        self.tell = tell
        self.watch = watch
        self.ledger = axes.store.ledger
        self.points: dict[State, Point] = {}
        self._applied: dict[State, Resolved] = {}
        self._began = time.time()
        self._runs_where_good = False
        self._asked = predicate.key
        self._common = [self._asked, "" if self._in_memory else workshop.key, list(hardware), settings.fresh]
        self.evidence = self._begin()

    @property
    def _in_memory(self) -> bool:
        return isinstance(self.predicate, Until) and self.predicate.what == "applies"

    def _begin(self) -> Evidence:
        if self.settings.confidence is not None:
            return self._noisy(self.settings.confidence)
        repeats = 1 if isinstance(self.predicate, Until) else 2
        return Exact(self.recall, self.cost, looks_at_ends=repeats)

    def _noisy(self, confidence: float) -> Noisy:
        one = self.axes.space.one_axis and not self.axes.space.good ^ self.axes.space.bad
        return Noisy(cost=self.cost, model=self.settings.model, confidence=confidence, one_part=one)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self, ahead: Callable[[State], None] | None = None) -> Answer:
        """Return the answer; ``ahead`` is handed each point that is needed next and was not looked at yet.

        Raises PatchctlError for ends that cannot be tested, for what is no verdict, and when the machine refuses.
        """
        try:
            while True:
                needed = self._search()
                if isinstance(needed, Answer):
                    return needed
                if needed is None:
                    continue
                # A bisect that turned out to be noisy takes looks that only it knows the keys of.
                helped = ahead is not None and self.evidence.certain == (self.settings.confidence is None)
                if ahead is not None and helped and not self.is_known(needed):
                    self._within_budget()
                    ahead(needed)
                self._look_into(needed)
        except BudgetError:
            why = f"{self.settings.budget} tests did not suffice; give more with --budget"
            return Answer(None, 0.0, self.evidence.certain, why, Code.ATTENTION, unknown=True)

    def known(self) -> Answer | None:
        """Return the answer when the ledger holds all that it takes, else None; looks nowhere."""
        while True:
            needed = self._search()
            if isinstance(needed, Answer):
                return needed
            if needed is None:
                continue
            row = self._known(needed, len(self._rows(needed)))
            if row is None:
                return None
            self._take(needed, row)

    def is_known(self, state: State) -> bool:
        """Return whether the next look at a point is in the ledger already."""
        return self._known(state, len(self._rows(state))) is not None

    def looks_known(self, state: State) -> int:
        """Return how many looks at a point the ledger holds."""
        number = 0
        while self._known(state, number) is not None:
            number += 1
        return number

    def _rows(self, state: State) -> list[Row]:
        point = self.points.get(state)
        return point.rows if point else []

    def _search(self) -> Answer | State | None:
        """Return the answer, the point that is needed, or None when the search has to begin again as a noisy one."""
        try:
            return self._answered(search(self.axes.space, self.evidence))
        except NeedError as need:
            return need.state
        except EndsError as ends:
            return self._ends(ends)

    def _answered(self, found: Found) -> Answer:
        sure = 1.0 - self.evidence.error
        answer = Answer(found, sure, self.evidence.certain)
        if found.kind == "range":
            return Answer(found, sure, self.evidence.certain, "its neighbours cannot be tested", Code.ATTENTION)
        same = self._same_product(found)
        if same:
            return Answer(None, 0.0, self.evidence.certain, same, Code.ATTENTION, unknown=True)
        return answer

    def _same_product(self, found: Found) -> str:
        """Return why a culprit is refused: what was compiled is the same on both sides of it."""
        if self._in_memory:
            return ""
        products = [self._product(state) for state in (found.good, found.bad)]
        if products[0] is None or products[0] != products[1]:
            return ""
        both = " and ".join(self.axes.label(state) for state in (found.good, found.bad))
        why = f"{both} differ in their result, but what was compiled and installed is the same"
        return f"{why}; the test depends on something else, or does not always say the same (try --confidence 0.95)"

    def _product(self, state: State) -> str | None:
        resolved = self._apply(state)
        return None if resolved.failed else self.workshop.product_of(self.axes.source(resolved))

    def _ends(self, ends: EndsError) -> Answer | None:
        """Return the answer that ends without a culprit are, or None when the search can go on as a noisy one."""
        if ends.why == "flaky":
            seen = self.evidence.looks
            self.evidence = self._noisy(0.95)
            self.evidence.looks.update(seen)
            return None
        label = self.axes.label(ends.state)
        if ends.why == "skip":
            row = next(row for row in self.points[ends.state].rows if row.verdict == Verdict.SKIP.value)
            raise PatchctlError(Code(row.code or Code.SKIP), f"the end {label} cannot be tested: {row.detail}")
        if ends.why == "swapped":
            raise PatchctlError(Code.USAGE, self._swapped())
        why = self._no_culprit(ends.why) + self._other_settings()
        return Answer(None, 0.0, self.evidence.certain, why, Code.ATTENTION, unknown=ends.why in {"agree", "near"})

    def _no_culprit(self, why: str) -> str:
        """Return why ends as these enclose none."""
        if why in {"small", "near"}:
            tests = f"{self._looks()} tests do not tell whether "
            return f"{tests if why == 'near' else ''}the ends differ by {self._threshold(less=why == 'small')}"
        bad = self.evidence.verdict(self.axes.space.bad_end)
        if why == "agree-bad" and bad is not Verdict.BAD:
            return f"the good end is bad and the bad end is {bad}"
        words = {
            "agree-bad": "both ends are bad: nothing turned bad between them; give an older good end",
            "agree-good": f"both ends are good: nothing to find{self._elsewhere()}",
            "agree": f"the ends do not differ after {self._looks()} tests: nothing to find, or too noisy to see",
        }
        return words[why]

    def _threshold(self, *, less: bool) -> str:
        """Return the threshold, and by how much what was measured at the ends differs."""
        ends = (self.axes.space.good_end, self.axes.space.bad_end)
        seen = [[row.value for row in self._rows(end) if row.value is not None] for end in ends]
        good, bad = map(statistics.median, seen)
        share = f" ({bad / good - 1:+.1%})" if good else ""
        asked = f"{'less than ' if less else ''}{100 * self.settings.model.threshold:g} %"
        return f"{asked}: medians {good:g} and {bad:g}{share}; to find less, lower --threshold"

    def _elsewhere(self) -> str:
        """Return where else to look when both ends are good."""
        if isinstance(self.predicate, Until):
            return f", with the bad base it {self.predicate.what} too"
        return "; is it another command, variant or model that fails?"

    def _swapped(self) -> str:
        good, bad = (self.axes.label(state) for state in (self.axes.space.good_end, self.axes.space.bad_end))
        ends = f"the good end ({good}) is bad and the bad end ({bad}) is good"
        more, model = "", self.settings.model
        if isinstance(model, Measured):
            more, plus = ("less", "without") if model.worse > 0 else ("more", "with")
            more = f", or, where {more} is worse, give a --threshold {plus} a +"
        return f"the ends are the other way round: {ends}; swap them{more}"

    def _other_settings(self) -> str:
        """Return a hint when the stacks are built in different ways: every point is built as the bad one says."""
        one, other = (end.stack.stack.build for end in (self.axes.good, self.axes.bad))
        return "; both were built with the settings of the bad stack, which differ" if one != other else ""

    def _looks(self) -> int:
        return sum(len(point.rows) for point in self.points.values())

    # --- one look -----------------------------------------------------------------------------------------------------

    def _look_into(self, state: State) -> None:
        number = len(self._rows(state))
        row = self._known(state, number)
        if row is None or row.when >= self._began:  # helpers' looks count as our own
            self._within_budget()
        if row is None:
            row = self.look(state, number)
        self.tell(self._take(state, row), row)

    def _take(self, state: State, row: Row) -> Point:
        point = self._noted(state, row)
        self.evidence.add(state, _look(row))
        return point

    def _noted(self, state: State, row: Row) -> Point:
        point = self.points.setdefault(state, Point(state))
        point.rows.append(row)
        # What helpers saw since it began comes from the ledger too, and is no more known before than the rest.
        point.taken += row.when >= self._began
        return point

    def _within_budget(self) -> None:
        if (
            self.settings.budget is not None
            and sum(point.taken for point in self.points.values()) >= self.settings.budget
        ):
            raise BudgetError

    def _require_runnable(self, state: State, row: Row) -> None:
        """Raise AbortError when the command cannot run at all: 126 or 127 also where all is well.

        So ``git bisect run`` takes it. What ran there before may be gone since, so the good end is asked again.
        """
        if row.status not in {CANNOT_RUN, NOT_FOUND} or self._runs_where_good:
            return
        good = self.axes.space.good_end
        there = row if state == good else self._test(good, 0)
        if there.status in {CANNOT_RUN, NOT_FOUND}:
            what = "cannot be run" if there.status == CANNOT_RUN else "was not found"
            why = f"the command {what} (exit {there.status} on the good end)"
            raise AbortError(Code.ENVIRONMENT, f"{why}; correct it and go on with: patchctl bisect --continue")
        self._runs_where_good = True

    def _require_unchanged(self) -> None:
        """Raise AbortError when the test was edited since the bisect began: half of the points would be the other's."""
        if self.predicate.key != self._asked:
            why = "the test was edited while the bisect ran"
            raise AbortError(Code.USAGE, f"{why}; begin again with it: patchctl bisect --continue")

    def look(self, state: State, number: int) -> Row:
        """Test a point and keep what was seen; raises what is no verdict."""
        row = replace(self._test(state, number), when=time.time())
        self._require_runnable(state, row)
        self._require_unchanged()
        self.ledger.put(LOOK, self._key(state, number), asdict(row), seconds=row.seconds + row.built, log=row.log)
        return row

    def _test(self, state: State, number: int) -> Row:
        start = time.monotonic()
        resolved = self._apply(state)
        if resolved.refused:
            resolved.require_success(self.axes.bad.name)
        if resolved.failed or self._in_memory:
            return replace(row_of_applied(resolved, is_asked=self._in_memory), seconds=time.monotonic() - start)
        source = self.axes.source(resolved)
        try:
            with self.workshop.made(source, self.watch) as made:
                return self._judge(made, source, number)
        except PatchctlError as error:
            if error.exit_code != Code.BUILD:
                raise
            log = self.workshop.root / "logs" / source.release / f"{self.workshop.plan.variant}.compile.log"
            return row_of_broken(error, self.predicate, log)

    def _judge(self, made: Made, source: Source, number: int) -> Row:
        log = self.workshop.root / "logs" / source.release / f"look-{digest(self._common)[:8]}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        seen = self.predicate.judge(made.install, log)
        seconds = time.monotonic() - start
        where = str(log) if log.exists() else ""
        return Row(seen.verdict.value, seen.detail, seen.value, seconds, made.seconds, where, seen.status)

    def _apply(self, state: State) -> Resolved:
        if state not in self._applied:
            resolved = self.axes.apply(state)
            self._applied[state] = resolved
            tree = None if resolved.failed else resolved.result(self.axes.store)[1]
            self.ledger.put("bisect-tree", self.axes.input_key(state), tree)
        return self._applied[state]

    # --- the ledger ---------------------------------------------------------------------------------------------------

    def _key(self, state: State, number: int) -> str:
        """Return the key of a look: points with equal trees share theirs, but not where looks are counted as chance."""
        tree = None if self._in_memory or not self.evidence.certain else self._tree(state)
        return digest(LOOK, 1, *self._common, tree or self.axes.input_key(state), number)

    def _tree(self, state: State) -> str | None:
        kept: str | None = self.ledger.get("bisect-tree", self.axes.input_key(state))
        return kept

    def _known(self, state: State, number: int) -> Row | None:
        if not self._in_memory:
            self._apply(state)
        kept = self.ledger.get(LOOK, self._key(state, number))
        return Row(**kept) if kept and not self._asks_again(state, kept) else None

    def _asks_again(self, state: State, kept: Mapping[str, Any]) -> bool:
        """Return whether a look that was kept is none here: elsewhere 127 is bad, at the good end no verdict."""
        return state == self.axes.space.good_end and kept.get("status") in {CANNOT_RUN, NOT_FOUND}

    def recall(self, states: Sequence[State]) -> dict[State, list[Look]]:
        """Return what the ledger holds of these points, which are points of this bisect from then on."""
        found = self._kept(states)
        for state, rows in found.items():
            for row in rows[len(self._rows(state)) :]:
                if row.when >= self._began:  # a helper's, which counts
                    self._within_budget()
                self._noted(state, row)
        return {state: list(map(_look, rows)) for state, rows in found.items()}

    def peek(self, states: Sequence[State]) -> dict[State, list[Look]]:
        """Return what ``recall`` would and note nothing: a search that only imagines has not come to these points."""
        return {state: list(map(_look, rows)) for state, rows in self._kept(states).items()}

    def _kept(self, states: Sequence[State]) -> dict[State, list[Row]]:
        """Return what the ledger holds of these points, without applying or building anything."""
        inputs = {state: self.axes.input_key(state) for state in states}
        trees = self.ledger.get_many("bisect-tree", inputs.values())
        found: dict[State, list[Row]] = {}
        for number in range(2):
            keys = {
                state: digest(LOOK, 1, *self._common, (not self._in_memory and trees.get(made)) or made, number)
                for state, made in inputs.items()
                if number == 0 or state in found
            }
            kept = self.ledger.get_many(LOOK, keys.values())
            for state, key in keys.items():
                if key in kept and not self._asks_again(state, kept[key]):
                    found.setdefault(state, []).append(Row(**kept[key]))
        return found

    # --- what a point would cost --------------------------------------------------------------------------------------

    def cost(self, state: State) -> float:
        """Return what a look is expected to take (seconds): cheaper where it is built, or beside what was built."""
        rows = [row for point in self.points.values() for row in point.rows]
        test = _mean(row.seconds for row in rows if row.seconds)
        if self.points.get(state) or self._in_memory:
            return test or 1.0
        whole = max((row.built for row in rows), default=0.0) or 10.0
        near = min((abs(state.at - other.at) for other, point in self.points.items() if point.rows), default=10**6)
        # Ten commits further, little of an earlier build is left.
        return test + whole * (0.2 + 0.8 * min(near / 10, 1.0))


def _look(row: Row) -> Look:
    verdict = Verdict(row.verdict)
    return Look(verdict, float(verdict is Verdict.BAD) if row.value is None else row.value, row.when)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else 0.0
