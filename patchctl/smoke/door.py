"""The way into a sandbox that has no network.

The harness talks TCP to a port of this machine. Behind it each connection goes on over a Unix socket, whose listening
end ``relay`` inherits inside; it connects to the server there. A TCP socket would not do: whoever holds one that was
made outside can connect it anywhere.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.smoke import relay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextlib.contextmanager
def door(port: int) -> Iterator[socket.socket]:
    """Listen on ``port`` of this machine and give the socket that the program inside has to inherit."""
    with contextlib.ExitStack() as stack:
        # A folder that nobody else can enter, and that the box does not have.
        path = str(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="patchctl-door-"))) / "s")
        inner = stack.enter_context(socket.socket(socket.AF_UNIX))
        inner.bind(path)
        inner.listen()
        outer = stack.enter_context(socket.create_server((relay.HOST, port)))
        stack.callback(outer.shutdown, socket.SHUT_RDWR)  # else the thread would wait for one more caller
        threading.Thread(target=relay.forward, args=(outer, lambda: _called(path)), daemon=True).start()
        yield inner


def _called(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


def behind(inner: socket.socket, port: int, words: Sequence[str]) -> list[str]:
    """Return the command line that carries connections from ``inner`` to ``port`` inside, and runs ``words``."""
    return [sys.executable, "-I", "-S", relay.__file__, str(inner.fileno()), str(port), *words]
