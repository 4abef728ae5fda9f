"""What a person sees: results on standard output, everything else on standard error; colour only where wanted."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

import click

from patchctl.text import coloured, one_line, redacted, uncoloured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COLOURS = {
    "clean": "green", "offset": "green", "3way": "cyan", "absorbed": "blue", "conflict": "red", "blocked": "yellow",
    "pass": "green", "fail": "red", "error": "red", "skip": "yellow", "ok": "green", "missing": "red",
}  # fmt: skip


class Ui:
    """Speaks for one run of a command."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self._warned: set[str] = set()

    def say(self, text: str) -> None:
        """Show a line of the result; with ``--json`` the object is the result, so nothing is shown."""
        if not self.as_json:
            echo(text)

    def note(self, text: str) -> None:
        """Show a line about what is going on; not with ``--quiet``."""
        if not self.quiet:
            echo(text, err=True)

    def error(self, text: str) -> None:
        """Show what failed, with ``--quiet`` too."""
        echo(text, err=True)

    def warn(self, text: str) -> None:
        """Show something a person should know though nothing failed; in one run the same thing once."""
        if text not in self._warned:
            self._warned.add(text)
            echo(f"warning: {text}", err=True)

    def detail(self, text: str) -> None:
        """Show a line only with ``--verbose``."""
        if self.verbose:
            self.note(text)

    def result(self, value: dict[str, Any]) -> None:
        """Print the one object of ``--json``."""
        if self.as_json:
            write(json.dumps({"schema_version": 1, **value}, indent=2, ensure_ascii=False))

    @contextlib.contextmanager
    def progress(self, label: str) -> Iterator[Callable[[str], None]]:
        """Give a function that shows how far something is: a moving line on a terminal, now and then one elsewhere.

        Nothing shows before a second has passed.
        """
        line = _Line(label, live=sys.stderr.isatty(), silent=self.quiet)
        try:
            yield line.show
        finally:
            line.clear()


class _Line:
    def __init__(self, label: str, *, live: bool, silent: bool) -> None:
        self.label = label
        self.live = live
        self.silent = silent
        self.started = self.shown = time.monotonic()
        self.dirty = False

    def show(self, text: str) -> None:
        now = time.monotonic()
        pause = 0.1 if self.live else 10.0
        if self.silent or now - self.started < 1.0 or now - self.shown < pause:
            return
        self.shown = now
        message = redacted(one_line(f"{self.label}  {text}"))
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            write(f"\r\x1b[K{message[: width - 1]}", err=True, nl=False)
            self.dirty = True
        else:
            write(message, err=True)

    def clear(self) -> None:
        if self.dirty:
            write("\r\x1b[K", err=True, nl=False)


def echo(text: str, *, err: bool = False) -> None:
    """Show text that may hold what others wrote: made safe, coloured only where that is wanted."""
    stream = sys.stderr if err else sys.stdout
    wanted = "NO_COLOR" not in os.environ and stream is not None and stream.isatty()
    write(redacted(coloured(text) if wanted else uncoloured(text)), err=err)


def write(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Write text as it is; that nobody listens (any more) is no failure, the command ends as it would."""
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    try:
        # click makes an exit of a broken pipe; the command has its own.
        stream.write(f"{text}\n" if nl else text)
        stream.flush()
    except BrokenPipeError:
        hang_up(stream)


def hang_up(stream: TextIO) -> int:
    """Let a stream that nobody reads lead nowhere, so that Python does not complain when it ends; returns 0."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return 0


def outcome(word: str, width: int = 0) -> str:
    """Return an outcome or result, padded, in its colour."""
    return click.style(word.ljust(width), fg=COLOURS.get(word))


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return the rows as lines with aligned columns; colours do not count as width."""
    if not rows:
        return []
    columns = max(len(row) for row in rows)
    full = [[*(cell.replace("\n", "\\n") for cell in row), *[""] * (columns - len(row))] for row in rows]
    widths = [max(len(click.unstyle(row[at])) for row in full) for at in range(columns)]
    padded = ((_pad(cell, width) for cell, width in zip(row, widths, strict=True)) for row in full)
    return [indent + "  ".join(row).rstrip() for row in padded]


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - len(click.unstyle(cell)))
