"""Files of upstream's trees, brought in groups and never asked for twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.git import MissingObjectError
from patchctl.series.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from patchctl.series.patch import Patch
    from patchctl.store import Store


class Objects:
    """What stands at some paths of a tree, as ids and as lines."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.trees = Trees(store.repo)
        self._asked: set[str] = set()
        self.lacking: set[str] = set()

    def bring(self, oids: Iterable[str]) -> None:
        """Bring blobs that were not asked for yet, in one request; what no copy has is kept in ``lacking``."""
        wanted = sorted(set(oids) - self._asked)
        if wanted:
            self._asked.update(wanted)
            self.lacking.update(self.store.ensure_blobs(wanted))

    def needed(self, patch: Patch, *trees: str) -> Iterator[str]:
        """Return the blobs a patch is judged by on ``trees``, and those its index lines name."""
        for tree in trees:
            for path in patch.revision.paths:
                entry = self.trees.entry(tree, path)
                if entry is not None and entry.mode.startswith("100"):
                    yield entry.oid
        yield from (change.old_oid for change in patch.revision.changes if len(change.old_oid) == 40)

    def content(self, tree: str, path: str) -> bytes:
        """Return what a file holds, nothing where there is no file or it cannot be had."""
        entry = self.trees.entry(tree, path)
        try:
            return self.store.repo.read(entry.oid, "blob") if entry and entry.mode.startswith("100") else b""
        except MissingObjectError:
            return b""

    def lines(self, tree: str, path: str) -> set[bytes]:
        """Return the lines of a file, without blanks around them."""
        return {line.strip() for line in self.content(tree, path).split(b"\n")}
