"""What a failed configure or compile said first, taken from its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.text import uncoloured

if TYPE_CHECKING:
    from collections.abc import Sequence

# gcc, clang; then nvcc's front end; then what the linker says.
COMPILER = re.compile(r"^(?P<file>[^\s:][^:]*):(?P<line>\d+)(?::(?P<column>\d+))?: (?:fatal )?error: (?P<text>.+)$")
NVCC = re.compile(r"^(?P<file>[^\s(][^(]*)\((?P<line>\d+)\): (?:catastrophic )?error(?: #[\w-]+)?: (?P<text>.+)$")
LINKER = re.compile(
    r"^(?P<text>.*(?:undefined reference to|multiple definition of|cannot find -l|nvlink error|ptxas fatal).*)$"
)
OTHER = re.compile(r"^(?P<text>(?:nvcc fatal|ninja: error:|ccache: error:|.*: error:).*)$")
FAILED = re.compile(r"^FAILED: ", re.MULTILINE)
QUOTED = re.compile(r"^\s*\d* \| ")
CMAKE = re.compile(
    r"^CMake Error(?: at (?P<place>[^\s]+:\d+))?[^\n]*:?\n?(?P<text>(?:(?:[ \t][^\n]*)?\n)*)", re.MULTILINE
)
CMAKE_LINE = re.compile(r"^CMake Error: (?P<text>.+)$", re.MULTILINE)
FULL = re.compile(r"No space left on device|Disk quota exceeded")
STARVED = re.compile(r"Killed signal terminated program|virtual memory exhausted|out of memory allocating")


@dataclass(frozen=True)
class Fault:
    """The first error: where (``file:line:column``, empty when it has no place), what, the source lines quoted."""

    place: str
    text: str
    quoted: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the error as editors read it, its source lines below."""
        head = f"{self.place}: error: {self.text}" if self.place else self.text
        return "\n".join((head, *self.quoted))


def clean(text: str) -> str:
    """Return ``text`` without a compiler's colours, and unable to steer a terminal."""
    return uncoloured(text)


def first_fault(said: str, build: Path, source: Path) -> Fault | None:
    """Return the first compiler or linker error in ``said``; paths below ``source`` are given relative to it."""
    lines = clean(said).splitlines()
    # A compiler's error counts before a linker's, and both before what only follows from them.
    for patterns in ((COMPILER, NVCC), (LINKER,), (OTHER,)):
        for number, line in enumerate(lines):
            found = next(filter(None, (pattern.match(line) for pattern in patterns)), None)
            if found:
                return _fault(found.groupdict(), lines[number + 1 : number + 4], build, source)
    return None


def _fault(parts: dict[str, str | None], following: Sequence[str], build: Path, source: Path) -> Fault:
    text = (parts["text"] or "").strip()
    if not parts.get("file"):
        return Fault("", text)
    place = shown(parts["file"] or "", build, source)
    place = ":".join(filter(None, (place, parts.get("line"), parts.get("column"))))
    return Fault(place, text, tuple(line for line in following if QUOTED.match(line)))


def shown(path: str, build: Path, source: Path) -> str:
    """Return a path as compilers print it, relative to ``source`` when it is below it."""
    full = Path(path) if Path(path).is_absolute() else build / path
    try:
        return str(full.resolve().relative_to(source.resolve()))
    except ValueError:
        return path


def cmake_fault(said: str) -> Fault:
    """Return the first CMake error of a configure log: its ``file:line`` and its message as one paragraph."""
    text = clean(said)
    found = CMAKE.search(text)
    if found is None:
        tail = [line for line in text.splitlines() if line.strip()]
        return Fault("", tail[-1] if tail else "CMake said nothing")
    message = " ".join(found["text"].split())
    if not message:
        line = CMAKE_LINE.search(text)
        message = line["text"] if line else "CMake failed"
    return Fault(found["place"] or "", message[:600])


def environment_error(said: str, log: Path) -> PatchctlError | None:
    """Return the error for a full disk or too little memory, exit code 9, or None when it was neither."""
    if FULL.search(said):
        return PatchctlError(
            Code.ENVIRONMENT, f"the disk is full; free some space (patchctl cache) and build again. Log: {log}"
        )
    if STARVED.search(said):
        return PatchctlError(Code.ENVIRONMENT, f"a compiler ran out of memory; build with fewer --jobs. Log: {log}")
    return None


def count_failed(said: str) -> int:
    """Return how many of Ninja's steps failed."""
    return len(FAILED.findall(said))
