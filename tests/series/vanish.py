"""Run a command line in a forked child that vanishes, as by kill -9, right before one of the things it does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOES = {"subprocess.Popen", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.mkdir", "os.chmod"}
VANISHED = 99


def vanish(words: list[str], cwd: Path, step: int) -> int:
    """Return the exit code of ``words``; ``VANISHED`` when the child did not live past its ``step``-th deed."""
    child = os.fork()
    if child == 0:
        _live(words, cwd, step)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def each_step(words: list[str], cwd: Path, *, first: int = 1, pace: int = 1) -> Iterator[int]:
    """Run ``words`` again and again, vanishing a little later each time, until one run ends by itself."""
    step = first
    while vanish(words, cwd, step) == VANISHED:
        yield step
        step += pace


def _live(words: list[str], cwd: Path, step: int) -> None:
    from patchctl.cli import run_words

    os.chdir(cwd)
    sink = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(sink, stream)
    done = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        writes = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if event in DOES or writes:
            done += 1
            if done == step:
                os._exit(VANISHED)

    sys.addaudithook(hook)
    code = 1
    try:
        code = int(run_words(words))
    finally:
        os._exit(code)
