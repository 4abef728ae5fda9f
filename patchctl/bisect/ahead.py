"""Several points at once: those that may be needed next are tested by processes of their own, which fill the ledger."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from patchctl import process

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.bisect.run import Bisect
    from patchctl.bisect.space import State

PAUSE = 0.05  # seconds between looks at the processes


class Ahead:
    """Starts ``command`` with a point as its last word; whatever ends this process ends those it started."""

    def __init__(self, bisect: Bisect, command: Sequence[str], logs: Path) -> None:
        self.bisect = bisect
        self.command = list(command)
        self.logs = logs

    def look(self, states: Sequence[State]) -> None:
        """Test these points at once and return as soon as the first is tested; the others are then stopped."""
        wanted = [state for state in states if not self.bisect.is_known(state)]
        if not wanted or wanted[0] != states[0]:
            return
        with contextlib.ExitStack() as running:
            children = [running.enter_context(self._start(state)) for state in wanted]
            while children[0].poll() is None:
                time.sleep(PAUSE)

    def _start(self, state: State) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        word = self.bisect.axes.word(state)
        return process.started([*self.command, word], log=self.logs / f"{word[:12]}.log")
