"""One look at a point as the ledger holds it; what it is where there was nothing to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.bisect.predicate import Seen, Until, matched, tail
from patchctl.bisect.space import Verdict
from patchctl.build.compile import BuildError
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.bisect.predicate import Predicate
    from patchctl.series.resolve import Resolved


@dataclass(frozen=True)
class Row:
    """One look as the ledger holds it; ``seconds`` are those of the test, ``built`` those of the build."""

    verdict: str
    detail: str
    value: float | None = None
    seconds: float = 0.0
    built: float = 0.0
    log: str = ""
    status: int | None = None
    code: int = 0  # exit code of what stopped a point from being tested
    when: float = 0.0  # seconds since the epoch


def row_of_applied(resolved: Resolved, *, is_asked: bool) -> Row:
    """Return the look at patches that were applied and not built; ``is_asked``: whether they apply is the question."""
    outcomes = {patch.id: step.outcome for patch, step in zip(resolved.patches, resolved.steps, strict=True)}
    gone = [name for name, outcome in outcomes.items() if not outcome.applied]
    told = ", ".join(f"{name}: {outcomes[name].value}" for name in gone)
    if is_asked:
        return Row((Verdict.BAD if gone else Verdict.GOOD).value, told or "applies")
    return Row(Verdict.SKIP.value, f"does not apply: {told}", code=Code.CONFLICT)


def row_of_broken(error: PatchctlError, predicate: Predicate, log: Path) -> Row:
    """Return the look at a point that does not build; ``log`` is that of its compile.

    Raises PatchctlError (exit code 9) for a build that somebody stopped: that tells nothing about its sources.
    """
    if isinstance(error, BuildError) and error.fault is None and not error.failed:
        why = f"the build was stopped before it ended: no step failed. Log: {error.log}"
        raise PatchctlError(Code.ENVIRONMENT, f"{why}\nGo on with: patchctl bisect --continue") from error
    lines = error.message.splitlines()
    named = next((line.rpartition("Log: ")[2] for line in lines if "Log: " in line), "")
    seen = Seen(Verdict.SKIP, lines[0])
    if isinstance(predicate, Until):
        seen = Seen(Verdict.BAD, lines[0])
        if predicate.match is not None:
            seen = matched(seen, predicate.match, f"{error.message}\n{tail(log)}")
    return Row(seen.verdict.value, seen.detail, log=named, code=Code.BUILD)
