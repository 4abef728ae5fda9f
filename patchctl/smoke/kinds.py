"""The kinds of tests. Each is a function from its definition and a setting to a verdict; a new kind is one more."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code
from patchctl.smoke.child import CannotRunError, Child, Deadline, FailedError, child, tail, with_tail
from patchctl.smoke.match import brief, difference, unmatched
from patchctl.smoke.placeholders import fill, fill_all, fill_pattern
from patchctl.smoke.result import Verdict
from patchctl.smoke.server import Server, command_line, free_port, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from patchctl.document import Loc
    from patchctl.manifest.model import Command, Http, Request, Test
    from patchctl.smoke.install import Install

OUTPUT_LIMIT = 4 * 2**20  # bytes of a command's output that its pattern is tried on: the last ones


@dataclass(frozen=True)
class Setting:
    """Where one test runs: on which install, defined in which folder, with what log, in what scratch folder."""

    install: Install
    here: Path
    log: Path
    scratch: Path
    timeout: float

    def values(self) -> dict[str, str]:
        """Return what placeholders stand for."""
        return {**self.install.values(), "here": str(self.here)}

    def environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the program under test."""
        return {**self.install.environment(), **extra}


def run_command(command: Command, setting: Setting) -> Verdict:
    """Run a program to its end: exit status and output must be as expected; status 125 skips with the last line."""
    values = setting.values()
    words = [fill(word, values) for word in command.run]
    env = setting.environment({name: fill(value, values) for name, value in command.env.items()})
    with child(words, log=setting.log, env=env, cwd=setting.scratch) as running:
        status = _wait(running, Deadline(setting.timeout))
    if status == Code.SKIP != command.exit:
        return Verdict("skip", (tail(setting.log, 1) or ["exit status 125"])[0])
    if status != command.exit:
        expected = f" (expected {command.exit})" if command.exit else ""
        raise FailedError(with_tail(f"it {running.ended()}{expected}", setting.log))
    if command.output is not None:
        said = unmatched(fill_pattern(command.output, values), _output(setting.log))
        if said:
            raise FailedError(f"output {said}")
    return Verdict("pass")


def _wait(running: Child, deadline: Deadline) -> int:
    import subprocess

    try:
        status = running.process.wait(deadline.left)
    except subprocess.TimeoutExpired:
        raise FailedError(with_tail(f"it did not end within {deadline.seconds:g} s", running.log)) from None
    if running.flooded.is_set():
        raise FailedError(f"it {running.ended()}")
    return status


def _output(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - OUTPUT_LIMIT))
        return file.read().decode("utf-8", "replace")


def run_http(http: Http, setting: Setting) -> Verdict:
    """Start a server, make sure that it is the binary that was built, and ask it each request in order."""
    port = free_port()
    values = {**setting.values(), "port": str(port)}
    words = command_line(setting.install, fill(http.server, values), [fill(word, values) for word in http.args], port)
    with serving(
        words,
        port=port,
        ready=fill(http.ready, values),
        log=setting.log,
        env=setting.environment({}),
        cwd=setting.scratch,
        deadline=Deadline(setting.timeout),
    ) as server:
        server.require_identity(setting.install)
        for number, request in enumerate(http.requests, 1):
            wrong = _one(server, request, values)
            if wrong:
                raise server.failed(f"request {number}, {request.method} {request.path}: {wrong}")
    return Verdict("pass")


def _one(server: Server, request: Request, values: Mapping[str, str]) -> str | None:
    body = None if request.body is None else json.dumps(fill_all(request.body, values), ensure_ascii=False).encode()
    answer = server.ask(request.method, fill(request.path, values), body)
    try:
        text = answer.body.decode()
    except UnicodeDecodeError as error:
        return f"the answer is not UTF-8 (byte {error.start}): {brief(answer.body.decode('utf-8', 'replace'))}"
    if answer.status != request.status:
        return f"status {answer.status}, not {request.status}: {brief(text)}"
    wrong = _json(request, text, values)
    if wrong is None and request.text is not None:
        wrong = unmatched(fill_pattern(request.text, values), text)
    return wrong


def _json(request: Request, text: str, values: Mapping[str, str]) -> str | None:
    if request.answer is None:
        return None
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return f"the answer is no JSON: {brief(text)}"
    return difference(fill_all(request.answer, values), answer)


KINDS: dict[str, Callable[[Any, Setting], Verdict]] = {"command": run_command, "http": run_http}


def kind_of(test: Test) -> str:
    """Return the kind of a test: the one of ``KINDS`` that it defines."""
    return next(kind for kind in KINDS if getattr(test, kind) is not None)


def run_kind(test: Test, setting: Setting) -> Verdict:
    """Run a test and return how it ended; nothing it does, or cannot do, is raised except ctrl-C."""
    kind = kind_of(test)
    try:
        return KINDS[kind](getattr(test, kind), setting)
    except FailedError as failure:
        return Verdict("fail", str(failure))
    except CannotRunError as reason:
        return Verdict("error", str(reason))
    except OSError as error:
        return Verdict("error", f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def invalid(test: Test, values: Mapping[str, str]) -> list[tuple[Loc, str]]:
    """Return what is wrong with a test's placeholders and regular expressions and where, before anything runs."""
    known = {**values, **({"port": "1"} if test.http is not None else {})}
    definition = test.model_dump(exclude_none=True, exclude={"name", "reason"})
    return list(_invalid(definition, known, (), ""))


def _invalid(value: Any, values: Mapping[str, str], loc: Loc, key: str) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, dict):
        # What is sent and what comes back has keys of its own.
        own = key in {"body", "answer", "env"}
        for name, inner in value.items():
            yield from _invalid(inner, values, (*loc, name), key if own else name)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _invalid(inner, values, (*loc, at), key)
    elif isinstance(value, str):
        yield from ((loc, problem) for problem in _invalid_text(value, values, key))


def programs(test: Test) -> set[str]:
    """Return the programs in ``{bin}`` that a test names; ``{server}`` is the one that serves."""
    named = set(re.findall(r"\{bin\}/([\w.+-]+)", test.model_dump_json()))
    if "{server}" in test.model_dump_json().replace("{{server}}", ""):
        named.add("{server}")
    return named | ({test.http.server} if test.http is not None and "{" not in test.http.server else set())


def _invalid_text(text: str, values: Mapping[str, str], key: str) -> list[str]:
    try:
        if key in {"output", "text"}:
            re.compile(fill_pattern(text, values))
        fill(text, values)
    except ValueError as error:
        return [str(error)]
    except re.error as error:
        return [f"{key}: {text} is no regular expression: {error}"]
    return []
