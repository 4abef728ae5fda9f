"""The way into a sandbox: a server that no network leads to is asked all the same, and nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchctl.sandbox import Sandbox, python_paths
from patchctl.smoke import door, envoy
from patchctl.smoke.child import CannotRunError, Deadline, FailedError, child
from patchctl.smoke.client import NoAnswerError, ask
from patchctl.smoke.door import Doors
from patchctl.smoke.server import free_port, is_taken, serving
from tests.conftest import ROOT
from tests.test_sandbox import needs_sandbox, only_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from patchctl.smoke.server import Server

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
        # A connection that was answered before may still be closing.
        seen: dict[str, list[str]] = {}
        soon(lambda: seen.update(json.loads(server.ask("GET", "/").body)) or len(seen["files"]) == 5)
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
def test_a_sandbox_that_does_not_say_what_it_is_is_not_waited_for(doors: Doors) -> None:
    with doors.door() as way:
        held, start = os.dup(way.number), time.monotonic()
        with pytest.raises(TimeoutError):
            way.dial(1, 0.05)
        assert time.monotonic() - start < 5
        os.write(held, b"x" * 2 * door.SAID)  # and what says too much is not read to its end
        with pytest.raises(ConnectionRefusedError):
            way.dial(1, 5)
        os.close(held)


@needs_sandbox
def test_a_connection_is_as_one_made_here_and_one_that_fails_leaves_no_file_open(
    box: Sandbox, doors: Doors, tmp_path: Path
) -> None:
    with served(box, doors, tmp_path, [sys.executable, "-I", "-S", "-c", SERVER]) as server:
        with server.dial(server.port, 7) as connection:
            assert (connection.gettimeout(), connection.get_inheritable()) == (7, False)
        before = open_files()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                server.dial(server.port + 1, 1)
        assert open_files() == before
    after = open_files()
    assert after < before
    with doors.door() as way:
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                way.dial(1, 1)
        assert open_files() == after + 1  # the end that hears of the sandbox's first
    assert open_files() == after


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Nobody is let in: the queue is as short as can be, and full.
BUSY = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=0)
waiting = [socket.socket() for _ in range(3)]
for one in waiting:
    one.setblocking(False); one.connect_ex(listener.getsockname())
print("full", flush=True)
time.sleep(60)
"""


@needs_sandbox
def test_a_slow_connection_takes_the_time_it_has_and_holds_up_no_later_one(
    box: Sandbox, doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, log = free_port(), tmp_path / "log"
    words = [sys.executable, "-I", "-S", "-c", BUSY, str(port)]
    with doors.door() as way:
        inside = replace(box, tell=way.number)
        with child(words, log=log, env=os.environ, cwd=box.writable[0], sandbox=inside, keep=[way.number]):
            assert soon(lambda: "full" in log.read_text())
            start = time.monotonic()
            with pytest.raises(NoAnswerError, match="no answer within"):
                ask(port, "GET", "/", None, 0.2, dial=way.dial)
            assert 0.2 <= time.monotonic() - start < 2
            with pytest.raises(ConnectionRefusedError):
                way.dial(port + 1, 1)
            # An envoy that does not answer is given up, and what it says later is nobody's answer.
            visitor = max(envoys())
            os.kill(visitor, signal.SIGSTOP)
            with monkeypatch.context() as short:
                short.setattr(door, "GRACE", 0.1)
                with pytest.raises(TimeoutError):
                    way.dial(port + 1, 0.1)
            os.kill(visitor, signal.SIGCONT)
            with pytest.raises(TimeoutError):
                way.dial(port, 0.2)


USER = 60577  # has no account, and none of the sandboxes of root
AS_USER = """
import os, sys
from pathlib import Path
from patchctl.sandbox import Sandbox, python_paths, why_not
from patchctl.smoke.child import Deadline
from patchctl.smoke.door import Doors
from patchctl.smoke.server import free_port, serving
own, port, doors = Path.cwd(), free_port(), Doors()
words = [sys.executable, "-I", "-S", "-c", sys.argv[1], str(port)]
why, box = why_not(), Sandbox(readable=python_paths(), writable=(own,))
with serving(words, port=port, ready="/", log=own / "log", env=os.environ, cwd=own, deadline=Deadline(20),
             boxed=(box, doors)) as server:
    print([os.getuid(), why, server.ask("GET", "/").status])
doors.close()
"""


PACKAGES = [name for name in sys.path if Path(name).name == "site-packages"]
SAME = f"/usr/bin/python3.{sys.version_info.minor}"


def for_all(path: str) -> bool:
    """Return whether everybody may read a file or folder, by its name and where it leads."""
    ends = (Path(path).absolute(), Path(path).resolve())
    return all(part.exists() and part.stat().st_mode & 0o5 == 0o5 for end in ends for part in (end, *end.parents))


PYTHONS = [path for path in (sys.executable, SAME) if all(for_all(name) for name in (path, str(ROOT), *PACKAGES))]


@needs_sandbox
@only_root
@pytest.mark.skipif(not PYTHONS, reason="there is no Python that others than root can run patchctl with")
def test_who_is_not_root_has_sandboxes_and_ways_into_them_too() -> None:
    become = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all", "--")
    with tempfile.TemporaryDirectory() as own:
        os.chown(own, USER, USER)
        env = {**os.environ, "HOME": own, "PYTHONPATH": os.pathsep.join([str(ROOT), *PACKAGES])}
        words = [*become, PYTHONS[0], "-c", AS_USER, SERVER]
        done = subprocess.run(words, cwd=own, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stderr, done.stdout) == ("", f"{[USER, '', 200]}\n")
    assert envoys() == []


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
