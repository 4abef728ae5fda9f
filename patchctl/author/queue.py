"""A queue of patches as projects keep it: quilt's ``series``, a folder of numbered files, an mbox."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from patchctl.author.intake import Way, read_drafts
from patchctl.document import shown
from patchctl.errors import InvalidError, PatchctlError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from patchctl.author.draft import Draft

SUFFIXES = (".patch", ".diff", ".eml", ".mbox")
COMMENT = re.compile(r"(^|[ \t]+)#.*")
OPTION = re.compile(r"-p(\d+|ab)|-R")


def read_queue(path: Path, way: Way) -> list[Draft]:
    """Return the patches of a file or folder in the order they are applied.

    A folder is quilt's when it (or its ``patches``) has a ``series``, else its files count in the order of their
    numbers. Raises InvalidError with every problem of every file, PatchctlError (exit code 2) when nothing is there.
    """
    if not path.is_dir():
        return _some(path, read_drafts(path, shown(path), way))
    problems: list[Problem] = []
    way = replace(way, title=None)
    read = (_tried(file, own, problems) for file, own in _files(path, way, problems))
    drafts = [draft for found in read for draft in found]
    if problems:
        raise InvalidError(problems)
    return _some(path, drafts)


def _tried(file: Path, way: Way, problems: list[Problem]) -> list[Draft]:
    try:
        return read_drafts(file, shown(file), way)
    except InvalidError as error:
        problems += error.problems
    except PatchctlError as error:
        problems.append(Problem(shown(file), 0, 0, error.message))
    return []


def _some(path: Path, drafts: list[Draft]) -> list[Draft]:
    if not drafts:
        kinds = "a series or files named *.patch, *.diff, *.eml, *.mbox" if path.is_dir() else "a patch"
        raise InvalidError([Problem(shown(path), 0, 0, f"holds nothing to import: no {kinds.removeprefix('a ')}")])
    return drafts


def _files(folder: Path, way: Way, problems: list[Problem]) -> Iterator[tuple[Path, Way]]:
    """Return the files of a queue in order, and how each is to be read."""
    for place in (folder, folder / "patches"):
        if (place / "series").is_file():
            return _quilt(place, way, problems)
    names = [entry for entry in folder.iterdir() if entry.is_file() and entry.suffix in SUFFIXES]
    return ((file, way) for file in sorted(names, key=lambda file: _natural(file.name)))


def _natural(name: str) -> list[tuple[int, str]]:
    """Order ``2-x`` before ``10-y``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _quilt(folder: Path, way: Way, problems: list[Problem]) -> Iterator[tuple[Path, Way]]:
    """Read ``series``: words between blanks, a file and what ``patch`` is told of it; ``#`` starts a comment."""
    series = folder / "series"
    for number, line in enumerate(series.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        name, *options = COMMENT.sub("", line).split() or [""]
        unknown = [option for option in options if not OPTION.fullmatch(option)]
        if unknown:
            message = f"{name}: {unknown[0]} is not understood; a series tells -pN and -R"
            problems.append(Problem(shown(series), number, line.index(unknown[0]) + 1, message))
        elif name:
            level = next((option[2:] for option in options if option.startswith("-p")), "")
            strip = None if not level else int(level) if level.isdigit() else 1
            yield folder / name, replace(way, strip=strip, reverse="-R" in options)
