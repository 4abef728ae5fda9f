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
    """``file`` is the revision's file name, None for a patch by reference; ``label`` is what errors call it."""

    id: str
    file: str | None
    label: str
    content: bytes
    requires: tuple[str, ...] = ()

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

    Raises PatchctlError (exit code 2) for an id the stack does not have.
    """
    known = [patch.id for patch in patches]
    for patch_id in (*only, *without):
        if patch_id not in known:
            raise PatchctlError(Code.USAGE, f"the stack has no patch {patch_id!r}{closest(patch_id, known)}")
    chosen = closure(only, patches) if only else list(patches)
    gone = dependants(without, patches)
    return [patch for patch in chosen if patch.id not in gone]
