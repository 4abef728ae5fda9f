"""What git's own words mean for a person: the disk, or a store that was damaged. Found by making each happen."""

from __future__ import annotations

import re

NO_ROOM = re.compile(r"No space|Disk quota|File too large|diskspace|n't write|unable to (write|create) [a-z ]*file")
DAMAGED = re.compile(r"is corrupt|not a git repository|unable to unpack|packfile .* cannot be accessed|bad signature")
SHALLOW = re.compile(r"Failed to traverse parents|shallow")


def hint(said: str) -> str:
    """Return what a person can do about what git said of a repository in the cache; empty when only git knows."""
    if NO_ROOM.search(said):
        return "is there room on the disk?"
    if DAMAGED.search(said):
        return "what patchctl keeps of upstream is damaged; it is made again after: patchctl cache --free all"
    return ""
