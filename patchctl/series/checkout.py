"""Make a folder hold exactly one tree, writing only the files that differ, so that Ninja rebuilds only those.

No index, no attributes, no filters: bytes as they are in the tree. What a person changed in the folder is moved
aside, never lost and never built by accident.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from patchctl.files import disk_errors, write_atomic
from patchctl.series.apply import blob_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from patchctl.store import Store

SYMLINK, GITLINK, EXECUTABLE = "120000", "160000", "100755"


@dataclass(frozen=True)
class Moved:
    """What a checkout did: paths changed, added and removed; left out because no copy has them; moved aside."""

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


class Known(NamedTuple):
    """A file as it was written: mode and object id, size in bytes and time of change in nanoseconds."""

    mode: str
    oid: str
    size: int
    mtime: int


@dataclass
class State:
    """What the folder holds, as far as is known; ``complete`` is False while a checkout to ``tree`` is under way."""

    tree: str = ""
    complete: bool = False
    files: dict[str, Known] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @staticmethod
    def read(path: Path) -> State:
        """Return the state kept at ``path``; nothing known when there is none or it is damaged."""
        try:
            data = json.loads(path.read_bytes())
            files = {name: Known(*known) for name, known in data["files"].items()}
            return State(data["tree"], data["complete"], files, tuple(data["left_out"]))
        except (OSError, ValueError, KeyError, TypeError):
            return State()

    def write(self, path: Path) -> None:
        """Keep the state."""
        write_atomic(path, json.dumps(vars(self), separators=(",", ":")).encode("utf-8", "surrogateescape"))


def state_path(folder: Path) -> Path:
    """Return where a folder's state lies: beside it."""
    return folder.with_name(folder.name + ".state.json")


def materialise(
    store: Store, tree: str, folder: Path, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Moved:
    """Make ``folder`` hold exactly ``tree`` and return what that took.

    Blobs that no copy of upstream has are left out and named. Killed at any instant, the next call completes it.
    Raises PatchctlError (exit code 9) when the disk refuses.
    """
    path = state_path(folder)
    state = State.read(path)
    if state.complete and state.tree == tree and _untouched(folder, state):
        return Moved(left_out=state.left_out)
    with disk_errors():
        return _Checkout(store, folder, state, progress).move(tree, path)


def _untouched(folder: Path, state: State) -> bool:
    found = _scan(folder)
    return found.keys() == state.files.keys() and all(_same(known, found[name]) for name, known in state.files.items())


def _same(known: Known, info: os.stat_result) -> bool:
    return known.size == info.st_size and known.mtime == info.st_mtime_ns


def _scan(folder: Path) -> dict[str, os.stat_result]:
    """Return every file and link below a folder; Python's own by-products do not count."""
    found: dict[str, os.stat_result] = {}
    waiting = [(os.fspath(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    waiting.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                found[prefix + entry.name] = entry.stat(follow_symlinks=False)
    return found


class _Checkout:
    def __init__(self, store: Store, folder: Path, state: State, progress: Callable[[int, int], None]) -> None:
        self.store = store
        self.folder = folder
        self.state = state
        self.progress = progress
        self.aside: list[str] = []
        self._folders: set[Path] = set()
        self._aside_folder = _unused(folder, f"aside-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
        self._beside = folder.with_name(f"{folder.name}.new")
        self._interrupted: Mapping[str, tuple[str, str]] = {}

    def move(self, tree: str, path: Path) -> Moved:
        absent = set(self.store.ensure_tree(tree))
        wanted = self._wanted(tree)
        left_out = tuple(sorted(name for name, (_, oid) in wanted.items() if oid in absent))
        # A gitlink is a commit elsewhere: no file of this tree.
        skipped = {*left_out, *(name for name, (mode, _) in wanted.items() if mode == GITLINK)}
        wanted = {name: entry for name, entry in wanted.items() if name not in skipped}
        self._interrupted = self._wanted(self.state.tree) if self.state.tree and not self.state.complete else {}
        State(tree, False, self.state.files, left_out).write(path)
        found = _scan(self.folder)
        removed = self._remove(wanted, found)
        changed, added = self._write(wanted, found)
        State(tree, True, self.state.files, left_out).write(path)
        self.store.repo.close()
        return Moved(tuple(changed), tuple(added), tuple(removed), left_out, tuple(self.aside))

    def _wanted(self, tree: str) -> dict[str, tuple[str, str]]:
        listed = self.store.repo.run("ls-tree", "-r", "-z", "--full-tree", tree)
        wanted = {}
        for line in listed.fields():
            entry, _, name = line.partition("\t")
            mode, _, oid = entry.split()
            wanted[name] = (mode, oid)
        return wanted

    def _remove(self, wanted: Mapping[str, tuple[str, str]], found: Mapping[str, os.stat_result]) -> list[str]:
        removed = []
        for name in sorted(found.keys() - wanted.keys()):
            known = self.state.files.pop(name, None)
            if self._is_ours(name, known, found[name]):
                (self.folder / name).unlink()
                removed.append(name)
            else:
                self._set_aside(name)
            self._drop_empty_folders((self.folder / name).parent)
        return removed

    def _drop_empty_folders(self, folder: Path) -> None:
        while folder != self.folder and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _write(
        self, wanted: Mapping[str, tuple[str, str]], found: Mapping[str, os.stat_result]
    ) -> tuple[list[str], list[str]]:
        changed: list[str] = []
        added: list[str] = []
        todo = [name for name in wanted if not self._is_there(name, wanted[name], found.get(name))]
        self._beside.unlink(missing_ok=True)  # of a run that was killed
        contents = self.store.repo.read_each([wanted[name][1] for name in todo], "blob")
        for number, (name, content) in enumerate(zip(todo, contents, strict=True), 1):
            known = self.state.files.get(name)
            if name in found and not self._is_ours(name, known, found[name]):
                self._set_aside(name)
            (changed if known is not None else added).append(name)
            self.state.files[name] = self._put(name, *wanted[name], content)
            self.progress(number, len(todo))
        return changed, added

    def _is_ours(self, name: str, known: Known | None, info: os.stat_result) -> bool:
        """Return whether a file is as patchctl wrote it, in this checkout or in one that was cut off."""
        if known is not None and _same(known, info):
            return True
        if name not in self._interrupted:
            return False
        mode, oid = self._interrupted[name]
        return _mode(info) == mode and blob_id(_content(self.folder / name, mode)) == oid

    def _is_there(self, name: str, wanted: tuple[str, str], info: os.stat_result | None) -> bool:
        mode, oid = wanted
        if info is None:
            return False
        known = self.state.files.get(name)
        if known is not None and _same(known, info):
            return known.mode == mode and known.oid == oid
        # A checkout that was cut off, or a file a person touched: its content decides.
        if _mode(info) != mode or blob_id(_content(self.folder / name, mode)) != oid:
            return False
        self.state.files[name] = Known(mode, oid, info.st_size, info.st_mtime_ns)
        return True

    def _put(self, name: str, mode: str, oid: str, content: bytes) -> Known:
        path = self.folder / name
        self._make_folder(path.parent)
        info = _create(self._beside, mode, content)
        try:
            self._beside.replace(path)
        except IsADirectoryError:
            shutil.rmtree(path)
            self._beside.replace(path)
        return Known(mode, oid, info.st_size, info.st_mtime_ns)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it as real folders: a link in the way would let a file land elsewhere."""
        if folder in self._folders:
            return
        if folder != self.folder:
            self._make_folder(folder.parent)
            if folder.is_symlink() or folder.is_file():
                folder.unlink()
        folder.mkdir(parents=folder == self.folder, exist_ok=True)
        self._folders.add(folder)

    def _set_aside(self, name: str) -> None:
        target = self._aside_folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.folder / name, target)
        self.aside.append(os.fspath(target))


def _create(path: Path, mode: str, content: bytes) -> os.stat_result:
    """Make a new file or link; few system calls, since a tree has thousands of files."""
    if mode == SYMLINK:
        path.symlink_to(os.fsdecode(content))
        return path.lstat()
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:  # noqa: PTH123
        os.fchmod(file.fileno(), 0o755 if mode == EXECUTABLE else 0o644)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        return os.fstat(file.fileno())


def _unused(folder: Path, word: str) -> Path:
    """Return a path beside ``folder`` at which nothing is: what was set aside before stays there."""
    places = (folder.with_name(f"{folder.name}.{word}{more}") for more in ("", *(f"-{n}" for n in range(2, 10_000))))
    return next(place for place in places if not place.exists())


def _mode(info: os.stat_result) -> str:
    """Return git's mode of a file or link, empty for what git has no mode for."""
    if stat.S_ISLNK(info.st_mode):
        return SYMLINK
    if not stat.S_ISREG(info.st_mode):
        return ""
    return EXECUTABLE if info.st_mode & 0o100 else "100644"


def _content(path: Path, mode: str) -> bytes:
    return os.fsencode(path.readlink()) if mode == SYMLINK else path.read_bytes()
