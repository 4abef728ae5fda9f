"""The kind ``compare``: servers, or one server asked in other ways, that must answer alike."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.smoke.asking import Session, Start, session
from patchctl.smoke.child import Deadline, FailedError
from patchctl.smoke.match import brief, nmse, parted, value_at
from patchctl.smoke.result import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.manifest.model import Compare, Request, Run
    from patchctl.smoke.setting import Setting


@dataclass(frozen=True)
class Seen:
    """What one run answered: to each request, the values at the places that are compared."""

    run: str
    answers: list[list[Any]]


def run_compare(compare: Compare, setting: Setting) -> Verdict:
    """Ask every run's server the same and hold each answer against the first run's.

    All servers share the test's time. What is compared must be there and not be empty: nothing equals nothing.
    """
    deadline = Deadline(setting.timeout)
    first, *others = (_answers(compare, run, setting, deadline) for run in compare.runs)
    if compare.nmse is not None:
        most = [run.nmse or compare.nmse for run in compare.runs[1:]]
        far = [f"{seen.run} {_apart(first, seen, limit):.2g}" for seen, limit in zip(others, most, strict=True)]
        return Verdict("pass", f"nmse against {first.run}: {', '.join(far)}")
    for seen in others:
        _require_same(first, seen)
    return Verdict("pass", f"{len(others) + 1} runs alike: {brief(first.answers[0][0])}")


def _answers(compare: Compare, run: Run, setting: Setting, deadline: Deadline) -> Seen:
    requests = compare.requests if run.requests is None else run.requests
    places = compare.same if run.same is None else run.same
    start = Start(compare.server, [*compare.args, *run.args], run.env, compare.ready)
    try:
        with session(start, setting, deadline) as asked:
            for number, request in enumerate(run.before, 1):
                asked.ask(request, f"before, request {number}")
            texts = _ask_all(asked, requests, at_once=run.at_once)
            values = [
                _values(text, places, f"request {number}, {request.path}")
                for number, (request, text) in enumerate(zip(requests, texts, strict=True), 1)
            ]
            asked.require_log(run.log, run.no_log)
    except FailedError as failure:
        raise FailedError(f"run {run.name}: {failure}") from None
    return Seen(run.name, values)


def _ask_all(asked: Session, requests: Sequence[Request], *, at_once: bool) -> list[str]:
    named = [(request, f"request {number}") for number, request in enumerate(requests, 1)]
    if not at_once:
        return [asked.ask(request, name) for request, name in named]
    with ThreadPoolExecutor(len(named)) as pool:
        return list(pool.map(lambda one: asked.ask(*one), named))


def _values(text: str, places: Sequence[str], name: str) -> list[Any]:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise FailedError(f"{name}: the answer is no JSON: {brief(text)}") from None
    if not places:
        return [_log_probabilities(answer, name)]
    try:
        found = [value_at(answer, place) for place in places]
    except LookupError as missing:
        raise FailedError(f"{name}: {missing.args[0]} is missing from {brief(answer)}") from None
    empty = [place for place, value in zip(places, found, strict=True) if value in ("", None, [], {})]
    if empty:
        raise FailedError(f"{name}: {empty[0]} is empty, which would be the same as any other nothing")
    return found


def _log_probabilities(answer: Any, name: str) -> dict[str, float]:
    """Return the log-probability of each token (by its number) at each place of a completion's answer."""
    try:
        rows = answer["completion_probabilities"]
        found = {
            f"{at}:{entry['id']}": float(entry["logprob"])
            for at, row in enumerate(rows)
            for entry in row["top_logprobs"]
        }
    except (LookupError, TypeError, ValueError):
        raise FailedError(f"{name}: the answer has no log-probabilities; ask for them with n_probs") from None
    if len(found) < 2:
        raise FailedError(f"{name}: the answer has {len(found)} log-probabilities; ask for more with n_probs")
    return found


def _apart(first: Seen, seen: Seen, most: float) -> float:
    """Return how far a run's log-probabilities are from the first run's; raises FailedError beyond ``most``."""
    far = 0.0
    for number, (one, other) in enumerate(zip(first.answers, seen.answers, strict=True), 1):
        if one[0].keys() != other[0].keys():
            raise FailedError(f"run {seen.run}, request {number}: the likely tokens are others than in run {first.run}")
        apart = nmse([*one[0].values()], [other[0][key] for key in one[0]])
        if not apart <= most:  # what is not a number is not near
            where = f"run {seen.run}, request {number}"
            raise FailedError(f"{where}: nmse {apart:.2g} against run {first.run}, over {most:g}")
        far = max(far, apart)
    return far


def _require_same(first: Seen, seen: Seen) -> None:
    if len(first.answers) != len(seen.answers):
        raise FailedError(f"run {seen.run} has {len(seen.answers)} requests, run {first.run} {len(first.answers)}")
    for number, (one, other) in enumerate(zip(first.answers, seen.answers, strict=True), 1):
        if one != other:
            where = f"run {seen.run}, request {number}"
            raise FailedError(f"{where}: {brief(other)}, in run {first.run} {brief(one)}{parted(one, other)}")
