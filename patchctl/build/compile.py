"""Runs Ninja: counters for whoever watches, the first error when it fails."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build.cuda import advice
from patchctl.build.diagnosis import Fault, count_failed, environment_error, first_fault
from patchctl.errors import Code, PatchctlError
from patchctl.sandbox import wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from patchctl.build.progress import Progress, Watcher
    from patchctl.build.toolchain import Tool
    from patchctl.sandbox import Sandbox

STATUS = "[%f/%t %e] "
LINE = re.compile(r"^\[(\d+)/(\d+) ([\d.]+)\] ")


@dataclass(frozen=True)
class Ninja:
    """How Ninja is run in one build folder."""

    tool: Tool
    build: Path
    source: Path
    environment: Mapping[str, str]
    jobs: int | None = None
    keep_going: bool = False
    nvcc: Tool | None = None
    sandbox: Sandbox | None = None

    def words(self, targets: Sequence[str]) -> list[str | Path]:
        """Return the command line that builds ``targets``."""
        options = [*(("-j", str(self.jobs)) if self.jobs else ()), *(("-k", "0") if self.keep_going else ())]
        return self.wrapped([self.tool.path, "-C", self.build, *options, *targets])

    def wrapped(self, words: Sequence[str | Path]) -> list[str | Path]:
        """Return ``words`` as they are run: in the sandbox, if there is one."""
        environment = {**self.environment, "NINJA_STATUS": STATUS}
        return wrapped(self.sandbox, words, env=environment, cwd=self.build)


class BuildError(PatchctlError):
    """A compile failed: the first error, how many steps failed, where the log is; exit code 5."""

    def __init__(self, step: str, fault: Fault | None, failed: int, log: Path, hint: str = "") -> None:
        what = str(fault) if fault else "Ninja failed without naming an error"
        count = f"{failed} step{'' if failed == 1 else 's'} failed. " if failed else ""
        super().__init__(Code.BUILD, "\n".join(filter(None, (f"{step} failed: {what}", hint, f"{count}Log: {log}"))))
        self.fault = fault
        self.failed = failed
        self.log = log


def compile_targets(
    ninja: Ninja, targets: Sequence[str], *, log: Path, start: Progress, watch: Watcher
) -> process.Outcome:
    """Build ``targets`` and return how long it took.

    Every step Ninja ends is told to ``watch`` as ``start`` with counts and times. Raises BuildError (exit code 5) with
    the first error, PatchctlError (exit code 9) for a full disk. Stopping it leaves a folder that the next run resumes.
    """
    log.unlink(missing_ok=True)

    def line(text: str) -> None:
        found = LINE.match(text)
        if found:
            watch(_counted(start, int(found[1]), int(found[2]), float(found[3])))

    environment = {**ninja.environment, "NINJA_STATUS": STATUS}
    done = process.run(ninja.words(targets), log=log, cwd=ninja.build, env=environment, line=line)
    if done.status != 0:
        raise _failure(ninja, start.step, log)
    return done


def steps_left(ninja: Ninja, targets: Sequence[str]) -> int | None:
    """Return how many steps Ninja would run for ``targets``, None when it does not say. Runs none of them."""
    said = process.output(ninja.wrapped([ninja.tool.path, "-C", ninja.build, "-n", *targets]))
    return None if said is None else sum(not line.startswith("ninja: ") for line in said.splitlines())


def _counted(start: Progress, done: int, total: int, seconds: float) -> Progress:
    eta = seconds / done * (total - done) if done else None
    return replace(start, done=done, total=total, seconds=seconds, eta=eta)


def _failure(ninja: Ninja, step: str, log: Path) -> PatchctlError:
    said = log.read_text(encoding="utf-8", errors="replace")
    blocked = environment_error(said, log)
    if blocked:
        return blocked
    fault = first_fault(said, ninja.build, ninja.source)
    return BuildError(step, fault, count_failed(said), log, advice(said, ninja.nvcc))
