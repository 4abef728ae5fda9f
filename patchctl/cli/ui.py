"""What a person sees: results on standard output, everything else on standard error; colour only where wanted."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

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

    def say(self, text: str) -> None:
        """Show a line of the result; with ``--json`` the object is the result, so nothing is shown."""
        if not self.as_json:
            click.echo(_coloured(text, sys.stdout))

    def note(self, text: str) -> None:
        """Show a line about what is going on; not with ``--quiet``."""
        if not self.quiet:
            click.echo(_coloured(text, sys.stderr), err=True)

    def warn(self, text: str) -> None:
        """Show something a person should know though nothing failed."""
        click.echo(_coloured(f"warning: {text}", sys.stderr), err=True)

    def detail(self, text: str) -> None:
        """Show a line only with ``--verbose``."""
        if self.verbose:
            self.note(text)

    def result(self, value: dict[str, Any]) -> None:
        """Print the one object of ``--json``."""
        if self.as_json:
            click.echo(json.dumps({"schema_version": 1, **value}, indent=2, ensure_ascii=False))

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
        message = f"{self.label}  {text}"
        if self.live:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            click.echo(f"\r\x1b[K{message[: width - 1]}", err=True, nl=False)
            self.dirty = True
        else:
            click.echo(message, err=True)

    def clear(self) -> None:
        if self.dirty:
            click.echo("\r\x1b[K", err=True, nl=False)


def _coloured(text: str, stream: Any) -> str:
    return text if stream.isatty() and "NO_COLOR" not in os.environ else click.unstyle(text)


def outcome(word: str, width: int = 0) -> str:
    """Return an outcome or result, padded, in its colour."""
    return click.style(word.ljust(width), fg=COLOURS.get(word))


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Return the rows as lines with aligned columns; colours do not count as width."""
    if not rows:
        return []
    columns = max(len(row) for row in rows)
    full = [[*row, *[""] * (columns - len(row))] for row in rows]
    widths = [max(len(click.unstyle(row[at])) for row in full) for at in range(columns)]
    padded = ((_pad(cell, width) for cell, width in zip(row, widths, strict=True)) for row in full)
    return [indent + "  ".join(row).rstrip() for row in padded]


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - len(click.unstyle(cell)))


def seconds(value: float) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{int(value) // 60} min {int(value) % 60:02} s"
