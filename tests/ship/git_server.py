"""git's own smart HTTP server on the loopback, with a password if there is to be one, and a say in each push."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class GitServer(ThreadingHTTPServer):
    """Serves the repositories in ``root``.

    ``password`` (``user:password``) is asked for when it is set; ``readers`` may read but get 403 for a push;
    ``moved`` answers everything with a redirection there; ``before_push`` is called when a push comes in, after the
    pusher looked at the branches.
    """

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.password = ""
        self.readers = False
        self.moved = ""
        self.before_push: Callable[[], object] = lambda: None

    def url(self, name: str, *, user: str = "") -> str:
        return f"http://{f'{user}@' if user else ''}127.0.0.1:{self.server_address[1]}/{name}"


@contextlib.contextmanager
def served(root: Path) -> Iterator[GitServer]:
    """Serve ``root`` for a while."""
    with GitServer(root) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: GitServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_words: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self._body()
        if self.path.endswith("/git-receive-pack"):
            self.server.before_push()
        self._answer(body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        secret = base64.b64encode(self.server.password.encode()).decode()
        if self.server.moved:
            self._send(301, [("Location", self.server.moved + self.path)])
        elif self.server.password and self.headers.get("Authorization") != f"Basic {secret}":
            self._send(401, [("WWW-Authenticate", 'Basic realm="git"')])
        elif self.server.readers and "git-receive-pack" in self.path:
            self._send(403, [])
        else:
            self._serve(body)

    def _serve(self, body: bytes) -> None:
        url = urlsplit(self.path)
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        fields = [line.decode().split(": ", 1) for line in head.split(b"\r\n") if b": " in line]
        status = next((int(value[:3]) for name, value in fields if name == "Status"), 200)
        self._send(status, [(name, value) for name, value in fields if name != "Status"], content)

    def _send(self, status: int, fields: list[tuple[str, str]], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
