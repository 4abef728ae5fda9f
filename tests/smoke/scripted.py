"""Installs whose server is a Python script: for what the demo's server cannot show."""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import TYPE_CHECKING

from patchctl.smoke.install import Install, read_install
from patchctl.smoke.setting import Setting

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = "123456789-abcdefabc"

# Speaks plain sockets: http.server takes 100 ms to import and is too polite to send garbage.
SERVER = """#!{python} -SE
import json, os, signal, socket, sys, time

port = int(sys.argv[sys.argv.index("--port") + 1])

def reply(status, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d X\\r\\nContent-Length: %d\\r\\n\\r\\n" % (status, len(body)) + body

def before(): pass
def health(connection): connection.sendall(reply(200, {{"status": "ok"}}))
def props(connection): connection.sendall(reply(200, {{"build_info": "b7-{identity}"}}))
def answer(connection): connection.sendall(reply(200, {{"content": "hello"}}))

def whole(request):
    start, end, body = request.partition(b"\\r\\n\\r\\n")
    headers = (line.split(b":") for line in start.lower().split(b"\\r\\n")[1:])
    return end and len(body) >= sum(int(words[1]) for words in headers if words[0] == b"content-length")

{changes}

before()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen()
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    head = b""
    while not whole(head):
        part = connection.recv(65536)
        if not part:
            break
        head += part
    path = head.split(b" ")[1].decode() if b" " in head else ""
    try:
        {{"/health": health, "/props": props}}.get(path, answer)(connection)
    except OSError:
        pass
    connection.close()
"""


def make_install(folder: Path, changes: str = "", *, server: str = "x-server") -> Install:
    """Make an install folder whose server is the script above with ``changes`` to its functions."""
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin" / server
    program.write_text(SERVER.format(python=sys.executable, identity=IDENTITY, changes=changes), encoding="utf-8")
    program.chmod(0o755)
    info = {
        "release": "r1", "variant": "cpu", "identity": IDENTITY, "build_number": 7, "base": "123456789" + "0" * 31,
        "tree": "abcdefabc" + "0" * 31, "build_key": "key", "targets": ["x-cli", server], "architectures": [],
    }  # fmt: skip
    (folder / "build-info.json").write_text(json.dumps(info), encoding="utf-8")
    return read_install(folder)


def setting(install: Install, folder: Path, timeout: float = 10.0) -> Setting:
    """Return where a test on this install runs, with everything below ``folder``."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    return Setting(install, folder, folder / "test.log", scratch, timeout)


def is_free(port: int) -> bool:
    """Return whether a server could listen on ``port`` right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def running_below(folder: Path, patience: float = 5.0) -> list[str]:
    """Return the command lines of processes that run something from ``folder``, for ``patience`` seconds.

    What was killed is gone a moment later, and on a busy machine the moment is long.
    """
    ends = time.monotonic() + patience
    while (found := _running_below(folder)) and time.monotonic() < ends:
        time.sleep(0.02)
    return found


def _running_below(folder: Path) -> list[str]:
    from pathlib import Path as AnyPath

    found = []
    for entry in AnyPath("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            found += [line] if str(folder) in line else []
    return found
