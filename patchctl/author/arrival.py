"""What an import will write, decided before anything is written: ids, pages, revisions, the stack."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchctl.author import pages
from patchctl.author.draft import Draft
from patchctl.author.fork import Taken, Weaver
from patchctl.author.journal import Orders
from patchctl.author.misfit import Fit
from patchctl.author.names import unique_names
from patchctl.author.settle import Settled, prove, revised, settle
from patchctl.author.target import refuse_again
from patchctl.errors import Code, PatchctlError
from patchctl.series.overlap import requirements
from patchctl.series.patch import Patch
from patchctl.series.policy import refusals
from patchctl.series.sequence import Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.author.source import Gathered
    from patchctl.author.target import Target
    from patchctl.store import Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Arrival:
    """The files of each new patch folder by id, what becomes of the stack, the tree that results, notes for people."""

    orders: Orders
    files: dict[str, dict[str, bytes]]
    base: str | None
    tree: str | None = None
    notes: list[str] = field(default_factory=list)


def arrive(
    target: Target, store: Store, gathered: Gathered, *, base: str | None, name: str | None, key: str
) -> Arrival:
    """Return what importing these drafts will write.

    Raises PatchctlError: exit code 4 when one does not apply, 3 when nothing is left of them, 2 when they are here
    already or no base is known.
    """
    ids = _ids(target, gathered.drafts, name)
    on = target.base(base) or gathered.base
    if on is None:
        return _referring(target, store, gathered, ids, key)
    store.ensure_commit(on)
    existing = target.existing(store, on)
    fit = Fit(store, on, existing)
    drafts, read = fit.chosen(gathered.drafts)
    refuse_again(target, store, existing, drafts)
    settled, notes = settle(fit, drafts, ids, several=gathered.several)
    told = [(one, gathered.origin) for one in settled]
    return _arrival(target, store, on, told, existing=existing, key=key, notes=[*gathered.notes, *read, *notes])


def _referring(target: Target, store: Store, gathered: Gathered, ids: list[str], key: str) -> Arrival:
    """Return pages of upstream's own commits, which need no base."""
    if target.new is not None or not all(draft.by_reference for draft in gathered.drafts):
        raise PatchctlError(Code.USAGE, "no base is known for it; name one with --base SHA, or a stack with --stack")
    settled = [
        Settled(draft, Patch(patch_id, None, draft.label, draft.content))
        for draft, patch_id in zip(gathered.drafts, ids, strict=True)
    ]
    refuse_again(target, store, [], gathered.drafts)
    files = {one.patch.id: {"README.md": page_of(one, gathered.origin)} for one in settled}
    return Arrival(Orders(key, tuple(files)), files, None, notes=list(gathered.notes))


def arrive_fork(target: Target, stores: Sequence[Store], tip: str, base: str, *, name: str, key: str) -> Arrival:
    """Return what importing a fork's branch, called ``name``, with this tip will write.

    Raises PatchctlError with exit code 4 when the patches do not give the branch's tree, 3 when it has none.
    """
    store = stores[-1]
    weaver = Weaver(stores, base, tip)
    line = weaver.weave()
    if not line.taken:
        raise PatchctlError(Code.INVALID, f"{name} holds nothing of its own on top of {base[:9]}; nothing to import")
    ids = unique_names([taken.title for taken in line.taken], target.workspace.patch_ids())
    contents = revised(store, base, (), weaver.mails())
    settled = [
        Settled(Draft(taken.title, taken.source[:9], content), Patch(patch_id, None, taken.source[:9], content))
        for taken, patch_id, content in zip(line.taken, ids, contents, strict=True)
    ]
    prove(store, base, [one.patch for one in settled], line.tree)
    told = [(one, _fork_origin(taken, name)) for one, taken in zip(settled, line.taken, strict=True)]
    return _arrival(target, store, base, told, existing=[], key=key, notes=line.notes)


def _fork_origin(taken: Taken, name: str) -> str:
    if taken.resolution:
        return f"What the merge {taken.source} of {name} resolved itself: no commit of the branch has it."
    adapted = (
        "\n\nMoved onto a newer upstream, keeping its own lines where both had changed them." if taken.adapted else ""
    )
    return f"Commit {taken.source} of {name}.{adapted}"


def _arrival(
    target: Target,
    store: Store,
    base: str,
    settled: Sequence[tuple[Settled, str]],
    *,
    existing: Sequence[Patch],
    key: str,
    notes: list[str],
) -> Arrival:
    patches = [*existing, *(one.patch for one, _ in settled)]
    steps = Series(store, patches).sequence(base, patches)
    needs = requirements(store, base, patches, steps)
    build = store.build_number(base)
    files = {}
    for one, origin in settled:
        files[one.patch.id] = {"README.md": page_of(one, origin, needs[one.patch.id])}
        if not one.draft.by_reference:
            files[one.patch.id][f"b{build}.patch"] = one.patch.content
    text = None
    if target.new is not None:
        text = pages.stack(target.new.stem, store.url, base, build, list(files)).decode()
    warned = [note for one, _ in settled for note in _refused(one.patch, target.allow)]
    return Arrival(Orders(key, tuple(files), target.path, text), files, base, steps[-1].tree, [*notes, *warned])


def _refused(patch: Patch, allow: Sequence[str]) -> list[str]:
    """Say what the tree policy will refuse: it is imported as it is, and a check fails until it is allowed or gone."""
    found = refusals(patch.id, patch.revision, allow)
    more = f" (and {len(found) - 1} more of its paths)" if len(found) > 1 else ""
    return [f"the tree policy refuses {found[0]}{more}"] if found else []


def page_of(one: Settled, origin: str, requires: Sequence[str] = ()) -> bytes:
    """Return the page of a patch with what is known of it."""
    return pages.page(one.patch.id, one.draft, one.patch.revision.message, origin, requires)


def _ids(target: Target, drafts: Sequence[Draft], name: str | None) -> list[str]:
    """Return an id for each draft; one that a person gave must be free."""
    taken = target.workspace.patch_ids()
    if name is None:
        return unique_names([draft.title for draft in drafts], taken)
    if len(drafts) > 1:
        raise PatchctlError(Code.USAGE, f"--id names one patch; this is {len(drafts)}")
    if not NAME.fullmatch(name):
        raise PatchctlError(Code.USAGE, f"--id {name!r} is no id: lower-case letters, digits, '.', '_' and '-'")
    if name in taken:
        raise PatchctlError(Code.USAGE, f"there is a patch {name} already; choose another --id")
    return [name]
