"""A build folder and the tree it stands for: when to keep it, when CMake must run again, when only a new one is sound.

What makes Ninja's answer the same as a fresh build's: every source file that differs from what the folder was built
from is strictly newer than everything in the folder. What Ninja cannot see makes the folder unsound: changed CMake
files (cached answers), a new header that hides another one, a configure that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.build.ninjalog import included_files
from patchctl.files import disk_errors, remove_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MARKER = "patchctl-build.json"
SCHEMA = 1
CONFIGURING, BUILDING, READY = "configuring", "building", "ready"

Snapshot = dict[str, list[int]]

# Files that no #include names; any other new file may be found in the place of one that was found before.
NEVER_INCLUDED = frozenset(
    {".c", ".cc", ".cpp", ".cxx", ".cu", ".m", ".mm", ".py", ".md", ".txt", ".sh", ".yml", ".yaml", ".gguf"}
)
READS_INCLUDES = NEVER_INCLUDED & {".c", ".cc", ".cpp", ".cxx", ".cu", ".m", ".mm"} | {
    ".h",
    ".hh",
    ".hpp",
    ".cuh",
    ".inl",
    ".inc",
}
HAS_INCLUDE = re.compile(rb"__has_include(?:_next)?\s*\(\s*[<\"]([^>\"]+)")


@dataclass(frozen=True)
class Plan:
    """What has to happen before Ninja runs: whether CMake runs, and why the folder was started anew, if it was.

    ``direct`` is False when ccache may not trust its list of included files, because a new header may hide another.
    """

    configure: bool
    anew: str = ""
    direct: bool = True


def snapshot(source: Path) -> Snapshot:
    """Return for each file below ``source`` its relative path with time (ns), size, inode and mode."""
    return dict(_scan(source, ""))


def _scan(folder: Path, prefix: str) -> Iterator[tuple[str, list[int]]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "__pycache__" or (not prefix and entry.name == ".git"):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _scan(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                facts = entry.stat(follow_symlinks=False)
                yield (
                    f"{prefix}{entry.name}",
                    [facts.st_mtime_ns, facts.st_size, facts.st_ino, stat.S_IMODE(facts.st_mode)],
                )


@dataclass(frozen=True)
class Difference:
    """How a source folder differs from the snapshot a build folder was made from."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def paths(self) -> tuple[str, ...]:
        """Return all paths that differ."""
        return (*self.added, *self.changed, *self.removed)


def difference(old: Mapping[str, list[int]], new: Mapping[str, list[int]]) -> Difference:
    """Return what changed between two snapshots, each part sorted."""
    return Difference(
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


class BuildFolder:
    """One variant's build folder in a slot; ``settings`` is the digest of all that is not the identity."""

    def __init__(self, path: Path, source: Path, *, settings: str, arguments: Iterable[str]) -> None:
        self.path = path
        self.source = source
        self.settings = settings
        self.arguments = list(arguments)
        self._files: Snapshot = {}

    def prepare(self) -> Plan:
        """Return what has to be done before Ninja's answer is sound, having removed a folder that cannot be kept.

        From here to ``ready`` the folder is marked unfinished. Raises PatchctlError (exit code 9) on a full disk.
        """
        self._files = snapshot(self.source)
        plan = self._judge()
        if plan.anew:
            remove_folder(self.path)
        with disk_errors():
            self.path.mkdir(parents=True, exist_ok=True)
        self._mark(CONFIGURING if plan.configure else BUILDING)
        return plan

    def configured(self) -> None:
        """Note that CMake ended well."""
        self._mark(BUILDING)

    def ready(self) -> None:
        """Note that everything asked for was built."""
        self._mark(READY)

    def _mark(self, state: str) -> None:
        marker = {
            "schema_version": SCHEMA,
            "state": state,
            "settings": self.settings,
            "arguments": self.arguments,
            "files": self._files,
        }
        write_atomic(self.path / MARKER, json.dumps(marker).encode())

    def _judge(self) -> Plan:
        if not self.path.exists():
            return Plan(configure=True)
        marker = self._marker()
        anew = self._unsound(marker)
        if anew:
            return Plan(configure=True, anew=anew)
        found = difference(marker["files"], self._files)
        anew, direct = self._hidden_from_ninja(found)
        moved = bool(found.paths()) or marker["arguments"] != self.arguments
        return Plan(configure=moved or bool(anew), anew=anew, direct=direct)

    def _marker(self) -> dict[str, Any]:
        try:
            marker = json.loads((self.path / MARKER).read_bytes())
        except (OSError, ValueError):
            return {}
        return marker if isinstance(marker, dict) and marker.get("schema_version") == SCHEMA else {}

    def _unsound(self, marker: Mapping[str, Any]) -> str:
        if not marker:
            return "it does not say what it was built from"
        if marker["settings"] != self.settings:
            return "settings or tools changed"
        return "configuring it was interrupted" if marker["state"] == CONFIGURING else ""

    def _hidden_from_ninja(self, found: Difference) -> tuple[str, bool]:
        cmake = next(filter(_steers_cmake, found.paths()), None)
        if cmake:
            return f"{cmake} changed and CMake keeps old answers", True
        if found.added and (header := self._hiding(found.added)):
            return f"{header} is new and may hide another file of that name", False
        dated = (*found.added, *found.changed)
        if dated:
            newest = newest_time(self.path)
            old = next((path for path in dated if self._files[path][0] <= newest), None)
            if old:
                return f"{old} differs but is not newer than what was built", True
        return "", True

    def _hiding(self, added: Iterable[str]) -> str | None:
        """Return an added file that an #include may now find instead of what it found, or found nothing, before."""
        suspects = {Path(path).name: path for path in added if Path(path).suffix not in NEVER_INCLUDED}
        if not suspects:
            return None
        known = {Path(path).name for path in self._files if path not in suspects.values()}
        known |= known_headers(self.path) | asked_headers(self.source, self._files)
        return next((path for name, path in sorted(suspects.items()) if name in known), None)


def _steers_cmake(path: str) -> bool:
    name = Path(path).name
    return name in {"CMakeLists.txt", "CMakePresets.json", "CMakeUserPresets.json"} or name.endswith(
        (".cmake", ".cmake.in")
    )


def known_headers(folder: Path) -> set[str]:
    """Return the names of the files that objects were compiled from, system headers among them."""
    return {path.rpartition("/")[2] for paths in included_files(folder).values() for path in paths}


def asked_headers(source: Path, files: Iterable[str]) -> set[str]:
    """Return the file names that sources ask for with ``__has_include``."""
    found: set[str] = set()
    for path in files:
        if Path(path).suffix in READS_INCLUDES:
            with contextlib.suppress(OSError):
                found |= {
                    os.fsdecode(name).rpartition("/")[2] for name in HAS_INCLUDE.findall((source / path).read_bytes())
                }
    return found


def newest_time(folder: Path) -> int:
    """Return the newest modification time (ns) of anything in ``folder``."""
    newest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            newest = max(newest, (Path(parent) / name).lstat().st_mtime_ns)
    return newest
