"""Patches of one stack that bring the same: one holds all of another, or some of its hunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.series.overlap import repeated
from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from patchctl.git import Repo
    from patchctl.manifest.model import Page
    from patchctl.series.patch import Patch


def twice(repo: Repo, patches: Sequence[Patch], pages: Mapping[str, Page]) -> Iterator[tuple[str, Evidence]]:
    """Return (id, evidence) of each patch that brings what another one brings and whose page does not say so."""
    for patch_id, warned in repeated(patches):
        if warned.kind not in pages[patch_id].acknowledged:
            yield patch_id, Evidence(Kind(warned.kind), None, None, warned.message)
    for newer, older in _ancestors(repo, pages):
        if Kind.SUPERSET.value not in pages[newer].acknowledged:
            detail = f"its pull request is made on top of that of {older} and holds all of it"
            yield newer, Evidence(Kind.SUPERSET, None, None, detail)


def _ancestors(repo: Repo, pages: Mapping[str, Page]) -> Iterator[tuple[str, str]]:
    """Return (id, id) where the second one's reviewed head leads to the first one's."""
    heads = {patch_id: page.upstream.head for patch_id, page in pages.items() if page.upstream and page.upstream.head}
    here = repo.has(heads.values()) if len(set(heads.values())) > 1 else {}
    known = {patch_id: head for patch_id, head in heads.items() if here.get(head)}
    if len(set(known.values())) < 2:
        return
    alone = set(repo.run("merge-base", "--independent", *sorted(set(known.values()))).text().split())
    for older, head in known.items():
        for newer, other in known.items() if head not in alone else ():
            if other != head and repo.is_ancestor(head, other):
                yield newer, older
