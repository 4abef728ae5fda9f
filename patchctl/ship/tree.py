"""A git tree without git: its entries, and the id that they make, so that unpacked sources can be held to it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.series.apply import blob_id
from patchctl.series.checkout import EXECUTABLE, GITLINK, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from patchctl.store import Store

PLAIN = "100644"
FOLDER = b"40000"
# What a file system keeps of a mode; everything else in a tree has to be said beside it.
KEPT = frozenset({PLAIN, EXECUTABLE, SYMLINK})


@dataclass(frozen=True)
class Entry:
    """One file, link or gitlink of a tree."""

    path: str
    mode: str
    oid: str

    @property
    def is_gitlink(self) -> bool:
        """Return whether it is a commit of another repository, no file of this one."""
        return self.mode == GITLINK


def list_tree(store: Store, tree: str) -> list[Entry]:
    """Return the entries of a tree, those of its folders among them, in git's order."""
    listed = store.repo.run("ls-tree", "-r", "-z", "--full-tree", tree)
    entries = (line.partition("\t") for line in listed.fields())
    return [Entry(path, *_mode_and_oid(head)) for head, _, path in entries]


def _mode_and_oid(head: str) -> tuple[str, str]:
    mode, _, oid = head.split()
    return mode, oid


def scan(folder: Path) -> list[Entry]:
    """Return the entries that a folder of files would make; Python's by-products do not count."""
    return list(_scan(os.fspath(folder), ""))


def _scan(folder: str, prefix: str) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for it in found:
            if it.is_dir(follow_symlinks=False):
                if it.name != "__pycache__":
                    yield from _scan(it.path, f"{prefix}{it.name}/")
            elif it.is_symlink():
                yield Entry(f"{prefix}{it.name}", SYMLINK, blob_id(os.fsencode(os.readlink(it.path))))  # noqa: PTH115
            else:
                with open(it.path, "rb") as file:  # noqa: PTH123 - a scan of thousands of files
                    content = file.read()
                runs = it.stat().st_mode & stat.S_IXUSR
                yield Entry(f"{prefix}{it.name}", EXECUTABLE if runs else PLAIN, blob_id(content))


def tree_id(entries: Iterable[Entry]) -> str:
    """Return git's id of the tree that holds these entries."""
    top: dict[bytes, object] = {}
    for entry in entries:
        *folders, name = os.fsencode(entry.path).split(b"/")
        here = top
        for folder in folders:
            inner = here.setdefault(folder, {})
            if not isinstance(inner, dict):
                return ""
            here = inner
        here[name] = entry
    return _hash(top).hex()


def _hash(folder: dict[bytes, object]) -> bytes:
    rows = []
    for name, it in folder.items():
        if isinstance(it, Entry):
            rows.append((name, b"%s %s\0" % (it.mode.lstrip("0").encode(), name) + bytes.fromhex(it.oid)))
        elif isinstance(it, dict):
            # git sorts folders as if their names ended in a slash.
            rows.append((name + b"/", b"%s %s\0" % (FOLDER, name) + _hash(it)))
    body = b"".join(row for _, row in sorted(rows))
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).digest()
