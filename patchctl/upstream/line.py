"""Upstream's line from one commit to a later one, and when the paths that somebody watches change on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.series.explain import PULL_REQUEST, plain
from patchctl.series.trees import FOLDER, Entry, parse_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patchctl.git import Repo
    from patchctl.store import Store

HERE = Entry(FOLDER, "")  # a folder that is there, whatever is in it
State = dict[str, Entry | None]  # what stands at each watched path, and at each folder above one
Spec = dict[str, "Spec"]


@dataclass(frozen=True)
class Landed:
    """One commit of upstream's line: id, tree, build number, author's name, subject; the last two safe to show."""

    oid: str
    tree: str
    build: int
    author: str
    subject: str

    @property
    def pr(self) -> int | None:
        """Return the pull request that the subject ends with, or None."""
        found = PULL_REQUEST.search(self.subject)
        return int(found[1]) if found else None


def line(store: Store, since: str, to: str) -> list[Landed]:
    """Return the commits after ``since`` up to ``to`` that upstream's main line went through, oldest first.

    One git process, besides one for each build number on a line with merges. Raises PatchctlError (exit code 2) when
    ``to`` does not come after ``since``.
    """
    store.ensure_commit(since)
    store.ensure_commit(to)
    if not store.repo.is_ancestor(since, to):
        raise PatchctlError(Code.USAGE, f"{to[:9]} does not come after {since[:9]}; a forecast looks forward")
    form = "--format=%H%x1f%T%x1f%an%x1f%s"
    words = ("log", "-z", "--first-parent", "--reverse", "--no-show-signature", "--no-patch", form, f"{since}..{to}")
    listed = store.repo.run(*words).stdout.decode("utf-8", "replace")
    entries = [entry.strip("\n").split("\x1f", 3) for entry in listed.split("\0") if entry.strip()]
    first = store.build_number(since)
    # Where nothing was merged, each commit counts one more than the one before it.
    straight = store.build_number(to) - first == len(entries)
    return [
        Landed(oid, tree, first + at if straight else store.build_number(oid), plain(author), plain(subject))
        for at, (oid, tree, author, subject) in enumerate(entries, 1)
    ]


class Watch:
    """What stands at some paths from tree to tree; only folders that differ from those seen last are read."""

    def __init__(self, repo: Repo, paths: Iterable[str]) -> None:
        self.repo = repo
        self.state: State = {}
        self._spec: Spec = {}
        self._seen: dict[str, str | None] = {}
        for path in paths:
            below = self._spec
            for name in path.split("/"):
                below = below.setdefault(name, {})

    def move(self, tree: str) -> State:
        """Go to ``tree`` and return what changed there, at the paths and at the folders above them."""
        changed: State = {}
        self._folder(tree, "", self._spec, changed)
        self.state.update(changed)
        return changed

    def _folder(self, tree: str | None, prefix: str, spec: Spec, changed: State) -> None:
        if prefix in self._seen and self._seen[prefix] == tree:
            return
        self._seen[prefix] = tree
        entries = parse_tree(self.repo.read(tree, "tree")) if tree else {}
        for name, below in spec.items():
            path, entry = prefix + name, entries.get(name)
            folder = entry is not None and entry.mode == FOLDER
            found = HERE if folder else entry
            if path not in self.state or self.state[path] != found:
                changed[path] = found
            if below:
                self._folder(entry.oid if entry and folder else None, f"{path}/", below, changed)
