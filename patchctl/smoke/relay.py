"""Run as a program inside a sandbox: carries connections from a Unix socket to a port, and runs a server there.

The server is started first; what carrying needs is imported meanwhile.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing's, which takes longer to import than this to run
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

HOST = "127.0.0.1"
PART = 1 << 16  # bytes


def forward(listener: socket.socket, dial: Callable[[], socket.socket]) -> None:
    """Carry every connection that ``listener`` accepts to a new one that ``dial`` makes, until it is closed."""
    import threading

    while True:
        try:
            caller = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=_carry, args=(caller, dial), daemon=True).start()


def _carry(caller: socket.socket, dial: Callable[[], socket.socket]) -> None:
    import contextlib
    import threading

    # Nobody answers there: the caller sees its connection closed and may try again.
    with caller, contextlib.suppress(OSError), dial() as called:
        back = threading.Thread(target=_copy, args=(called, caller), daemon=True)
        back.start()
        _copy(caller, called)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    import contextlib
    import socket

    with contextlib.suppress(OSError):
        while part := source.recv(PART):
            target.sendall(part)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)


def main(words: list[str]) -> None:
    """Become the program that ``words`` name after the socket's number and the port; a child carries connections."""
    number, port, *command = words
    if os.fork() > 0:
        os.close(int(number))
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    import socket

    with socket.socket(fileno=int(number)) as listener:
        forward(listener, lambda: socket.create_connection((HOST, int(port))))


if __name__ == "__main__":
    main(sys.argv[1:])
