"""Whether a pull request still has the head that was reviewed, and what became of it when it has not.

A head is never followed silently: it may bring what nobody read. What was reviewed is kept in the store, since
force-pushes delete it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.config import mirror_for
from patchctl.errors import PatchctlError
from patchctl.ledger import digest
from patchctl.upstream.parts import range_diff
from patchctl.upstream.pull import PullName, same_repository
from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from patchctl.manifest.model import Page
    from patchctl.store import Store

KIND = "pull-head"
MOST = 100  # commits on one side that are compared; more is another branch, not a revision of this one


def pinned(page: Page) -> tuple[PullName, str] | None:
    """Return the pull request a page names as its origin and the head that was reviewed, None without both."""
    origin = page.upstream
    return (PullName.of(origin.pr), origin.head) if origin and origin.pr and origin.head else None


def heads(store: Store, names: Iterable[PullName], now: float, max_age: float, *, offline: bool) -> dict[PullName, str]:
    """Return the heads of upstream's own pull requests as git knows them, asked for when older than ``max_age``.

    Raises PatchctlError (exit code 7) when upstream cannot be reached.
    """
    mine = {name: digest("head", store.url, name.number) for name in names if same_repository(name.repo, store.url)}
    kept = store.ledger.get_many(KIND, mine.values())
    old = [name for name, key in mine.items() if key not in kept or not 0 <= now - kept[key]["asked"] <= max_age]
    if old and not offline:
        found = store.pull_heads(name.number for name in old)
        made = {mine[name]: {"asked": now, "head": found.get(name.number)} for name in old}
        store.ledger.put_many(KIND, made)
        kept |= made
    return {name: kept[key]["head"] for name, key in mine.items() if key in kept and kept[key]["head"]}


def moved(store: Store, name: PullName, reviewed: str, head: str, base: str, *, offline: bool) -> Evidence | None:
    """Return how the head moved since it was reviewed, None when it did not."""
    if head == reviewed:
        return None
    key = digest("moved", 1, store.birth, reviewed, head, base)
    kept: Mapping[str, str] | None = store.ledger.get(KIND, key)
    if kept is None:
        kept = _compared(store, name, reviewed, head, base, offline=offline)
        if kept["difference"]:
            store.ledger.put(KIND, key, kept)
    return Evidence(Kind.MOVED, head, None, f"#{name.number} {kept['detail']}", kept["difference"])


def _compared(store: Store, name: PullName, reviewed: str, head: str, base: str, *, offline: bool) -> dict[str, str]:
    said = f"moved from {reviewed[:9]}, which was reviewed, to {head[:9]}"
    place = store if same_repository(name.repo, store.url) else store.at(mirror_for(_beside(store.url, name.repo)))
    wanted = {reviewed: reviewed, head: f"refs/pull/{name.number}/head"}
    gone = [oid for oid in wanted if not _had(place, oid, wanted[oid], offline=offline)]
    if gone:
        return {"detail": f"{said}; {gone[0][:9]} cannot be had", "difference": ""}
    if store.repo.is_ancestor(reviewed, head):
        count = store.repo.run("rev-list", "--count", f"{reviewed}..{head}").text()
        said += f": {count} commit{'s were' if count != '1' else ' was'} appended"
    else:
        said += ": it was rewritten"
    return {"detail": said, "difference": _difference(place, reviewed, head, base)}


def _had(place: Store, oid: str, ref: str, *, offline: bool) -> bool:
    """Return whether a commit is here, after asking for it by what it may be known as."""
    if place.repo.has([oid])[oid]:
        return True
    for name in () if offline else dict.fromkeys((oid, ref)):
        try:
            place.pin(name)
        except PatchctlError:
            continue  # a server may not give by id what it gives by name
        if place.repo.has([oid])[oid]:
            return True
    return False


def _difference(place: Store, reviewed: str, head: str, base: str) -> str:
    """Return the two series of commits side by side, each since it left upstream."""
    ranges = []
    for tip in (reviewed, head):
        fork = place.repo.run("merge-base", tip, base, accept=(0, 1)).text()
        listed = place.repo.run("rev-list", "--no-merges", tip, *([f"^{fork}"] if fork else [])).text().split()
        if not fork or len(listed) > MOST:
            return ""
        words = ("log", "--format=", "--raw", "--no-abbrev", "--no-renames", "--no-merges", f"{fork}..{tip}")
        raw = place.repo.run(*words).text().splitlines()
        place.ensure_blobs(
            {oid for line in raw for oid in line.split()[2:4] if line.startswith(":") and oid.strip("0")}
        )
        ranges.append(f"{fork}..{tip}")
    return range_diff(place.repo, *ranges)


def _beside(url: str, repo: str) -> str:
    """Return the URL of another repository of the same service."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0]}/{repo}"
