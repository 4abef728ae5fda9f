"""What a patch may not bring into the tree, whoever wrote it: judged on data, before anything is compiled."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.series.apply import looks_binary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from patchctl.manifest.revision import Change, Revision
    from patchctl.series.trees import Entry

LONGEST = 255  # bytes of one name, on Linux and macOS alike
PLAIN_MODES = {"100644", "100755"}
MEANT = "; if it is meant, list it under policy.allow"
KINDS = {"120000": "a symlink", "160000": "a gitlink (submodule)"}
# Files that make git or its hosts act: content filters, other repositories.
ACTING = {".gitattributes", ".gitmodules"}
# What some file systems take for .git: other case, HFS+ ignorable characters, NTFS short names and streams.
IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")


@dataclass(frozen=True)
class Refusal:
    """One path of one patch that the policy refuses, and why."""

    patch: str
    path: str
    why: str

    def __str__(self) -> str:
        """Return the sentence for a person."""
        return f"{self.patch}: {self.path!r} {self.why}"


def refusals(patch: str, revision: Revision, allow: Sequence[str]) -> list[Refusal]:
    """Return what the policy refuses of one patch; paths that match ``allow`` (shell patterns) are meant.

    Nothing allows a path that leaves the tree or lies in ``.git``.
    """
    return list(_refusals(patch, revision.changes, allow))


def _refusals(patch: str, changes: Iterable[Change], allow: Sequence[str]) -> Iterator[Refusal]:
    for change in changes:
        for path in dict.fromkeys(filter(None, (change.old_path, change.new_path))):
            why = outside(path)
            if why:
                yield Refusal(patch, path, why)
        new = change.new_path
        if new and not outside(new) and not _allowed(new, allow):
            why = _why(change, new)
            if why:
                yield Refusal(patch, new, f"{why}{MEANT}")


def links(patch: str, changed: Iterable[tuple[str, Entry]], allow: Sequence[str]) -> list[Refusal]:
    """Return the links and gitlinks among what a patch really changed in the tree, whatever its text says of modes."""
    return [
        Refusal(patch, path, f"would be {KINDS[entry.mode]}{MEANT}")
        for path, entry in changed
        if entry.mode in KINDS and not _allowed(path, allow)
    ]


def _allowed(path: str, allow: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in allow)


def outside(path: str) -> str | None:
    """Return why a path cannot be one of the tree (absolute, ``..``, ``.git``, control bytes), or None."""
    if path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")):
        return "leaves the tree"
    if any(_is_git_folder(part) for part in path.split("/")):
        return "lies in .git"
    if any(len(os.fsencode(part)) > LONGEST for part in path.split("/")):
        return f"has a name of more than {LONGEST} bytes, which no file system takes"
    if re.search(r"[\x00-\x1f\x7f\\]", path):
        return "has control characters or a backslash in its name"
    return None


def _is_git_folder(part: str) -> bool:
    plain = IGNORABLE.sub("", part).lower().split(":", 1)[0].rstrip(" .")
    return plain in {".git", "git~1"}


def _why(change: Change, path: str) -> str | None:
    if path.rsplit("/", 1)[-1].lower() in ACTING:
        return "would make git act on the tree"
    mode = change.new_mode
    if mode in KINDS:
        return f"would be {KINDS[mode]}"
    if mode is not None and mode not in PLAIN_MODES:
        return f"would have the mode {mode}"
    if change.binary is not None or any(looks_binary(line) for hunk in change.hunks for line in hunk.new):
        return "is binary"
    return None
