"""Ids of patches from the first lines of their messages: short, of ``[a-z0-9-]``, each once."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LENGTH = 40
# What stands around a subject and is not about the change: list tags, "feat:", the number of a pull request.
AROUND = re.compile(r"^(?:\[[^\]]*\]\s*)+|\s*\((?:[\w.-]+/)?#?\d+\)\s*$")
KIND = re.compile(
    r"^(?:feat|fix|perf|docs?|chore|refactor|test|build|ci|style|cleanup)(?:\([^)]*\))?!?:\s+", re.IGNORECASE
)


def patch_name(subject: str) -> str:
    """Return an id for a patch with this subject: its first words, at most ``LENGTH`` characters, never empty."""
    bare = KIND.sub("", AROUND.sub("", AROUND.sub("", subject.strip())))
    plain = unicodedata.normalize("NFKD", bare or subject).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain.replace("'", ""))
    name = ""
    for word in words:
        longer = f"{name}-{word}" if name else word[:LENGTH]
        if len(longer) > LENGTH:
            break
        name = longer
    return name or "patch"


def unique_names(subjects: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return an id for each subject, none of them ``taken`` or given twice: the next ones end in -2, -3, …"""
    used = set(taken)
    names = []
    for subject in subjects:
        name = _free(patch_name(subject), used)
        used.add(name)
        names.append(name)
    return names


def _free(name: str, used: set[str]) -> str:
    number = 2
    free = name
    while free in used:
        free = f"{name}-{number}"
        number += 1
    return free
