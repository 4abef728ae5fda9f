"""Patches that retired: whether upstream took back since what had brought them, so that a stack lacks them now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from patchctl.errors import PatchctlError
from patchctl.ledger import digest
from patchctl.manifest.retirement import retired_but
from patchctl.series.resolve import load_patch
from patchctl.series.sequence import Series
from patchctl.upstream import landing
from patchctl.upstream.evidence import Detectors, Question
from patchctl.upstream.landing import Claim
from patchctl.upstream.verdict import Evidence, Kind, Verdict, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from patchctl.manifest.model import Page, Retired
    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.patch import Patch
    from patchctl.store import Store
    from patchctl.upstream.history import Commit

RECIPE = 1  # raise it when the same input would give another answer
KIND = "taken-back"
Judged = tuple[list[Evidence], Verdict, str]


@dataclass(frozen=True)
class Gone:
    """A patch that retired, as its page says; ``load`` reads the patch itself."""

    patch: str
    page: Page
    retired: Retired
    load: Callable[[], Patch]


def gone_from(workspace: Workspace, store: Store, stack: StackFile, base: str) -> list[Gone]:
    """Return the patches of a workspace that retired and are not in a stack, each as it would be on ``base``."""

    def loader(patch_id: str) -> Callable[[], Patch]:
        return lambda: load_patch(workspace, store, patch_id, base)

    pages = retired_but(workspace, stack.outline.patches)
    return [Gone(name, page, page.retired, loader(name)) for name, page in pages.items() if page.retired]


def returned(detectors: Detectors, gone: Sequence[Gone], base: str) -> Iterator[tuple[Gone, Judged]]:
    """Yield those of ``gone`` that ``base`` lacks again, each with evidence, verdict and reason.

    What was taken back and landed once more is in the base as before. Starts no process for what was asked before,
    unless something was taken back. Raises PatchctlError when upstream's objects cannot be had.
    """
    for one, taken in _taken_back(detectors, gone, base):
        evidence = [taken, *_anew(detectors, one, taken, base)]
        verdict, reason = decide(evidence, named=landing.asked_for(one.page) is not None)
        if verdict is not Verdict.RETIRE:
            told = reason if taken.detail in reason else f"{taken.detail}; {reason}"
            yield one, (evidence, Verdict.REVIEW, told)


def _taken_back(detectors: Detectors, gone: Sequence[Gone], base: str) -> Iterator[tuple[Gone, Evidence]]:
    """Yield the patches whose landing was taken back after they retired: each with the commit that did it."""
    keys = {one.patch: _key(detectors, one, base) for one in gone}
    kept = detectors.store.ledger.get_many(KIND, keys.values())
    new = {keys[one.patch]: _look(detectors, one) for one in gone if keys[one.patch] not in kept}
    detectors.store.ledger.put_many(KIND, new)
    kept |= new
    for one in gone:
        for found in kept[keys[one.patch]]:
            yield one, Evidence(**{**found, "kind": Kind(found["kind"])})


def _key(detectors: Detectors, one: Gone, base: str) -> str:
    page = one.page.model_dump(include={"upstream", "drop_when", "from_", "retired"})
    return digest(KIND, RECIPE, detectors.store.birth, detectors.store.url, base, page)


def _look(detectors: Detectors, one: Gone) -> list[dict[str, object]]:
    for commit in _brought(detectors, one):
        undone = detectors.history.reverted_by(commit.oid)
        if undone is not None and undone.build > one.retired.build:
            detail = f"retired, but {commit.named} was taken back by {undone.named}: put it back"
            return [asdict(Evidence(Kind.TAKEN_BACK, commit.oid, undone.build, detail))]
    return []


def _brought(detectors: Detectors, one: Gone) -> Iterable[Commit]:
    """Return the commits that brought a patch to upstream: what its retirement names, else what its page does."""
    page, history = one.page, detectors.history
    named = [one.retired.commit] if one.retired.commit else []
    if not named:
        named = [part.commit for part in (page.drop_when, page.from_) if part and part.commit]
        named += [claim.commit.oid for claim in landing.claims(history, detectors.store.url, page, None)]
    return [commit for oid in dict.fromkeys(named) if (commit := history.get(oid)) is not None]


def _anew(detectors: Detectors, one: Gone, taken: Evidence, base: str) -> Iterator[Evidence]:
    """Look whether the base has all of a patch nevertheless: landed again, or in other commits."""
    try:
        patch = one.load()
    except PatchctlError as error:
        yield Evidence(Kind.MISSING, None, None, f"it cannot be read: {error.message.splitlines()[0]}")
        return
    # The stack's own detectors know nothing of a patch that is not in it.
    alone = Detectors(Series(detectors.store, [patch], allow=detectors.series.allow), detectors.history)
    yield from alone.gather(Question(patch, one.page, base))
    landed = detectors.history.get(taken.commit or "")
    for claim in landing.again(detectors.history, Claim(landed, "")) if landed else ():
        yield from landing.weighed(alone.series, alone.objects, patch, claim, base)
