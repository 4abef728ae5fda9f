"""A program under test: bounded in time and in what it prints, and gone afterwards, whatever happens."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchctl.process import started, stop_group
from patchctl.text import one_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from patchctl.sandbox import Sandbox

LOG_LIMIT = 64 * 2**20  # bytes; a healthy server prints kilobytes
TAIL_BYTES = 64 * 2**10
TAIL_LINES = 6
LINE_LENGTH = 200


class CannotRunError(Exception):
    """The test itself cannot run here; says why."""


class FailedError(Exception):
    """What was built does not do what the test wants; says what it did."""


class Deadline:
    """A moment by which a test must have ended."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self._end - time.monotonic())


@dataclass
class Child:
    """A running program and its log."""

    process: subprocess.Popen[bytes]
    log: Path
    flooded: threading.Event = field(default_factory=threading.Event)

    def ended(self) -> str | None:
        """Return how the program ended (``exited with status 1``), or None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        if self.flooded.is_set():
            return f"printed more than {LOG_LIMIT // 2**20} MiB and was stopped"
        if status >= 0:
            return f"exited with status {status}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"


@contextlib.contextmanager
def child(
    words: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    sandbox: Sandbox | None = None,
    keep: Sequence[int] = (),
) -> Iterator[Child]:
    """Run a program in its own process group; the group is ended on leaving, or when patchctl itself is killed.

    It inherits the open files whose numbers are in ``keep``. Raises CannotRunError when there is no such program.
    """
    program = shutil.which(words[0], path=env.get("PATH"))
    if program is None:
        raise CannotRunError(f"there is no program {words[0]}")
    line = [program, *words[1:]]
    line = [*_dies_with_parent(), *line] if sandbox is None else sandbox.wrap(line, env=env, cwd=cwd)
    with started(line, log=log, env=env, cwd=cwd, keep=keep) as process:
        running = Child(process, log)
        done = threading.Event()
        guard = threading.Thread(target=_guard, args=(running, done), daemon=True)
        guard.start()
        try:
            yield running
        finally:
            done.set()
            guard.join()


def _dies_with_parent() -> list[str]:
    # A `kill -9` of patchctl runs no cleanup; the kernel then ends the server, where util-linux can ask it to.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _guard(running: Child, done: threading.Event) -> None:
    while not done.wait(0.05):
        if size(running.log) > LOG_LIMIT:
            running.flooded.set()
            stop_group(running.process)
            return


def size(log: Path) -> int:
    """Return the size of a log in bytes, 0 when it is not there."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a log that are not empty, cut in length, unable to steer a terminal."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, size(log) - TAIL_BYTES))
            text = file.read(TAIL_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    clean = [one_line(line.strip()) for line in text.splitlines()]
    return [line[:LINE_LENGTH] for line in clean if line][-lines:]


def with_tail(message: str, log: Path) -> str:
    """Return a message followed by the last lines of the log it is about, indented."""
    return "\n".join([message, *(f"  {line}" for line in tail(log))])
