"""A patch of a stack as the series stage takes it: id, the revision chosen, what it requires."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError, closest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchctl.manifest.revision import Revision


@dataclass(frozen=True)
class Patch:
    """``file`` is the revision's file name, None for a patch by reference; ``label`` is what errors call it.

    ``first`` is the patch in its first revision, None where this is that one; ``acknowledged`` are the kinds of
    warnings that its page calls meant.
    """

    id: str
    file: str | None
    label: str
    content: bytes
    requires: tuple[str, ...] = ()
    first: Patch | None = None
    acknowledged: tuple[str, ...] = ()

    @classmethod
    def parsed(cls, patch_id: str, file: str, revision: Revision, acknowledged: tuple[str, ...]) -> Patch:
        """Return the patch of a revision that was read already."""
        patch = cls(patch_id, file, file, revision.content, acknowledged=acknowledged)
        vars(patch)["revision"] = revision
        return patch

    @functools.cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the revision's bytes."""
        return hashlib.sha256(self.content).hexdigest()

    @functools.cached_property
    def revision(self) -> Revision:
        """Return the parsed revision; raises InvalidError with every problem in it."""
        from patchctl.manifest.revision import parse

        return parse(self.content, self.label)


def closure(wanted: Iterable[str], patches: Sequence[Patch]) -> list[Patch]:
    """Return the patches with these ids and all that they require, in the order of the stack."""
    by_id = {patch.id: patch for patch in patches}
    needed: set[str] = set()
    waiting = list(wanted)
    while waiting:
        patch_id = waiting.pop()
        if patch_id not in needed and patch_id in by_id:
            needed.add(patch_id)
            waiting += by_id[patch_id].requires
    return [patch for patch in patches if patch.id in needed]


def dependants(ids: Iterable[str], patches: Sequence[Patch]) -> set[str]:
    """Return the ids of the patches that cannot stand without one of ``ids``, those ids included."""
    gone = set(ids)
    while True:
        more = {patch.id for patch in patches if gone.intersection(patch.requires)} - gone
        if not more:
            return gone
        gone |= more


def select(patches: Sequence[Patch], *, only: Sequence[str], without: Sequence[str]) -> list[Patch]:
    """Return the patches that ``--only`` and ``--without`` leave, closed under ``requires``.

    Raises PatchctlError (exit code 2) for an id the stack does not have, and for one that both leave out and take.
    """
    known = [patch.id for patch in patches]
    for patch_id in (*only, *without):
        if patch_id not in known:
            raise PatchctlError(Code.USAGE, f"the stack has no patch {patch_id!r}{closest(patch_id, known)}")
    chosen = closure(only, patches) if only else list(patches)
    gone = dependants(without, patches)
    for patch_id in only:
        if patch_id in gone:
            why = "cannot both be" if patch_id in without else f"cannot both be: {patch_id} needs what is left out"
            raise PatchctlError(Code.USAGE, f"--only {patch_id} and --without {', '.join(without)} {why}")
    return [patch for patch in chosen if patch.id not in gone]
