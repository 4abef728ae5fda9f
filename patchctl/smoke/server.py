"""A server under test: started on a free port, waited for, asked, stopped for certain."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from patchctl.smoke.child import CannotRunError, Child, Deadline, FailedError, child, size, with_tail
from patchctl.smoke.client import HOST, Answer, NoAnswerError, ask, connect
from patchctl.smoke.match import brief

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from patchctl.sandbox import Sandbox
    from patchctl.smoke.client import Dial
    from patchctl.smoke.door import Doors
    from patchctl.smoke.install import Install

PAUSE = 0.03  # seconds between two looks at a server that is loading; less at first: a small one is there at once
LOOK = 2.0  # seconds one such look may take
CRASHED = ("connection", "nobody", "bytes early")  # in what a client says of a server that went away
NOT_THERE = frozenset({404, 405, 501})


def is_taken(port: int) -> bool:
    """Return whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(LOOK)
        return probe.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Server:
    """A server that is ready; ``ask`` it."""

    child: Child
    port: int
    deadline: Deadline
    words: Sequence[str] = ()
    log_start: int = 0
    dial: Dial = connect

    def said(self, limit: int) -> str:
        """Return what it printed so far, the last ``limit`` bytes of it at most."""
        with self.child.log.open("rb") as file:
            file.seek(max(self.log_start, size(self.child.log) - limit))
            return file.read(limit).decode("utf-8", "replace")

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Return its answer; raises FailedError, with its last log lines, when it gives none."""
        try:
            return ask(self.port, method, path, body, self.deadline.left, dial=self.dial)
        except NoAnswerError as error:
            raise self.failed(f"{method} {path}: {error}") from error

    def failed(self, what: str) -> FailedError:
        """Return the failure ``what``, told with how the server ended, if it did, and with its last log lines."""
        # A crash closes the connection a moment before the process is gone.
        ended = _soon(self.child) if any(word in what for word in CRASHED) else self.child.ended()
        return FailedError(with_tail(f"{what}; the server {ended}" if ended else what, self.child.log))

    def require_identity(self, install: Install) -> None:
        """Raise FailedError unless the server says, if it has ``/props``, that it is the binary of this install."""
        answer = self.ask("GET", "/props")
        if answer.status in NOT_THERE:
            return
        said = _build_info(answer)
        if said is None:
            raise self.failed("GET /props: the answer has no build_info")
        if f"b{install.build_number}-" not in said or install.identity not in said:
            raise self.failed(
                f"the server says it is {brief(said)}, not b{install.build_number}-{install.identity}: "
                "it is not the binary that was built"
            )


def _build_info(answer: Answer) -> str | None:
    try:
        props: Any = json.loads(answer.body)
    except ValueError:
        return None
    said = props.get("build_info") if isinstance(props, dict) else None
    return said if isinstance(said, str) else None


@contextlib.contextmanager
def serving(
    words: Sequence[str],
    *,
    port: int,
    ready: str,
    log: Path,
    env: Mapping[str, str],
    cwd: Path,
    deadline: Deadline,
    boxed: tuple[Sandbox, Doors] | None = None,
) -> Iterator[Server]:
    """Start a server and give it once ``ready`` answers 200; it is stopped on leaving, in whatever way.

    ``boxed`` says in which sandbox, and who knows the ways into those.
    Raises FailedError when it ends, or is not ready by the deadline; CannotRunError when there is no such program.
    """
    start = size(log)
    with contextlib.ExitStack() as stack:
        box, dial, keep = None, connect, []
        if boxed is not None:
            door = stack.enter_context(boxed[1].door())
            box, dial, keep = replace(boxed[0], tell=door.number), door.dial, [door.number]
        running = stack.enter_context(child(words, log=log, env=env, cwd=cwd, sandbox=box, keep=keep))
        server = Server(running, port, deadline, words, start, dial)
        _wait_until_ready(server, ready)
        yield server


def _wait_until_ready(server: Server, path: str) -> None:
    last, pause = "it answered nothing", PAUSE / 32
    while server.deadline.left > 0:
        ended = server.child.ended()
        if ended:
            raise FailedError(with_tail(f"the server {ended} before it was ready", server.child.log))
        try:
            answer = ask(server.port, "GET", path, None, min(LOOK, server.deadline.left), dial=server.dial)
        except NoAnswerError as error:
            last = f"GET {path}: {error}"
        else:
            if answer.status == 200:
                return
            last = f"GET {path} answered {answer.status}"
        time.sleep(pause)
        pause = min(1.5 * pause, PAUSE)
    raise FailedError(
        with_tail(f"the server was not ready after {server.deadline.seconds:g} s; {last}", server.child.log)
    )


def _soon(running: Child) -> str | None:
    for _ in range(20):
        ended = running.ended()
        if ended:
            return ended
        time.sleep(0.02)
    return None


def command_line(install: Install, server: str, args: Sequence[str], port: int, *, placed: bool = False) -> list[str]:
    """Return the words that start a server; its address is added unless it is ``placed`` among ``args`` already."""
    path = install.bin / server
    if not path.is_file():
        raise CannotRunError(f"there is no server {server} in {install.bin}")
    return [str(path), *args, *([] if placed else ["--host", HOST, "--port", str(port)])]
