"""The kind ``command``: a program run to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.errors import Code
from patchctl.process import ends_within
from patchctl.smoke.child import Child, Deadline, FailedError, child, tail, with_tail
from patchctl.smoke.match import unmatched
from patchctl.smoke.placeholders import fill, fill_pattern
from patchctl.smoke.result import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.manifest.model import Command
    from patchctl.smoke.setting import Setting

OUTPUT_LIMIT = 4 * 2**20  # bytes of a command's output that its pattern is tried on: the last ones


def run_command(command: Command, setting: Setting) -> Verdict:
    """Run a program to its end: exit status and output must be as expected; status 125 skips with the last line."""
    values = setting.values()
    words = [fill(word, values) for word in command.run]
    env = setting.environment({name: fill(value, values) for name, value in command.env.items()})
    with child(words, log=setting.log, env=env, cwd=setting.scratch, sandbox=setting.sandbox) as running:
        status = _wait(running, Deadline(setting.timeout))
    if status == Code.SKIP != command.exit:
        return Verdict("skip", (tail(setting.log, 1) or ["exit status 125"])[0])
    if status != command.exit:
        expected = f" (expected {command.exit})" if command.exit else ""
        raise FailedError(_with_last_words(f"it {running.ended()}{expected}", setting.log))
    if command.output is not None:
        said = unmatched(fill_pattern(command.output, values), _output(setting.log))
        if said:
            raise FailedError(f"output {said}")
    return Verdict("pass")


def _with_last_words(what: str, log: Path) -> str:
    """Return it in a line with the program's last one, in which most say why; followed by more of them, if it has."""
    words = tail(log)
    told = f"{what}: {words[-1]}" if words else what
    return with_tail(told, log) if len(words) > 1 else told


def _wait(running: Child, deadline: Deadline) -> int:
    status = ends_within(running.process, deadline.left)
    if status is None:
        raise FailedError(with_tail(f"it did not end within {deadline.seconds:g} s", running.log))
    if running.flooded.is_set():
        raise FailedError(f"it {running.ended()}")
    return status


def _output(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - OUTPUT_LIMIT))
        return file.read().decode("utf-8", "replace")
