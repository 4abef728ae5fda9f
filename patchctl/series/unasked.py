"""What a check would warn of, as far as what is here tells: upstream is not asked and nothing is fetched."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.manifest.lockfile import read_lock
from patchctl.series.overlap import among, warnings
from patchctl.series.patch import Patch
from patchctl.series.resolve import load_patches, recorded
from patchctl.series.sequence import Series
from patchctl.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from patchctl.ledger import Ledger
    from patchctl.manifest.findings import Findings
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.overlap import Warned

NEWEST = 10**9


class _KeptStore(Store):
    """What is here of upstream's objects: nothing is fetched; what is not here raises PatchctlError (exit code 7)."""

    def remote_settings(self) -> list[str]:
        """Return no remote, so that git has none to fetch from either."""
        return []

    def tree_of(self, oid: str) -> str:
        """Return the tree of a commit of upstream; what is lost stays, for a check to fetch."""
        self.ensure_commit(oid)
        return self.repo.tree_of(oid)

    def _fetch(self, *refspecs: str, wanted: Iterable[str] = (), options: Sequence[str] = ()) -> None:
        what = [*refspecs, *wanted, *options][0]
        raise PatchctlError(Code.NETWORK, f"{what} of {self.url} is not here")


def unasked_warnings(
    workspace: Workspace, stack: StackFile, findings: Findings, cache: Path, ledger: Callable[[], Ledger]
) -> tuple[dict[str, list[Warned]], bool]:
    """Return for each patch of a stack what a person should look at, and whether its base was here to look from.

    Without it only the patches, as lint read them for its ``findings``, are compared with each other.
    """
    if (cache / "store").is_dir():
        url = stack.stack.upstream.repo
        store = _KeptStore(url, url, cache, ledger())
        try:
            if store.folder.is_dir() and store.has_commit(stack.stack.upstream.commit):
                return _applied(workspace, stack, store), True
        except PatchctlError:
            pass  # a file is not here, or a patch cannot be read
        finally:
            store.repo.close()
    return among(list(_readable(workspace, stack, findings))), False


def _applied(workspace: Workspace, stack: StackFile, store: _KeptStore) -> dict[str, list[Warned]]:
    base = stack.stack.upstream.commit
    patches = load_patches(workspace, stack, store, base)
    series = Series(store, patches, allow=stack.stack.policy.allow, recorded=lambda: recorded(workspace))
    return warnings(series, base, patches, series.sequence(base, patches))


def _readable(workspace: Workspace, stack: StackFile, findings: Findings) -> Iterator[Patch]:
    """Yield the patches that were read, in the revisions for the base, whose build only a lock can tell."""
    lock = None
    with contextlib.suppress(PatchctlError):
        lock = read_lock(stack.path)
    build = lock.base.build if lock and lock.base.commit == stack.stack.upstream.commit else NEWEST
    files = defaultdict(list)
    for path in findings.read:
        files[path.parent].append(path)
    for patch_id in dict.fromkeys(stack.stack.patches):
        folder = workspace.patches_folder / patch_id
        page, revisions = findings.pages.get(folder), files[folder]
        if page is not None and revisions:
            file = workspace.pick_revision(patch_id, build, revisions)
            yield Patch.parsed(patch_id, file.name, findings.read[file], page.outline.acknowledged)
