"""Child processes: their own group, a log, a bounded life, and none left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

GRACE = 3.0  # seconds between asking a group to end and ending it


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, seconds of wall time and of processor time (its children included)."""

    status: int
    seconds: float
    cpu_seconds: float
    timed_out: bool = False


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and everything in its group, and wait for it: first asked, after ``GRACE`` seconds made to.

    A second ctrl-C meanwhile makes it end at once.
    """
    try:
        if not _ends(process, signal.SIGTERM):
            _ends(process, signal.SIGKILL)
    except KeyboardInterrupt:  # asked a second time: no more grace, but still nothing left behind
        _ends(process, signal.SIGKILL)
        raise


def _ends(process: subprocess.Popen[bytes], sign: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)
    return ends_within(process, GRACE) is not None and not _group_alive(process.pid)


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Wait for a process to end and return its status, None when it still runs after ``seconds``."""
    # Popen.wait looks and sleeps, ever longer: the end of a process that takes 16 ms is seen after 32.
    if process.poll() is None:
        try:
            with os.fdopen(os.pidfd_open(process.pid), "rb") as handle:
                watch = select.poll()
                watch.register(handle, select.POLLIN)
                watch.poll(1000 * seconds)
        except (AttributeError, OSError):  # a system other than Linux
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
    return process.poll()


def _group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def started(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    keep: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in its own process group, output and errors going to ``log``; the group is ended on leaving.

    It inherits the open files whose numbers are in ``keep``. Raises PatchctlError (exit code 9) when the program is not
    there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = _popen(command, stdout=sink, cwd=cwd, env=env, keep=keep)
    try:
        yield process
    finally:
        stop_group(process)


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    line: Callable[[str], None] | None = None,
) -> Outcome:
    """Run a command to its end, appending all it prints to ``log`` and handing each line to ``line``.

    Stops the whole process group on a time-out, on ctrl-C and on any error of ``line``. Raises PatchctlError
    (exit code 9) when the program is not there. Its failure is not an error here: read ``status``.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    before, start = os.times(), time.monotonic()
    timed_out = threading.Event()
    process = _popen(command, stdout=subprocess.PIPE, cwd=cwd, env=env)

    def expire() -> None:
        timed_out.set()
        stop_group(process)

    timer = threading.Timer(timeout, expire) if timeout is not None else None
    try:
        if timer is not None:
            timer.start()
        _drain(process, log, line)
        status = process.wait()
    finally:
        if timer is not None:
            timer.cancel()
        try:
            stop_group(process)
        finally:
            if process.stdout is not None:
                process.stdout.close()
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Outcome(status, time.monotonic() - start, used, timed_out.is_set())


def _drain(process: subprocess.Popen[bytes], log: Path, line: Callable[[str], None] | None) -> None:
    if process.stdout is None:
        return
    with log.open("ab") as sink:
        for raw in process.stdout:
            sink.write(raw)
            sink.flush()
            if line is not None:
                line(raw.decode("utf-8", "replace").rstrip("\r\n"))


def _popen(
    command: Sequence[str | Path],
    *,
    stdout: int | BinaryIO,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    words = [os.fspath(word) for word in command]
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
            pass_fds=keep,
        )
    except FileNotFoundError as error:
        hint = "patchctl doctor says how to get it"
        raise PatchctlError(Code.ENVIRONMENT, f"{words[0]} is not installed; {hint}") from error
    except OSError as error:
        raise PatchctlError(Code.ENVIRONMENT, f"cannot run {words[0]}: {error.strerror}") from error


def output(command: Sequence[str | Path], *, timeout: float = 30.0) -> str | None:
    """Return what a short command prints on standard output, or None when it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            [os.fspath(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
