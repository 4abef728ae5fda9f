"""The way into a sandbox that has no network: connections are made inside, by ``envoy``, and handed out.

Nothing listens outside for it, and nothing runs inside but what is tested.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.process import started
from patchctl.smoke import envoy
from patchctl.smoke.child import CannotRunError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

NS_GET_USERNS = 0xB701  # ioctl: the user namespace that owns a namespace; include/uapi/linux/nsfs.h
GRACE = 5.0  # seconds more than a connection may take, after which the envoy is given up
SAID = 4096  # bytes that are read of what bubblewrap says on a sandbox's first process: some hundred


class Doors:
    """All ways into the sandboxes of one run: one program makes their connections, started when first needed."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._line: socket.socket | None = None

    def close(self) -> None:
        """End the program."""
        self._stack.close()
        self._line = None

    @contextlib.contextmanager
    def door(self) -> Iterator[Door]:
        """Give the way into a sandbox that is started next, and told the door's ``number``."""
        if self._line is None:
            self._line = self._start()
        with contextlib.ExitStack() as stack:
            yield Door(self._line, stack)

    def _start(self) -> socket.socket:
        line, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-I", "-S", envoy.__file__, str(there.fileno())]
        with there:
            self._stack.enter_context(started(words, log=Path(os.devnull), keep=[there.fileno()]))
        return self._stack.enter_context(line)


class Door:
    """The way into one sandbox. ``number`` is the open file that it has to inherit, and to say on who its first is."""

    def __init__(self, line: socket.socket, stack: contextlib.ExitStack) -> None:
        self._hears, self._says = socket.socketpair()
        self._envoy, self._lock, self._told = line, threading.Lock(), b""
        self._line: socket.socket | None = None
        stack.callback(self._close)

    @property
    def number(self) -> int:
        """Return the number of the open file."""
        return self._says.fileno()

    def dial(self, port: int, seconds: float) -> socket.socket:
        """Return a new connection to ``port`` inside, whose time-out is ``seconds``.

        Raises OSError when nobody listens there or the sandbox has ended; CannotRunError where it cannot be entered.
        """
        with self._lock:
            line = self._line = self._line or self._entered(seconds)
            try:
                said, files = _asked(line, port, seconds)
            except OSError:
                self._line = None
                line.close()  # a late answer would be taken for that of the next request
                raise
        if not files:
            code = said[0] if said else errno.ECONNREFUSED
            raise OSError(code, os.strerror(code))
        connection = socket.socket(fileno=files[0])
        connection.set_inheritable(False)  # what was received this way is
        connection.settimeout(seconds)
        return connection

    def _entered(self, seconds: float) -> socket.socket:
        told = self._first(seconds)
        with contextlib.ExitStack() as held:
            line, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            held.enter_context(line)
            with there, contextlib.ExitStack() as opened:
                files = [opened.enter_context(file).fileno() for file in _namespaces(told)]
                with contextlib.suppress(BrokenPipeError):  # then there is no answer either
                    socket.send_fds(self._envoy, [b"+"], [there.fileno(), *files])
            line.settimeout(GRACE)
            failed = line.recv(1) or bytes([errno.ECHILD])
            if failed[0]:
                raise CannotRunError(f"the network of the sandbox cannot be entered: {os.strerror(failed[0])}")
            held.pop_all()
        return line

    def _first(self, seconds: float) -> bytes:
        """Return what the sandbox said on its first process. Raises TimeoutError when it is not through by then."""
        self._says.close()
        self._hears.settimeout(seconds)
        while len(self._told) < SAID and (part := self._hears.recv(SAID)):
            self._told += part
        return self._told

    def _close(self) -> None:
        for end in filter(None, (self._hears, self._says, self._line)):
            end.close()


def _asked(line: socket.socket, port: int, seconds: float) -> tuple[bytes, list[int]]:
    line.settimeout(seconds + GRACE)
    line.send(f"{port} {seconds:.3f}".encode())
    said, files, _, _ = socket.recv_fds(line, 1, 1)
    return said, files


def _namespaces(said: bytes) -> list[IO[bytes]]:
    """Return what stands for the namespaces of the sandbox that ``bwrap --info-fd`` speaks of, in order of entering.

    Raises ConnectionRefusedError when it has ended.
    """
    try:
        told = json.loads(said)
        net = Path(f"/proc/{told['child-pid']}/ns/net").open("rb")  # noqa: SIM115 - the caller closes it
    except (OSError, ValueError) as error:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "the sandbox has ended") from error
    if os.fstat(net.fileno()).st_ino != told["net-namespace"]:  # the process has ended, another has its number
        net.close()
        raise ConnectionRefusedError(errno.ECONNREFUSED, "the sandbox has ended")
    owner = os.fdopen(fcntl.ioctl(net, NS_GET_USERNS), "rb")
    if os.path.samestat(os.fstat(owner.fileno()), Path("/proc/self/ns/user").stat()):
        owner.close()
        return [net]
    return [owner, net]
