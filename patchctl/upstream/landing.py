"""Commits of upstream that claim to have landed a patch, and whether they did: compared at the landing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.series.judge import Outcome
from patchctl.upstream.coverage import counted, covered
from patchctl.upstream.parts import difference, residual, take_apart
from patchctl.upstream.pull import PullName, same_repository
from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.model import Page
    from patchctl.series.patch import Patch
    from patchctl.series.sequence import Series
    from patchctl.store import Store
    from patchctl.upstream.history import Commit, History
    from patchctl.upstream.objects import Objects
    from patchctl.upstream.pull import Pull

SYNCED = "ggml"  # the repository whose pull requests upstream lands under "(ggml/N)"


@dataclass(frozen=True)
class Claim:
    """A commit that may be a patch's landing, and why it is thought so.

    ``own``: it says so itself, or GitHub does; what is only mentioned counts when it agrees, and not against the patch.
    ``itself``: it is the landing of the very pull request that the page names.
    """

    commit: Commit
    why: str
    own: bool = True
    itself: bool = False


def asked_for(page: Page) -> PullName | None:
    """Return the pull request that decides about a patch: its trigger, else its origin; None without either."""
    named = (page.drop_when and page.drop_when.pr) or (page.upstream and page.upstream.pr)
    return PullName.of(named) if named else None


def claims(history: History, url: str, page: Page, pull: Pull | None) -> list[Claim]:
    """Return the commits in the base that may have landed what the page's pull request brings, the surest first."""
    name = asked_for(page)
    if name is None:
        return []
    numbered = _by_number(history, url, name, pull)
    found = [Claim(commit, f"squash of #{name.number}", itself=True) for commit in numbered]
    for oid, why, own in _told(name, pull) if pull is not None else ():
        commit = history.get(oid)
        if commit is not None and commit.oid not in {claim.commit.oid for claim in found}:
            found.append(Claim(commit, why, own, itself=pull is not None and oid == pull.commit))
    return found


def again(history: History, claim: Claim) -> list[Claim]:
    """Return the claim of the commit that landed what was reverted once more, as a list of it or of nothing."""
    why = f"under the title of {claim.commit.oid[:9]}, which was reverted"
    return [Claim(commit, why, claim.own) for commit in history.again(claim.commit)]


def _by_number(history: History, url: str, name: PullName, pull: Pull | None) -> list[Commit]:
    """Return the commits whose subject ends with the number; the number of another repository is another thing."""
    if same_repository(name.repo, url) or (pull is not None and same_repository(pull.repo, url)):
        return history.landings(name.number)
    if name.repo.rsplit("/", 1)[-1].lower() == SYNCED:
        return history.landings(name.number, SYNCED)
    return []


def _told(name: PullName, pull: Pull) -> Iterator[tuple[str, str, bool]]:
    """Return the commits that GitHub connects with a pull request."""
    if pull.commit:
        yield pull.commit, f"what #{name.number} was merged as", True
    if pull.closer:
        yield pull.closer, f"for which #{name.number} was closed", True
    successor, commit = pull.successor or ("", None)
    if commit:
        yield commit, f"squash of {pull.short(successor)}, for which #{name.number} was closed", True
    for other, commit in pull.mentions:
        yield commit, f"squash of {pull.short(other)}, which names #{name.number}", False


def before_and_after(store: Store, commit: Commit) -> tuple[str, str] | None:
    """Return the trees before and after a commit; of a merge, before it on upstream's own line."""
    parents = store.repo.parents_of(commit.oid)
    return (store.repo.tree_of(parents[0]), store.repo.tree_of(commit.oid)) if parents else None


def weighed(series: Series, objects: Objects, patch: Patch, claim: Claim, base: str) -> Iterator[Evidence]:
    """Return what a claim is worth: the landing, a part of it, or something else under its name."""
    trees = before_and_after(series.store, claim.commit)
    if trees is None:
        return
    oid, build, landed = claim.commit.oid, claim.commit.build, f"landed as {claim.commit.named}, {claim.why}"
    agreed = agreement(series, objects, patch, trees)
    if agreed:
        yield Evidence(Kind.LANDED, oid, build, f"{landed}, {agreed}")
        return
    if not claim.own:
        return
    parts = take_apart(series, objects, patch, *trees)
    shown = difference(series, objects, patch, oid)
    if parts.landed and not parts.rest and parts.surely:
        yield Evidence(Kind.LANDED, oid, build, f"{landed}, each hunk of the patch is in it")
    elif parts.landed and parts.rest:
        rest = residual(series, patch, parts.rest, [base, oid])
        paths = ", ".join(dict.fromkeys(change.path for change in parts.rest))
        count = f"{len(parts.landed)} of {len(parts.landed) + len(parts.rest)} hunks of the patch"
        yield Evidence(Kind.PARTLY_LANDED, oid, build, f"{landed}, brings {count}; left: {paths}", shown, rest)
    else:
        there, lines = counted(objects, patch.revision.changes, trees[1])
        told = f"; {there} of {lines} distinctive lines of the patch stand there" if lines else ""
        detail = f"{landed}, brings something else than the patch{told}"
        yield Evidence(Kind.LANDED_WITH_CHANGES, oid, build, detail, shown)


def agreement(series: Series, objects: Objects, patch: Patch, trees: tuple[str, str]) -> str:
    """Return in which way a patch and the change between two trees are the same, empty when they are not."""
    before, after = trees
    objects.bring(objects.needed(patch, before, after))
    earlier = series.judge(patch, before)
    if earlier.outcome is Outcome.ABSORBED:
        return ""  # what stood there before, this commit did not bring
    if earlier.tree == after:
        return "same tree"
    if series.judge(patch, after).outcome is Outcome.ABSORBED:
        return "all of the patch is in it"
    return "its lines are in it" if covered(objects, patch.revision.changes, before, after) else ""
