"""Commits of upstream that make the very change of a patch: equal patch-ids.

Only a commit that touches the same paths can, so few have to be read; their diffs come from one process for all
patches, and the files in one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.series.resolve import patch_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.series.patch import Patch
    from patchctl.upstream.history import Changed, Commit, History
    from patchctl.upstream.objects import Objects

DIFF = ("diff-tree", "--stdin", "-p", "--no-renames", "--full-index", "--diff-algorithm=myers", "--no-ext-diff")


class Twins:
    """Looks for the twins of several patches at once."""

    def __init__(self, objects: Objects, history: History) -> None:
        self.objects = objects
        self.history = history
        self._candidates: dict[str, list[Commit]] = {}  # by the patch's SHA-256
        self._changed: dict[str, list[Changed]] = {}
        self._ids: dict[str, str] = {}

    def look_for(self, patches: Sequence[Patch]) -> list[str]:
        """Note which commits may be twins and return the blobs that are needed to tell."""
        patches = [patch for patch in patches if patch.sha256 not in self._candidates]
        made_on = {patch.sha256: self.history.get(patch.revision.base_commit or "") for patch in patches}
        known = [commit for commit in made_on.values() if commit is not None]
        if not known:
            return []
        changes = self.history.changes(min(known, key=lambda commit: commit.build))
        by_paths: dict[tuple[str, ...], list[Commit]] = {}
        for oid, changed in changes.items():
            commit = self.history.get(oid)
            if commit is not None:
                by_paths.setdefault(tuple(sorted(one.path for one in changed)), []).append(commit)
        for patch in patches:
            since = made_on[patch.sha256]
            found = by_paths.get(patch.revision.paths, []) if since else []
            self._candidates[patch.sha256] = [commit for commit in found if since and commit.build > since.build]
        # Asked for all at once here, they cost one process; later they are read from the ledger.
        patch_ids(self.history.store, [patch for patch in patches if self._candidates[patch.sha256]])
        wanted = {commit.oid for some in self._candidates.values() for commit in some} - self._ids.keys()
        self._changed.update({oid: changes[oid] for oid in wanted})
        return [blob for oid in wanted for one in changes[oid] for blob in (one.old, one.new) if blob]

    def of(self, patch: Patch) -> Commit | None:
        """Return the first commit since the revision's base that makes the patch's change and still stands."""
        candidates = self._candidates.get(patch.sha256, [])
        if not candidates:
            return None
        self._read([commit.oid for commit in candidates])
        patch_id = patch_ids(self.history.store, [patch])[0]
        same = [commit for commit in candidates if patch_id and self._ids.get(commit.oid) == patch_id]
        return next((commit for commit in same if self.history.reverted_by(commit.oid) is None), None)

    def _read(self, oids: Sequence[str]) -> None:
        """Read the patch-ids of all candidates that are not known yet, also of other patches' ones."""
        if all(oid in self._ids for oid in oids):
            return
        lacking = self.objects.lacking
        wanted = [oid for oid in self._changed if oid not in self._ids]
        readable = [oid for oid in wanted if lacking.isdisjoint(x for one in self._changed[oid] for x in one[1:])]
        repo = self.history.store.repo
        diffs = repo.run(*DIFF, stdin="".join(f"{oid}\n" for oid in readable).encode()).stdout
        listed = repo.run("patch-id", "--stable", stdin=diffs).text().splitlines()
        self._ids.update(dict.fromkeys(wanted, ""))
        self._ids.update({oid: patch_id for patch_id, oid in (line.split() for line in listed)})
