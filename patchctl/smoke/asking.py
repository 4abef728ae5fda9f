"""The kind ``http``, and what it shares with comparisons: a server of the install, and one request to it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.smoke.child import Deadline, FailedError
from patchctl.smoke.diagnosis import explained
from patchctl.smoke.match import brief, difference, unmatched
from patchctl.smoke.placeholders import fill, fill_all, fill_pattern
from patchctl.smoke.result import Verdict
from patchctl.smoke.server import PAUSE, Server, command_line, free_port, is_taken, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from patchctl.manifest.model import Http, Request
    from patchctl.smoke.setting import Setting

TRIES = 3  # of free ports: another program may take one before the server does
LOG_WAIT = 3.0  # seconds: a server may write down what it did after it has answered
LOG_LIMIT = 16 * 2**20  # bytes of a server's log that patterns are tried on


@dataclass(frozen=True)
class Start:
    """How a server is started: words before placeholders are filled in."""

    server: str
    args: Sequence[str]
    env: Mapping[str, str]
    ready: str


@dataclass(frozen=True)
class Session:
    """A server that is ready and known to be the binary that was built; ``values`` fill placeholders."""

    server: Server
    values: Mapping[str, str]

    def ask(self, request: Request, name: str) -> str:
        """Return the text of an answer that is as the request says; raises FailedError, which ``name`` begins."""
        text, wrong = _one(self.server, request, self.values)
        if wrong is not None:
            raise self.server.failed(f"{name}, {request.method} {request.path}: {wrong}")
        return text

    def require_log(self, present: Sequence[str], absent: Sequence[str]) -> None:
        """Raise FailedError unless all of ``present`` match what the server printed so far, and none of ``absent``."""
        end = time.monotonic() + LOG_WAIT
        while (missing := self._missing(present)) and time.monotonic() < end and self.server.deadline.left:
            time.sleep(PAUSE)
        if missing:
            raise self.server.failed(f"nothing in its log matches {missing}")
        said = self.server.said(LOG_LIMIT)
        for pattern in absent:
            if not unmatched(fill_pattern(pattern, self.values), said):
                raise self.server.failed(f"its log matches {pattern}, which it must not")

    def _missing(self, patterns: Sequence[str]) -> str:
        said = self.server.said(LOG_LIMIT) if patterns else ""
        return next((it for it in patterns if unmatched(fill_pattern(it, self.values), said)), "")


def run_http(http: Http, setting: Setting) -> Verdict:
    """Start a server, make sure that it is the binary that was built, and ask it each request in order."""
    start = Start(http.server, http.args, http.env, http.ready)
    with session(start, setting, Deadline(setting.timeout)) as asked:
        for number, request in enumerate(http.requests, 1):
            asked.ask(request, f"request {number}")
        asked.require_log(http.log, http.no_log)
    return Verdict("pass")


@contextlib.contextmanager
def session(start: Start, setting: Setting, deadline: Deadline) -> Iterator[Session]:
    """Give a server of the install, ready and identified; it is stopped on leaving, in whatever way.

    Raises FailedError when it cannot be had, told with what is wrong with its model if something is.
    """
    with contextlib.ExitStack() as stack:
        asked = _started(start, setting, deadline, stack)
        try:
            yield asked
        except FailedError as failure:
            raise explained(failure, asked.server.words) from None


def _started(start: Start, setting: Setting, deadline: Deadline, stack: contextlib.ExitStack) -> Session:
    for _ in range(TRIES):
        port = free_port()
        values = {**setting.values(), "port": str(port)}
        args = [fill(word, values) for word in start.args]
        placed = any("{port}" in word.replace("{{port}}", "") for word in start.args)
        words = command_line(setting.install, fill(start.server, values), args, port, placed=placed)
        env = setting.environment({name: fill(value, values) for name, value in start.env.items()})
        try:
            server = stack.enter_context(
                serving(
                    words,
                    port=port,
                    ready=fill(start.ready, values),
                    log=setting.log,
                    env=env,
                    cwd=setting.scratch,
                    deadline=deadline,
                    boxed=setting.boxed,
                )
            )
            server.require_identity(setting.install)
        except FailedError as failure:
            stack.close()
            if not is_taken(port):
                raise explained(failure, words) from None
        else:
            return Session(server, values)
    raise FailedError(f"port {port} was free and then taken by another program, {TRIES} times; run the test again")


def _one(server: Server, request: Request, values: Mapping[str, str]) -> tuple[str, str | None]:
    body = None if request.body is None else json.dumps(fill_all(request.body, values), ensure_ascii=False).encode()
    answer = server.ask(request.method, fill(request.path, values), body)
    try:
        text = answer.body.decode()
    except UnicodeDecodeError as error:
        return "", f"the answer is not UTF-8 (byte {error.start}): {brief(answer.body.decode('utf-8', 'replace'))}"
    if answer.status != request.status:
        return text, f"status {answer.status}, not {request.status}: {brief(text)}"
    wrong = _json(request, text, values)
    if wrong is None and request.text is not None:
        wrong = unmatched(fill_pattern(request.text, values), text)
    return text, wrong


def _json(request: Request, text: str, values: Mapping[str, str]) -> str | None:
    if request.answer is None:
        return None
    try:
        answer: Any = json.loads(text)
    except (ValueError, RecursionError):
        return f"the answer is no JSON: {brief(text)}"
    return difference(fill_all(request.answer, values), answer)
