"""Several points at once: those that may be needed next are tested by processes of their own, which fill the ledger."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.bisect.evidence import EndsError, NeedError
from patchctl.bisect.search import search
from patchctl.bisect.space import Verdict

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.bisect.evidence import Evidence
    from patchctl.bisect.run import Bisect
    from patchctl.bisect.space import Space, State

PAUSE = 0.05  # seconds between looks at the processes


class Ahead:
    """Starts ``command`` with a point as its last word; whatever ends this process ends those it started."""

    def __init__(self, bisect: Bisect, command: Sequence[str], logs: Path) -> None:
        self.bisect = bisect
        self.command = list(command)
        self.logs = logs

    def look(self, needed: State) -> None:
        """Test this point, with those that may be needed next, and return as soon as it is; the others are stopped."""
        wanted = [state for state in speculate(self.bisect, needed) if not self.bisect.is_known(state)]
        if not wanted or wanted[0] != needed:
            return
        with contextlib.ExitStack() as running:
            children = [running.enter_context(self._start(state)) for state in wanted]
            while children[0].poll() is None:
                time.sleep(PAUSE)

    def _start(self, state: State) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        word = self.bisect.axes.word(state)
        return process.started([*self.command, word], log=self.logs / f"{word[:12]}.log")


def speculate(bisect: Bisect, state: State) -> list[State]:
    """Return points by how soon they may be needed: the one that is, then what follows if it is good, or bad."""
    slots = bisect.workshop.plan.slots
    found, waiting = [state], [(bisect.evidence, state)]
    while waiting and len(found) < slots:
        evidence, at = waiting.pop(0)
        for verdict in (Verdict.GOOD, Verdict.BAD):
            imagined = evidence.imagined(at, verdict)
            imagined.recall = bisect.peek
            following = _following(bisect.axes.space, imagined)
            if following is not None:
                waiting.append((imagined, following))
                if following not in found:
                    found.append(following)
    return found[:slots]


def _following(space: Space, evidence: Evidence) -> State | None:
    with contextlib.suppress(EndsError):
        try:
            search(space, evidence)
        except NeedError as need:
            return need.state
    return None
