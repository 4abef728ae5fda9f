"""The way into a sandbox: a server that no network leads to is asked all the same, and nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchctl.sandbox import Sandbox, python_paths
from patchctl.smoke import door, envoy
from patchctl.smoke.child import CannotRunError, Deadline, FailedError
from patchctl.smoke.client import NoAnswerError, ask
from patchctl.smoke.door import Doors
from patchctl.smoke.server import free_port, is_taken, serving
from tests.test_sandbox import needs_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from patchctl.smoke.server import Server

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has boxes without a user namespace")
MARK = f"door {os.getpid()}"
# Answers with what it sees from inside: processes, open files.
SERVER = """
import http.server, json, os, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen = {"processes": [name for name in os.listdir("/proc") if name.isdigit()], "files": []}
        for name in os.listdir("/proc/self/fd"):
            try:
                seen["files"].append(os.readlink(f"/proc/self/fd/{name}"))
            except OSError:
                pass  # the one that the list was read through
        body = json.dumps(seen).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


@pytest.fixture(autouse=True)
def mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's envoys be told from those of tests that run at the same time."""
    monkeypatch.setenv("PATCHCTL_TEST", MARK)


@pytest.fixture
def doors() -> Iterator[Doors]:
    with contextlib.closing(Doors()) as made:
        yield made


@pytest.fixture
def box(tmp_path: Path) -> Sandbox:
    own = tmp_path / "own"
    own.mkdir()
    return Sandbox(readable=python_paths(), writable=(own,))


def served(box: Sandbox, doors: Doors, tmp_path: Path, words: list[str]) -> contextlib.AbstractContextManager[Server]:
    port = free_port()
    return serving(
        [*words, str(port)],
        port=port,
        ready="/",
        log=tmp_path / "log",
        env=os.environ,
        cwd=box.writable[0],
        deadline=Deadline(20),
        boxed=(box, doors),
    )


def envoys() -> list[int]:
    """Return the envoys that this process or a child of it started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words, variables = ((entry / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            if os.fsencode(envoy.__file__) in words and f"PATCHCTL_TEST={MARK}".encode() in variables:
                found.append(int(entry.name))
    return found


@needs_sandbox
@pytest.mark.parametrize("root", [pytest.param(True, marks=only_root), False])
def test_a_server_in_the_sandbox_is_asked_and_nobody_else_can(
    root: bool, box: Sandbox, doors: Doors, tmp_path: Path
) -> None:
    # Who is not root has a user namespace, which the envoy has to enter too.
    box = replace(box, host=replace(box.host, root=root))
    with served(box, doors, tmp_path, [sys.executable, "-I", "-S", "-c", SERVER]) as server:
        assert server.ask("GET", "/").status == 200
        assert not is_taken(server.port)
        with pytest.raises(NoAnswerError, match="nobody listens"):
            ask(server.port, "GET", "/", None, 1)
        with pytest.raises(NoAnswerError, match="nobody listens"):
            ask(server.port + 1, "GET", "/", None, 1, dial=server.dial)
        seen = json.loads(server.ask("GET", "/").body)
    assert seen["processes"] == ["1", "2"]  # the sandbox's first, and the server: nothing of patchctl's runs inside
    log = str(tmp_path / "log")
    named = [name for name in seen["files"] if not name.startswith("socket:")]
    assert (sorted(named), len(seen["files"])) == (["/dev/null", log, log], 5)  # it listens, and talks to us


@needs_sandbox
def test_two_sandboxes_have_two_networks_and_one_envoy_serves_both(box: Sandbox, doors: Doors, tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-S", "-c", SERVER]
    other = replace(box, writable=(tmp_path / "other",))
    other.writable[0].mkdir()
    with served(box, doors, tmp_path, words) as one, served(other, doors, tmp_path, words) as two:
        for here, there in ((one, two), (two, one)):
            assert ask(here.port, "GET", "/", None, 5, dial=here.dial).status == 200
            with pytest.raises(NoAnswerError, match="nobody listens"):
                ask(there.port, "GET", "/", None, 5, dial=here.dial)
        assert soon(lambda: len(envoys()) == 3)
    doors.close()
    assert envoys() == []


@needs_sandbox
def test_a_server_that_ends_is_told_as_that(box: Sandbox, doors: Doors, tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="the server exited with status 7 before it was ready"):
        served(box, doors, tmp_path, ["sh", "-c", "exit 7", "sh"]).__enter__()
    with doors.door() as way, pytest.raises(ConnectionRefusedError):
        way.dial(1, 1)
    with doors.door() as way:
        os.write(way.number, json.dumps({"child-pid": os.getpid(), "net-namespace": 1}).encode())
        with pytest.raises(ConnectionRefusedError):  # another process has the number of one that ended
            way.dial(1, 1)


@needs_sandbox
def test_a_network_that_cannot_be_entered_is_no_failure_of_the_server(
    box: Sandbox, doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_namespaces", lambda _: [Path(os.devnull).open("rb")])  # noqa: SIM115 - as the real one
    with pytest.raises(CannotRunError, match="network of the sandbox cannot be entered: Invalid argument"):
        served(box, doors, tmp_path, ["sleep"]).__enter__()
    end(envoys())
    with pytest.raises(CannotRunError, match="network of the sandbox cannot be entered: No child"):
        served(box, doors, tmp_path, ["sleep"]).__enter__()


def end(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@needs_sandbox
def test_a_patchctl_that_is_killed_leaves_no_envoy(tmp_path: Path) -> None:
    wait = "with Doors().door(): print(1, flush=True); time.sleep(60)"
    script = f"import time\nfrom patchctl.smoke.door import Doors\n{wait}"
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"1\n"
        assert soon(lambda: len(envoys()) == 1)
        parent.kill()
    assert soon(lambda: not envoys())


def soon(what: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()
