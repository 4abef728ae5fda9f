"""One HTTP request to a server that may do anything: bounded in time as a whole, and in size."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Dial = Callable[[int, float], socket.socket]

HOST = "127.0.0.1"
ANSWER_LIMIT = 4 * 2**20  # bytes


class NoAnswerError(Exception):
    """The server gave no answer that can be read; says what it did."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status and its body."""

    status: int
    body: bytes


def connect(port: int, seconds: float) -> socket.socket:
    """Return a connection to ``port`` of this machine, made within ``seconds``. Raises OSError."""
    return socket.create_connection((HOST, port), seconds)


def ask(port: int, method: str, path: str, body: bytes | None, seconds: float, *, dial: Dial = connect) -> Answer:
    """Return the answer of the server on ``port`` of this machine, or of where ``dial`` leads.

    Raises NoAnswerError when nobody listens, when the whole answer is not there after ``seconds``, when it is larger
    than ``ANSWER_LIMIT``, or when it is no HTTP.
    """
    seconds = max(seconds, 0.01)
    connection = http.client.HTTPConnection(HOST, port)
    expired = threading.Event()
    try:
        connection.sock = dial(port, seconds)
        connection.sock.settimeout(seconds)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with _bounded(connection.sock, seconds, expired):
            return _exchange(connection, method, path, body, expired)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if expired.is_set() or isinstance(error, TimeoutError):
            raise NoAnswerError(f"no answer within {seconds:.3g} s") from error
        raise NoAnswerError(_words(error)) from error
    finally:
        connection.close()


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, expired: threading.Event
) -> Answer:
    headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if body is not None else {})}
    connection.request(method, path, body, headers)
    with connection.getresponse() as response:
        content = response.read(ANSWER_LIMIT + 1)
        if expired.is_set():
            raise TimeoutError
        if len(content) > ANSWER_LIMIT:
            raise NoAnswerError(f"the answer is larger than {ANSWER_LIMIT // 2**20} MiB")
        if response.length:
            raise NoAnswerError(f"the answer ended {response.length} bytes early")
        return Answer(response.status, content)


@contextlib.contextmanager
def _bounded(sock: socket.socket, seconds: float, expired: threading.Event) -> Iterator[None]:
    """Cut the connection after ``seconds``: a socket's own time-out starts anew with every byte that drips in."""

    def expire() -> None:
        expired.set()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.BadStatusLine):
        return f"the answer is no HTTP: {str(error)[:80]!r}"
    return f"the answer is broken: {type(error).__name__} {str(error)[:80]}".rstrip()
