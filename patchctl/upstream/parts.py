"""A patch taken apart: which of its hunks a landing brought, and the others as a patch of their own (the residual)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.series.judge import Judge, Outcome
from patchctl.series.patch import Patch
from patchctl.series.revise import export_line, with_trailers
from patchctl.upstream.coverage import covered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from patchctl.git import Repo
    from patchctl.manifest.revision import Change, Revision
    from patchctl.series.sequence import Series
    from patchctl.upstream.objects import Objects

FEW = 3  # distinctive lines one hunk needs to be known by them
LONGEST = 400  # lines of a difference that a person may still read


@dataclass(frozen=True)
class Parts:
    """The pieces of a patch, one hunk each: those that a landing brought and the rest.

    ``surely``: each that landed is there word for word.
    """

    landed: tuple[Change, ...]
    rest: tuple[Change, ...]
    surely: bool


def take_apart(series: Series, objects: Objects, patch: Patch, before: str, after: str) -> Parts:
    """Return which hunks of ``patch`` the change from the tree ``before`` to ``after`` brought."""
    landed, rest, surely = [], [], True
    for piece in _pieces(patch.revision):
        part = _only(patch, [piece])
        there = series.judge(part, after).outcome is Outcome.ABSORBED
        if there and series.judge(part, before).outcome is not Outcome.ABSORBED:
            landed.append(piece)
        elif not there and covered(objects, [piece], before, after, FEW):
            landed.append(piece)
            surely = False
        else:
            rest.append(piece)
    return Parts(tuple(landed), tuple(rest), surely)


def residual(series: Series, patch: Patch, rest: Sequence[Change], targets: Sequence[str]) -> str:
    """Return the pieces ``rest`` as a mail made on the first commit of ``targets`` that takes them, else "".

    Where no target takes them, it is made on what the whole patch was made on.
    """
    for target in targets:
        tree = _applied(series, patch, rest, series.store.repo.tree_of(target))
        if tree is not None:
            return _mail(series, patch, tree, target, [])
    repo = series.store.repo
    images = Judge(repo, lambda _: None).preimage_and_postimage(patch, repo.tree_of(targets[-1]))
    tree = _applied(series, patch, rest, repo.tree_of(images[0])) if images else None
    if images is None or tree is None:
        return ""
    return _mail(series, patch, tree, images[0], [patch.revision.base_commit or "", *patch.revision.prerequisites])


def difference(series: Series, objects: Objects, patch: Patch, landing: str) -> str:
    """Return how the landing differs from the patch, as ``git range-diff`` shows it, "" when it cannot be had."""
    repo = series.store.repo
    before = repo.parents_of(landing)[0]
    images = Judge(repo, lambda _: None).preimage_and_postimage(patch, repo.tree_of(before))
    if images is None:
        return ""
    trees = [repo.tree_of(before), repo.tree_of(landing)]
    objects.bring(entry.oid for _, entry in objects.trees.changed(*trees) if entry.mode.startswith("100"))
    objects.bring(entry.oid for _, entry in objects.trees.changed(*reversed(trees)) if entry.mode.startswith("100"))
    # One message on both sides: what the two say about themselves is no difference of the change.
    theirs = series.commit(patch, trees[1], before, landing)
    ours = series.commit(patch, repo.tree_of(images[1]), images[0], landing)
    return range_diff(repo, f"{images[0]}..{ours}", f"{before}..{theirs}")


def range_diff(repo: Repo, old: str, new: str) -> str:
    """Return ``git range-diff OLD NEW``, shortened to what a person reads; "" when an object is missing."""
    words = ("range-diff", "--no-color", "--creation-factor=999", "--no-notes", old, new)
    done = repo.run(*words, accept=(0, 128), settings=["core.abbrev=9"])
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.status == 0 else []
    cut = [f"... {len(lines) - LONGEST} more lines"] if len(lines) > LONGEST else []
    return "\n".join([*lines[:LONGEST], *cut])


def _pieces(revision: Revision) -> Iterator[Change]:
    for change in revision.changes:
        if change.old_path == change.new_path and len(change.hunks) > 1:
            # The result of one hunk alone has no id in the mail.
            yield from (replace(change, hunks=(hunk,), new_oid="") for hunk in change.hunks)
        else:
            yield change


def _only(patch: Patch, pieces: Sequence[Change]) -> Patch:
    part = Patch(patch.id, patch.file, patch.label, patch.content, patch.requires)
    vars(part)["revision"] = replace(patch.revision, changes=tuple(pieces))
    return part


def _applied(series: Series, patch: Patch, pieces: Sequence[Change], tree: str) -> str | None:
    start = tree
    for piece in pieces:
        judged = series.judge(_only(patch, [piece]), tree)
        if judged.outcome.failed:
            return None
        tree = judged.tree
    return tree if tree != start else None


def _mail(series: Series, patch: Patch, tree: str, parent: str, made_on: Sequence[str]) -> str:
    commit = series.commit(patch, tree, parent, parent)
    mail = export_line(series.store, parent, commit)[0]
    base, *prerequisites = made_on or [parent]
    return (with_trailers(mail, base, prerequisites) if base else mail).decode("utf-8", "surrogateescape")
