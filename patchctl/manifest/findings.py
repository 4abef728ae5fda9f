"""What lint finds, collected: errors, and warnings that never change the exit code unless asked."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from patchctl.errors import Code, InvalidError, PatchctlError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from patchctl.manifest.page import PageFile
    from patchctl.manifest.revision import Revision

Level = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Finding:
    """One problem and how grave it is."""

    problem: Problem
    level: Level

    def __str__(self) -> str:
        """Return ``path:line:column: error: message``."""
        at = self.problem
        place = f":{at.line}:{at.column}" if at.line else ""
        return f"{at.path}{place}: {self.level}: {at.message}"


@dataclass
class Findings:
    """All that was found, how much was looked at, and what was read: pages by folder, revisions by file."""

    found: set[Finding] = field(default_factory=set)
    stacks: int = 0
    patches: int = 0
    revisions: int = 0
    pages: dict[Path, PageFile] = field(default_factory=dict)
    read: dict[Path, Revision] = field(default_factory=dict)

    def error(self, problem: Problem) -> None:
        """Note something that is wrong."""
        self.found.add(Finding(problem, "error"))

    def warning(self, problem: Problem) -> None:
        """Note something that a person should know."""
        self.found.add(Finding(problem, "warning"))

    @contextlib.contextmanager
    def collecting(self, name: str) -> Iterator[None]:
        """Turn what is raised about invalid files into errors; ``name`` is the file when the error does not say."""
        try:
            yield
        except InvalidError as error:
            for problem in error.problems:
                self.error(problem)
        except PatchctlError as error:
            if error.exit_code != Code.INVALID:
                raise
            self.error(Problem(name, 0, 0, error.message))

    def ordered(self) -> list[Finding]:
        """Return the findings by file, line and column."""
        return sorted(self.found)

    def count(self, level: Level) -> int:
        """Return how many findings are of a level."""
        return sum(finding.level == level for finding in self.found)
