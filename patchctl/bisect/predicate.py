"""What makes a point good or bad: a command, a test, a measurement, or only that it applies or compiles."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from patchctl import process
from patchctl.bisect.space import Verdict
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.smoke.install import Install
    from patchctl.smoke.plan import Case

SKIP, CANNOT_RUN, NOT_FOUND = 125, 126, 127
VERDICTS = "0 is good, 1 to 124 or a crash bad, 125 cannot tell"
# A program that dies of these has a defect; the other signals say that somebody ended it.
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS}
TAIL = 2**22  # bytes of output that are searched, the last ones
HASHED = 2**26


@dataclass(frozen=True)
class Seen:
    """How one look ended: verdict, why in words, the number measured; ``status`` is that of a command."""

    verdict: Verdict
    detail: str = ""
    value: float | None = None
    status: int | None = None


class AbortError(PatchctlError):
    """The command said something that is no verdict."""


class Predicate(Protocol):
    """Judges what was built; ``key`` is all that its verdict depends on besides that."""

    @property
    def key(self) -> str:
        """Return the key."""

    def judge(self, install: Install, log: Path) -> Seen:
        """Return how one look at a build ended; what it prints goes to ``log``."""


@dataclass(frozen=True)
class CommandTest:
    """A command with the exit codes of ``git bisect run``; ``match``: only a failure that says this is bad."""

    words: tuple[str, ...]
    cwd: Path
    match: str | None = None

    @property
    def key(self) -> str:
        """Return the key: the words, and the files that they name."""
        return digest("command", self.words, str(self.cwd), self.match, files_named(self.words, self.cwd))

    def judge(self, install: Install, log: Path) -> Seen:
        """Run the command with the programs of the build first on PATH."""
        status = run_command(self.words, install, self.cwd, log)
        seen = judged(status, f"exit {status}" if status >= 0 else f"died of {_signal(-status)}")
        if seen.verdict is Verdict.BAD and self.match is not None:
            return matched(seen, self.match, tail(log))
        return seen


def run_command(words: Sequence[str], install: Install, cwd: Path, log: Path) -> int:
    """Run a command on a build and return its exit status, negative for a signal.

    Raises AbortError (exit code 9) when there is no such program: nothing was judged.
    """
    environment = install.environment()
    program = find_program(words[0], cwd, environment["PATH"])
    if program is None:
        why = f"there is no program {words[0]}, neither here nor in the build of b{install.build_number}"
        raise AbortError(Code.ENVIRONMENT, f"{why}; bring it back and go on with: patchctl bisect --continue")
    log.unlink(missing_ok=True)
    return process.run([program, *words[1:]], log=log, cwd=cwd, env=environment).status


def find_program(word: str, cwd: Path, path: str | None = None) -> str | None:
    """Return the program that the first word of a command means to who stands in ``cwd``; None when there is none."""
    return shutil.which(str(cwd / word) if os.sep in word else word, path=path)


def judged(status: int, detail: str) -> Seen:
    """Return what an exit status means; a crash is bad, also as a shell reports it (128 and the signal)."""
    if status == 0:
        return Seen(Verdict.GOOD, detail, status=status)
    if status == SKIP:
        return Seen(Verdict.SKIP, detail, status=status)
    crash = -status if status < 0 else status - 128
    if 0 < status < 128 or crash in CRASHES:
        return Seen(Verdict.BAD, detail, status=status)
    ended = f"ended with {detail}" if status >= 0 else detail
    why = f"the command {ended}, which is no verdict ({VERDICTS})"
    raise AbortError(Code.ENVIRONMENT, f"{why}; go on with: patchctl bisect --continue")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def matched(seen: Seen, pattern: str, text: str) -> Seen:
    """Return a failure as bad when it says what is looked for, else as one that cannot be judged."""
    found = re.search(pattern, text, re.MULTILINE)
    if found:
        return Seen(Verdict.BAD, found.group().strip().splitlines()[0][:200] if found.group().strip() else seen.detail)
    return Seen(Verdict.SKIP, f"{seen.detail}, but not with {pattern}", status=seen.status)


@dataclass(frozen=True)
class SmokeTest:
    """A test of the stack, a general one, or the probe of a patch."""

    case: Case
    match: str | None = None

    @property
    def key(self) -> str:
        """Return the key: the definition and the files beside it."""
        folder = self.case.here
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        # The tests that come with patchctl are many, and name no files.
        named = {path.name: _hash(path) for path in files} if "{here}" in self.case.test.model_dump_json() else {}
        return digest("test", self.case.test.model_dump(mode="json"), named, self.match)

    def judge(self, install: Install, log: Path) -> Seen:
        """Run the test."""
        from patchctl.smoke.runner import run_tests

        results = run_tests([self.case], install, logs=log.with_suffix(""), part=True)
        if not results:
            raise AbortError(Code.USAGE, f"{self.case.test.name} is not for the variant {install.variant}")
        result = results[0]
        log.write_text(f"{result.detail}\n{tail(Path(result.log)) if result.log else ''}", encoding="utf-8")
        words = {"pass": Verdict.GOOD, "fail": Verdict.BAD}
        seen = Seen(words.get(result.result, Verdict.SKIP), (result.detail.splitlines() or [""])[0])
        return matched(seen, self.match, tail(log)) if self.match and seen.verdict is Verdict.BAD else seen


@dataclass(frozen=True)
class Measurement:
    """A number that a command prints; a run that fails, or prints none, is skipped."""

    words: tuple[str, ...]
    cwd: Path
    metric: str

    @property
    def key(self) -> str:
        """Return the key: the words, and the files that they name."""
        return digest("measure", self.words, str(self.cwd), self.metric, files_named(self.words, self.cwd))

    def judge(self, install: Install, log: Path) -> Seen:
        """Run the command once."""
        status = run_command(self.words, install, self.cwd, log)
        if status != 0:
            return Seen(Verdict.SKIP, f"exit {status}", status=status)
        value = measured(tail(log), self.metric)
        if value is None:
            return Seen(Verdict.SKIP, f"it printed no {self.metric}")
        return Seen(Verdict.GOOD, f"{self.metric} {value:g}", value)


def measured(text: str, metric: str) -> float | None:
    """Return the last number that ``text`` gives for ``metric``: a key in JSON, or the word with a number after it."""
    for found in _json(text):
        values = list(_values(found, metric))
        if values:
            return values[-1]
    number = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
    plain = re.findall(rf"(?<![\w.]){re.escape(metric)}\W{{1,4}}?({number})", text)
    return float(plain[-1]) if plain else None


def _json(text: str) -> Iterator[Any]:
    """Return the JSON in a text, latest first: the whole, or what starts on a line."""
    starts = [0, *(found.start() for found in re.finditer(r"^[\[{]", text, re.MULTILINE))]
    for start in reversed(starts[-50:]):
        with contextlib.suppress(ValueError):
            yield json.JSONDecoder().raw_decode(text[start:].lstrip())[0]


def _values(value: Any, metric: str) -> Iterator[float]:
    if isinstance(value, list):
        for inner in value:
            yield from _values(inner, metric)
    elif isinstance(value, dict):
        for key, inner in value.items():
            number = isinstance(inner, (int, float)) and not isinstance(inner, bool) and math.isfinite(inner)
            if key == metric and number:
                yield float(inner)
            else:
                yield from _values(inner, metric)


@dataclass(frozen=True)
class Until:
    """No test: ``applies`` asks whether the patches still apply, ``compiles`` whether the result compiles too."""

    what: str
    match: str | None = field(default=None)

    @property
    def key(self) -> str:
        """Return the key."""
        return digest("until", self.what, self.match)

    def judge(self, install: Install, log: Path) -> Seen:  # noqa: ARG002 - the predicate's signature
        """What was built compiles."""
        return Seen(Verdict.GOOD, "compiles")


def tail(log: Path) -> str:
    """Return the end of a log as text."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def files_named(words: Sequence[str], cwd: Path) -> dict[str, str]:
    """Return the digest of each file that a command names: a script that was edited is another test."""
    program = find_program(words[0], cwd) if words else None
    paths = {word: cwd / word for word in words[1:]} | ({words[0]: Path(program)} if program else {})
    return {word: _hash(path) for word, path in paths.items() if _is_file(path)}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # words that are no names of files, too long ones
        return False


def _hash(path: Path) -> str:
    if path.stat().st_size > HASHED:
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
