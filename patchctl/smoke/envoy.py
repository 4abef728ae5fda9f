"""Run as a program beside patchctl: goes into the networks of sandboxes, and hands out connections it makes there.

A connection belongs to the network it was made in, whoever holds it. Only a process with one thread may enter the
namespaces of a sandbox that is not root's, and none comes back: so this is a program of its own, and one process for
each sandbox. It ends when patchctl does.
"""

from __future__ import annotations

import os
import sys
from _socket import AF_INET, CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket  # the module around it takes as long as Python

TYPE_CHECKING = False  # as typing's, which takes longer to import than this to run
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOST = "127.0.0.1"
NUMBER = 4  # bytes of a file's number
DONE = b"\0"
FILES = 3  # at most: the line of one sandbox, its user namespace unless it is ours, its network


def entering() -> Callable[[int], None]:
    """Return what puts this process into the namespace that an open file stands for, or raises OSError."""
    if sys.version_info >= (3, 12):
        return os.setns
    import ctypes

    setns = ctypes.CDLL(None, use_errno=True).setns

    def enter(number: int) -> None:
        if setns(number, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    return enter


def main(number: int) -> None:
    """Start a process for each sandbox that the line ``number`` names, until patchctl closes it."""
    enter, line = entering(), socket(fileno=number)
    while files := _received(line):
        if os.fork() == 0:
            line.close()
            _visit(enter, *files)
            os._exit(0)
        for file in files:
            os.close(file)
        _reap(os.WNOHANG)
    _reap(0)


def _received(line: socket) -> Sequence[int]:
    _, parts, _, _ = line.recvmsg(1, CMSG_SPACE(FILES * NUMBER))
    return [number for _, _, data in parts for number in memoryview(data).cast("i")]


def _visit(enter: Callable[[int], None], number: int, *namespaces: int) -> None:
    """Go into the namespaces, and answer each request on the line with a connection or with why there is none."""
    line = socket(fileno=number)
    try:
        for namespace in namespaces:
            enter(namespace)
    except OSError as error:
        line.send(_why(error))
        return
    line.send(DONE)
    while request := line.recv(32):
        port, seconds = request.split()
        _answer(line, int(port), float(seconds))


def _answer(line: socket, port: int, seconds: float) -> None:
    connection = socket(AF_INET)
    connection.settimeout(seconds)
    try:
        connection.connect((HOST, port))
    except OSError as error:
        line.send(_why(error))
    else:
        file = connection.fileno().to_bytes(NUMBER, sys.byteorder)
        line.sendmsg([DONE], [(SOL_SOCKET, SCM_RIGHTS, file)])
    connection.close()


def _why(error: OSError) -> bytes:
    return bytes([error.errno or 110])  # ETIMEDOUT: a time-out of Python's own has no number


def _reap(how: int) -> None:
    try:
        while os.waitpid(-1, how)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
