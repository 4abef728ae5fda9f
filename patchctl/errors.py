"""What can go wrong, as values: one exit code per kind of failure, one class that carries it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


class Code(enum.IntEnum):
    """Exit codes, the same for every command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INVALID = 3
    CONFLICT = 4
    BUILD = 5
    TEST = 6
    NETWORK = 7
    POLICY = 8
    ENVIRONMENT = 9
    ATTENTION = 10
    SKIP = 125
    INTERRUPTED = 130


class PatchctlError(click.ClickException):
    """A failure the user can act on: one clear line, and the exit code of its kind."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        vars(self)["exit_code"] = int(code)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place of one file; lines and columns count from 1, 0 means the whole file."""

    path: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Return ``path:line:column: message``, the form editors jump to."""
        place = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.path}{place}: {self.message}"


class InvalidError(PatchctlError):
    """Manifest, metadata or lock is invalid: every problem found in one run, exit code 3."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(Code.INVALID, "\n".join(map(str, problems)))
        self.problems = tuple(problems)


def closest(word: str, words: Sequence[str]) -> str:
    """Return ``; did you mean "x"?`` for the entry of ``words`` nearest to ``word``, or nothing when none is near."""
    import difflib

    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
