"""One stack on one base: git is asked first, GitHub only about what git does not settle, and each patch judged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from patchctl.upstream.drift import moved, pinned
from patchctl.upstream.evidence import Question
from patchctl.upstream.landing import asked_for
from patchctl.upstream.returned import returned
from patchctl.upstream.states import absent, due
from patchctl.upstream.twice import twice
from patchctl.upstream.verdict import Evidence, Kind, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from patchctl.manifest.model import Page
    from patchctl.series.patch import Patch
    from patchctl.upstream.evidence import Detectors
    from patchctl.upstream.github.client import Answer
    from patchctl.upstream.pull import Pull, PullName
    from patchctl.upstream.returned import Gone


@dataclass(frozen=True)
class Row:
    """One patch: its page, what GitHub said of its pull request (None: not asked), evidence, verdict and reason."""

    patch: str
    page: Page
    name: PullName | None
    answer: Answer | None
    evidence: list[Evidence]
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Told:
    """What others than git say: GitHub's answers, heads of pull requests, probes on the unpatched base by patch.

    ``today`` is a date, ``2026-01-31``; ``offline``: nothing may be fetched.
    """

    answers: Mapping[PullName, Answer] = field(default_factory=dict)
    heads: Mapping[PullName, str] = field(default_factory=dict)
    probes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    today: str = ""
    offline: bool = False


class Survey:
    """Judges the patches of a stack on ``base``.

    ``gone`` are those that retired: nothing is said of one, unless upstream took back what brought it. ``build`` is the
    build number of the base.
    """

    def __init__(
        self,
        detectors: Detectors,
        patches: Sequence[Patch],
        pages: Mapping[str, Page],
        base: str,
        gone: Sequence[Gone] = (),
    ) -> None:
        self.detectors = detectors
        self.pages = pages
        self.base = base
        self.build = detectors.store.build_number(base)
        self._gone = gone
        self._questions = [Question(patch, pages[patch.id], base) for patch in patches]
        found = detectors.gather_all(self._questions)
        self._open = {
            question.patch.id
            for question, evidence in zip(self._questions, found, strict=True)
            if not any(one.kind in {Kind.DECLARED, Kind.LANDED} for one in evidence)
        }

    def wanted(self) -> list[PullName]:
        """Return the pull requests of the patches that git alone does not retire."""
        names = [self._name(question.patch.id) for question in self._questions if question.patch.id in self._open]
        return list(dict.fromkeys(name for name in names if name is not None))

    def reviewed(self) -> list[PullName]:
        """Return the pull requests whose head was pinned when it was reviewed, of the same patches."""
        pins = [pinned(self.pages[patch_id]) for patch_id in self.pages if patch_id in self._open]
        return list(dict.fromkeys(pin[0] for pin in pins if pin is not None))

    def rows(self, told: Told) -> list[Row]:
        """Return the verdict on each patch, in the order of the stack; at the end those that it lacks again."""
        asked = [replace(question, pull=self._pull(question.patch.id, told)) for question in self._questions]
        found = self.detectors.gather_all(asked)
        doubled: dict[str, list[Evidence]] = {}
        for patch_id, evidence in twice(self.detectors.store.repo, [it.patch for it in asked], self.pages):
            doubled.setdefault(patch_id, []).append(evidence)
        rows = [
            self._row(question, [*evidence, *doubled.get(question.patch.id, [])], told)
            for question, evidence in zip(asked, found, strict=True)
        ]
        missed = returned(self.detectors, self._gone, self.base)
        return [*rows, *(Row(one.patch, one.page, None, None, *judged) for one, judged in missed)]

    def _row(self, question: Question, evidence: list[Evidence], told: Told) -> Row:
        patch_id, page = question.patch.id, question.page
        name = self._name(patch_id)
        answer = told.answers.get(name) if name else None
        if answer is not None and answer.pull is None and name is not None and patch_id in self._open:
            evidence.append(absent(name))
        evidence += [*self._probed(patch_id, told), *self._moved(patch_id, told), *due(page, self.build, told.today)]
        return Row(patch_id, page, name, answer, evidence, *decide(evidence, named=name is not None))

    def _name(self, patch_id: str) -> PullName | None:
        return asked_for(self.pages[patch_id])

    def _pull(self, patch_id: str, told: Told) -> Pull | None:
        name = self._name(patch_id)
        answer = told.answers.get(name) if name and patch_id in self._open else None
        return answer.pull if answer else None

    def _probed(self, patch_id: str, told: Told) -> list[Evidence]:
        result, detail = told.probes.get(patch_id, ("", ""))
        trigger = self.pages[patch_id].drop_when
        if not result and trigger and trigger.probe and patch_id in self._open:
            return [Evidence(Kind.UNTRIED, self.base, self.build, "not in the base; its probe was not tried (--probe)")]
        kind = {"pass": Kind.PROBE, "fail": Kind.NEEDED}.get(result)
        word = "passes" if kind is Kind.PROBE else "fails"
        why = f": {detail}" if detail else ""
        return [Evidence(kind, self.base, self.build, f"its probe {word} on the unpatched base{why}")] if kind else []

    def _moved(self, patch_id: str, told: Told) -> list[Evidence]:
        pin = pinned(self.pages[patch_id])
        if pin is None or patch_id not in self._open:
            return []
        name, reviewed = pin
        answer = told.answers.get(name)
        head = answer.pull.head if answer and answer.pull else told.heads.get(name)
        store = self.detectors.store
        found = moved(store, name, reviewed, head, self.base, offline=told.offline) if head else None
        return [found] if found else []
