"""What may be built and run while nobody watches: revisions that the committed lock of their stack lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.document import shown
from patchctl.errors import Code, PatchctlError
from patchctl.git import run_git
from patchctl.manifest.lockfile import lock_path, read_lock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def require_committed(stack: Path, revisions: Iterable[tuple[str, str]]) -> None:
    """Check that the stack's lock is committed as it is, and lists each (patch id, SHA-256) of ``revisions``.

    Raises PatchctlError (exit code 3) saying what to commit or to lock again, 9 without git.
    """
    path = lock_path(stack)
    name = shown(path)
    lock = read_lock(stack, name)
    if lock is None or _committed(path) != path.read_bytes():
        what = "has no lock" if lock is None else f"has a lock that is not committed as it is ({name})"
        hint = f"patchctl lock {shown(stack)}, look at it, and commit it"
        raise PatchctlError(Code.INVALID, f"{shown(stack)} {what}, so nothing of it is built unattended; {hint}")
    known = {(patch.id, patch.sha256) for patch in lock.patches}
    unknown = [patch_id for patch_id, sha256 in revisions if (patch_id, sha256) not in known]
    if unknown:
        hint = f"patchctl lock {shown(stack)}, look at the difference, and commit it"
        what = f"its committed lock does not list these revisions: {', '.join(unknown)}"
        raise PatchctlError(Code.INVALID, f"{shown(stack)}: {what}; {hint}")


def _committed(path: Path) -> bytes | None:
    """Return the file as the commit checked out here has it, None when it has none or this is no repository."""
    # A checkout may belong to another user, as in a CI container; reading an object runs nothing of the repository's.
    said = run_git(
        "cat-file",
        "blob",
        f"HEAD:./{path.name}",
        cwd=path.parent.absolute(),
        settings=["safe.directory=*"],
        accept=(0, 128),
    )
    return said.stdout if said.status == 0 else None
