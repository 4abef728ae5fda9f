from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patchctl import process
from patchctl.errors import Code, PatchctlError

STUBBORN = "trap '' TERM; sleep 100 & echo $!; wait; sleep 100"


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 0.2)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    return False


def ended(pid: int) -> bool:
    """Return whether a process ends now: the kernel takes a moment to bury what was killed and has no parent left."""
    until = time.monotonic() + 5
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_a_command_runs_to_its_end_and_is_logged(tmp_path: Path) -> None:
    log, seen = tmp_path / "deep" / "log", []
    done = process.run(["sh", "-c", "echo out; echo err >&2; printf 'no end \\377'; exit 3"], log=log, line=seen.append)
    assert (done.status, done.timed_out) == (3, False)
    assert log.read_bytes() == b"out\nerr\nno end \xff"
    assert seen == ["out", "err", "no end \ufffd"]
    process.run(["echo", "more"], log=log)
    assert log.read_bytes().endswith(b"more\n")


def test_seconds_count_the_children(tmp_path: Path) -> None:
    done = process.run([sys.executable, "-c", "sum(range(4_000_000))"], log=tmp_path / "log")
    assert done.cpu_seconds > 0
    assert done.seconds > 0


def test_a_time_out_ends_the_whole_group_however_stubborn(tmp_path: Path) -> None:
    seen: list[str] = []
    done = process.run(["sh", "-c", STUBBORN], log=tmp_path / "log", timeout=0.3, line=seen.append)
    assert done.timed_out
    assert ended(int(seen[0]))


def test_an_error_while_reading_ends_the_whole_group(tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.run(["sh", "-c", STUBBORN], log=tmp_path / "log", line=interrupted)
    assert ended(pids[0])


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    seen: list[str] = []
    process.run(["sh", "-c", "sleep 100 >/dev/null 2>&1 & echo $!"], log=tmp_path / "log", line=seen.append)
    assert ended(int(seen[0]))


def test_a_started_command_is_ended_on_leaving(tmp_path: Path) -> None:
    with process.started(["sleep", "100"], log=tmp_path / "log") as running:
        assert running.poll() is None
        assert os.getpgid(running.pid) == running.pid
    assert running.returncode == -signal.SIGTERM


@pytest.mark.parametrize("word", ["no-such-program-here", "/etc/passwd"])
def test_a_program_that_cannot_run_is_told_in_one_line(word: str, tmp_path: Path) -> None:
    with pytest.raises(PatchctlError, match=word) as error:
        process.run([word], log=tmp_path / "log")
    assert error.value.exit_code == Code.ENVIRONMENT
    assert "\n" not in error.value.message


def test_output_is_text_or_nothing() -> None:
    assert process.output(["echo", "hi"]) == "hi\n"
    assert process.output(["false"]) is None
    assert process.output(["no-such-program-here"]) is None
    assert process.output(["sleep", "5"], timeout=0.1) is None


@pytest.mark.parametrize("how", ["told by the kernel", "by looking"])
def test_the_end_of_a_process_is_waited_for_only_so_long(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "by looking":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    else:
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it looks and sleeps"))
    with subprocess.Popen(["sh", "-c", "read -r line; exit 3"], stdin=subprocess.PIPE) as running:
        before = time.monotonic()
        assert process.ends_within(running, 0.05) is None
        assert time.monotonic() - before >= 0.05
        assert running.stdin is not None
        running.stdin.close()
        assert process.ends_within(running, 10) == 3
        assert process.ends_within(running, 10) == 3
    assert time.monotonic() - before < 5


def test_a_second_interrupt_ends_the_group_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 30)
    pids: list[int] = []

    def interrupted(line: str) -> None:
        pids.append(int(line))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(["sh", "-c", STUBBORN], log=tmp_path / "log", line=interrupted)
    finally:
        signal.signal(signal.SIGALRM, before)
    until = start + 10
    while alive(pids[0]) and time.monotonic() < until:
        time.sleep(0.01)
    assert time.monotonic() < until
