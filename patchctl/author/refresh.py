"""New revisions for patches that were made for another base, where they apply on this one other than exactly.

A patch that applies clean stands on the very files it was made on: a new file would say the same, so none is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError, closest
from patchctl.series.judge import Outcome
from patchctl.series.revise import export, write_revision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import Workspace
    from patchctl.series.patch import Patch
    from patchctl.series.resolve import Resolved
    from patchctl.series.sequence import Step
    from patchctl.store import Store


@dataclass(frozen=True)
class Refreshed:
    """What became of one patch: its outcome, its new revision's bytes and then file, or why there is none."""

    patch: str
    outcome: Outcome
    content: bytes | None = None
    note: str = ""
    path: Path | None = None


def check_ids(ids: Sequence[str], resolved: Resolved) -> None:
    """Raise PatchctlError (exit code 2) for an id the stack does not have."""
    known = [patch.id for patch in resolved.patches]
    for patch_id in ids:
        if patch_id not in known:
            raise PatchctlError(Code.USAGE, f"the stack has no patch {patch_id!r}{closest(patch_id, known)}")


def remake(store: Store, resolved: Resolved, ids: Sequence[str]) -> list[Refreshed]:
    """Return what a refresh does to each patch, in the order of the stack; ``ids`` are those meant, none means all.

    A patch that touches a file of one that failed before it waits: it would be made on a file that will not stay.
    """
    found: list[Refreshed] = []
    applied: list[bytes] = []
    failed: dict[str, set[str]] = {}
    for patch, step in zip(resolved.patches, resolved.steps, strict=True):
        before = next((name for name, paths in failed.items() if paths.intersection(patch.revision.paths)), None)
        if step.outcome.failed or before:
            failed[patch.id] = set(patch.revision.paths)
        one = Refreshed(patch.id, step.outcome, note=_why_not(patch, step, resolved.base, ids, before))
        if not one.note:
            prerequisites = [made for made in store.repo.patch_ids(applied) if made]
            one = replace(one, content=export(store, step.commit, resolved.base, prerequisites))
        if step.outcome.applied:
            applied.append(one.content or patch.content)
        found.append(one)
    return found


def _why_not(patch: Patch, step: Step, base: str, ids: Sequence[str], before: str | None) -> str:
    """Return why a patch gets no new revision, or nothing when it gets one."""
    by_outcome = {
        Outcome.CONFLICT: f"conflicts in {', '.join(step.conflicts)}",
        Outcome.BLOCKED: step.detail,
        Outcome.ABSORBED: "upstream has it",
        Outcome.CLEAN: "stands on the same files here",
    }
    reasons = (
        (bool(ids) and patch.id not in ids, "not named"),
        (patch.file is None, "taken from upstream by reference"),
        (step.outcome in by_outcome, by_outcome.get(step.outcome, "")),
        (before is not None, f"waits for {before}, which touches the same files"),
        # By name a patch is made anew on its own base too: what was below it may have gone.
        (patch.revision.base_commit == base and not ids, "made for this base"),
    )
    return next((why for holds, why in reasons if holds), "")


def write(workspace: Workspace, build: int, found: Sequence[Refreshed]) -> list[Refreshed]:
    """Write the new revisions and return all with the files they are in."""
    folder = workspace.patches_folder
    return [
        one if one.content is None else replace(one, path=write_revision(folder / one.patch, build, one.content))
        for one in found
    ]
