"""What upstream is seen from a patch: where the fork point lies, which commits are its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.config import mirror_for
from patchctl.errors import Code, PatchctlError
from patchctl.git import OID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from patchctl.store import Store

PULL = re.compile(r"(?:([\w.-]+/[\w.-]+))?#([1-9][0-9]*)")
GITHUB = re.compile(r"(?:https?://[^/]+/|git@[^:]+:|ssh://git@[^/]+/)([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def main_tip(store: Store) -> str:
    """Return the tip of upstream's own branch; raises PatchctlError (exit code 7) when it cannot be asked."""
    tip = store.remote_refs().get("HEAD")
    if tip is None:
        raise PatchctlError(Code.INVALID, f"{store.url} has no branch that its HEAD names")
    store.ensure_commit(tip)
    return tip


def fork_point(store: Store, head: str, what: str) -> str:
    """Return the newest commit of upstream's own branch that ``head`` holds.

    Raises PatchctlError (exit code 3) when they have no history in common; ``what`` is what the message calls it.
    """
    found = store.repo.run("merge-base", "--all", main_tip(store), head, accept=(0, 1)).text().split()
    if not found:
        raise PatchctlError(Code.INVALID, f"{what} has no history in common with {store.url}; is it a fork of it?")
    return max(found, key=store.repo.count)


def own_commits(store: Store, head: str, base: str) -> list[str]:
    """Return the commits that lead to ``head`` and not to ``base``, oldest first, merges too."""
    return store.repo.run("rev-list", "--reverse", "--topo-order", head, f"^{base}").text().split()


def repository_of(url: str) -> str | None:
    """Return ``owner/repo`` of a repository's URL, or None."""
    found = GITHUB.match(url)
    return found[1] if found else None


def pull_request(store: Store, word: str) -> tuple[Store, str, str]:
    """Return the repository that a pull request was made to, its full name and its ref, for ``#N`` or ``owner/repo#N``.

    It is always the base repository's own ref: forks get deleted. Raises PatchctlError (exit code 2).
    """
    found = PULL.fullmatch(word)
    if found is None:
        raise PatchctlError(Code.USAGE, f"{word} names no pull request; write #N or owner/repo#N")
    home = repository_of(store.url)
    where = found[1] or home or "upstream/upstream"
    other = found[1] is not None and home is not None and found[1] != home
    url = f"https://github.com/{where}"
    base = store.at(mirror_for(url)) if other else store
    return base, f"{where}#{found[2]}", f"refs/pull/{found[2]}/head"


def fetch_pull_request(store: Store, word: str) -> tuple[str, str]:
    """Return the full name of a pull request and its head, which is pinned from now on.

    Raises PatchctlError with exit code 3 when it is gone, 7 when the repository cannot be reached.
    """
    base, name, ref = pull_request(store, word)
    try:
        return name, base.pin(ref)
    except PatchctlError as error:
        if error.exit_code != Code.INVALID:
            raise
        message = f"there is no pull request {name} any more, or never was: {base.place} has no {ref}"
        raise PatchctlError(Code.INVALID, message) from error


def bring_changes(stores: Iterable[Store], head: str, base: str) -> list[str]:
    """Bring the files that the commits from ``base`` to ``head`` change, old and new, in one request a store.

    Returns the paths of those that none of the ``stores`` has; the first one is asked first.
    """
    asked = list(stores)
    words = ("log", "--format=", "--raw", "--no-abbrev", "--no-renames", head, f"^{base}")
    raw = asked[0].repo.run(*words).stdout.decode("utf-8", "replace")
    paths: dict[str, str] = {}
    for line in filter(lambda line: line.startswith(":"), raw.splitlines()):
        row, _, path = line[1:].partition("\t")
        before, after, old, new, _ = row.split()
        paths |= {oid: path for mode, oid in ((before, old), (after, new)) if is_file(mode, oid)}
    missing = sorted(paths)
    for store in asked:
        missing = store.ensure_blobs(missing)
    return [paths[oid] for oid in missing]


def lacking(what: str, paths: Sequence[str]) -> PatchctlError:
    """Return the error (exit code 9) for files that ``what`` needs and no copy has."""
    named = f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]
    return PatchctlError(Code.ENVIRONMENT, f"{what} needs files that no copy of the repository has: {named}")


def is_file(mode: str, oid: str) -> bool:
    """Return whether an entry is a file with content to fetch: neither nothing nor a commit elsewhere."""
    return mode.startswith("1") and mode != "160000" and OID.fullmatch(oid) is not None and set(oid) != {"0"}


def fork_of(store: Store, word: str, folder: Path) -> tuple[Store, str]:
    """Return the repository and the branch that ``PATH_OR_URL@BRANCH`` names; a path counts from ``folder``.

    Raises PatchctlError (exit code 2) when it names no branch.
    """
    place, at, branch = word.rpartition("@")
    if not at or not place or not branch or ":" in branch:
        raise PatchctlError(Code.USAGE, f"--fork {word} names no branch; write PATH_OR_URL@BRANCH")
    path = (folder / place).expanduser()
    return store.at(str(path.resolve()) if path.is_dir() else mirror_for(place)), branch


def fork_base(store: Store, tip: str, what: str, given: str | None) -> str:
    """Return the newest commit of upstream that a fork's branch holds; one that was ``given`` must be just that.

    Raises PatchctlError (exit code 3) when it is not, or the branch is no fork of upstream.
    """
    base = fork_point(store, tip, what)
    if given is None or given == base:
        return base
    if not store.repo.is_ancestor(given, tip):
        raise PatchctlError(Code.INVALID, f"{what} does not descend from {given}; the upstream it holds ends at {base}")
    message = (
        f"{what} holds upstream up to {base}; on {given} upstream's own commits would be patches: use --base {base}"
    )
    raise PatchctlError(Code.INVALID, message)
