"""A queue of patches as projects keep it: quilt's ``series``, a folder of numbered files, an mbox."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from patchctl.author.draft import NOBODY, Draft
from patchctl.author.intake import read_drafts
from patchctl.document import shown
from patchctl.errors import InvalidError, PatchctlError, Problem

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".patch", ".diff", ".eml", ".mbox")


def read_queue(path: Path, *, author: str = NOBODY, title: str | None = None) -> list[Draft]:
    """Return the patches of a file or folder in the order they are applied.

    A folder is quilt's when it (or its ``patches``) has a ``series``, else its files count in the order of their
    numbers. Raises InvalidError with every problem of every file, PatchctlError (exit code 2) when nothing is there.
    """
    if not path.is_dir():
        return _some(path, read_drafts(path, shown(path), author=author, title=title))
    problems: list[Problem] = []
    read = (_tried(file, author, strip, problems) for file, strip in _files(path))
    drafts = [draft for found in read for draft in found]
    if problems:
        raise InvalidError(problems)
    return _some(path, drafts)


def _tried(file: Path, author: str, strip: int, problems: list[Problem]) -> list[Draft]:
    try:
        return read_drafts(file, shown(file), author=author, strip=strip)
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


def _files(folder: Path) -> list[tuple[Path, int]]:
    """Return the files of a queue in order, and how many steps of the paths in each are no part of the tree."""
    for place in (folder, folder / "patches"):
        if (place / "series").is_file():
            return _quilt(place)
    names = [entry for entry in folder.iterdir() if entry.is_file() and entry.suffix in SUFFIXES]
    return [(file, 1) for file in sorted(names, key=lambda file: _natural(file.name))]


def _natural(name: str) -> list[tuple[int, str]]:
    """Order ``2-x`` before ``10-y``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _quilt(folder: Path) -> list[tuple[Path, int]]:
    """Read ``series``: a file and its options in each line, ``#`` starts a comment (quilt(1))."""
    found = []
    for line in (folder / "series").read_text(encoding="utf-8", errors="replace").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            level = next((word[2:] for word in words[1:] if re.fullmatch(r"-p(\d+|ab)", word)), "1")
            found.append((folder / words[0], int(level) if level.isdigit() else 1))
    return found
