"""Drafts onto a stack: each applied after the patches that are there, and written anew as a revision for that base."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.author.dropped import dropped, holder
from patchctl.errors import Code, PatchctlError
from patchctl.series.judge import Outcome
from patchctl.series.patch import Patch
from patchctl.series.resolve import patch_ids
from patchctl.series.revise import export_line, with_trailers
from patchctl.series.sequence import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.author.draft import Draft
    from patchctl.author.misfit import Fit
    from patchctl.series.sequence import Step
    from patchctl.store import Store


@dataclass(frozen=True)
class Settled:
    """A patch as it will be kept: ``content`` is its revision, or the mail of the commit it refers to."""

    draft: Draft
    patch: Patch


def settle(fit: Fit, drafts: Sequence[Draft], ids: Sequence[str], *, several: bool) -> tuple[list[Settled], list[str]]:
    """Return the drafts made on the base that ``fit`` knows after its patches, and notes on what was left out.

    Raises PatchctlError with exit code 4 when one does not apply, 3 when nothing is left to import.
    """
    store, base, existing = fit.store, fit.base, fit.patches
    new = [Patch(name, None, draft.label, draft.content) for name, draft in zip(ids, drafts, strict=True)]
    steps = Series(store, [*existing, *new]).sequence(base, [*existing, *new])
    _require_applied(base, existing, steps, fit)
    mine = list(zip(drafts, new, steps[len(existing) :], strict=True))
    _require_applied(base, new, steps[len(existing) :], fit)
    before = {patch.id: [*existing, *new[:at]] for at, patch in enumerate(new)}
    absorbed = [(draft, patch) for draft, patch, step in mine if step.outcome is Outcome.ABSORBED]
    notes = [
        f"{_named(draft)}: {holder(patch, before[patch.id])} has it already; left out" for draft, patch in absorbed
    ]
    kept = [(draft, patch) for draft, patch, step in mine if step.outcome.applied]
    if not kept or (notes and not several):
        raise PatchctlError(Code.INVALID, "nothing to import: " + "; ".join(notes).replace("; left out", ""))
    start = steps[len(existing) - 1].commit if existing else base
    mails = export_line(store, start, steps[-1].commit)
    revisions = revised(store, base, existing, mails)
    settled = [
        Settled(draft, patch if draft.by_reference else Patch(patch.id, None, draft.label, content))
        for (draft, patch), content in zip(kept, revisions, strict=True)
    ]
    prove(store, base, [*existing, *(one.patch for one in settled)], steps[-1].tree)
    for (draft, patch), one in zip(kept, settled, strict=True):
        notes += [f"{_named(draft)}: {what}" for what in dropped(patch, one.patch, before[patch.id])]
    return settled, notes


def _named(draft: Draft) -> str:
    return f"{draft.label} ({draft.title})"


def revised(store: Store, base: str, existing: Sequence[Patch], mails: Sequence[bytes]) -> list[bytes]:
    """Return mails of commits in a line as revisions: with their base, and the patch-ids of all that come before."""
    before = [one for one in patch_ids(store, existing) if one]
    made = []
    for mail, patch_id in zip(mails, store.repo.patch_ids(mails), strict=True):
        made.append(with_trailers(mail, base, before))
        before += [patch_id] if patch_id else []
    return made


def prove(store: Store, base: str, patches: Sequence[Patch], tree: str) -> list[Step]:
    """Apply patches as they will be kept; raises PatchctlError (exit code 4) unless they give ``tree``."""
    steps = Series(store, patches).sequence(base, patches)
    wrong = [patch.id for patch, step in zip(patches, steps, strict=True) if step.outcome.failed]
    made = steps[-1].tree if steps else store.tree_of(base)
    if wrong or made != tree:
        what = f"{wrong[0]} does not apply as written" if wrong else f"the patches give {made[:9]}, not {tree[:9]}"
        raise PatchctlError(Code.CONFLICT, f"{what}; nothing was written")
    return steps


def _require_applied(base: str, patches: Sequence[Patch], steps: Sequence[Step], fit: Fit) -> None:
    failed = [
        f"{patch.label}: conflicts in {_conflicts(patch, step, fit)}{_made_on(patch, base)}"
        for patch, step in zip(patches, steps, strict=False)
        if step.outcome.failed
    ]
    if failed:
        count = f"{len(failed)} of {len(patches)} do not apply on {base[:9]}; nothing was written"
        raise PatchctlError(Code.CONFLICT, "\n".join([count, *(f"  {line}" for line in failed)]))


def _conflicts(patch: Patch, step: Step, fit: Fit) -> str:
    told = ((path, fit.why(patch, path, step.tree)) for path in step.conflicts)
    return ", ".join(f"{path}, which {why}" if why else path for path, why in told)


def _made_on(patch: Patch, base: str) -> str:
    other = patch.revision.base_commit
    return f"; it was made on {other}" if other and other != base else ""
