"""What a person names (a file, a folder, a commit, a range, a pull request) as drafts, and the base they come with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patchctl.author.commits import draft_of, read_commit, squash
from patchctl.author.draft import NOBODY, Draft
from patchctl.author.intake import Way, retitled
from patchctl.author.queue import read_queue
from patchctl.author.upstream import PULL, fetch_pull_request, fork_point, main_tip, own_commits
from patchctl.errors import Code, PatchctlError
from patchctl.git import OID
from patchctl.series.resolve import commit_as_patch

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.store import Store

RANGE = re.compile(r"([^\s.][^\s]*?)\.\.([^\s.][^\s]*)")


@dataclass(frozen=True)
class Gathered:
    """Drafts in order, the commit of upstream they were made on (None: not known), a sentence on where they are from.

    ``several``: a queue or range, of which what upstream has already is left out rather than refused; ``notes`` tell
    what of it is left out for another reason.
    """

    drafts: tuple[Draft, ...]
    base: str | None
    origin: str
    several: bool = False
    notes: tuple[str, ...] = ()


def gather(
    store: Store, word: str, place: Path, *, head: str | None, author: str | None, title: str | None
) -> Gathered:
    """Return what ``word`` names, ``place`` being the same word as a path.

    Raises PatchctlError: exit code 2 when it names nothing, 3 when it cannot be a patch, 7 without upstream.
    """
    if head is not None and (place.exists() or not PULL.fullmatch(word)):
        raise PatchctlError(Code.USAGE, f"--head is the head of a pull request; {word} is none")
    if place.exists():
        drafts = read_queue(place, Way(author=author or NOBODY, title=title))
        return Gathered(tuple(drafts), None, f"Imported from `{place.name}`.", len(drafts) > 1 or place.is_dir())
    if PULL.fullmatch(word):
        found = _pull_request(store, word, head)
    elif between := RANGE.fullmatch(word):
        found = _range(store, between[1], between[2])
    elif OID.fullmatch(word) or re.fullmatch(r"b[1-9][0-9]*|[0-9a-f]{4,39}", word):
        found = _commit(store, store.resolve(word) if not OID.fullmatch(word) else word)
    else:
        message = f"there is no file or folder {word}; a commit is 40 digits, a range A..B, a pull request #N"
        raise PatchctlError(Code.USAGE, message)
    if title is not None and len(found.drafts) == 1:
        return replace(found, drafts=(retitled(found.drafts[0], title),))
    return found


def own_branch(store: Store, commit: str) -> bool:
    """Return whether upstream's own branch holds a commit; one that is not here yet is brought and pinned."""
    tip = main_tip(store)
    if store.repo.resolve(commit) is None:
        store.pin(commit)
    return store.repo.is_ancestor(commit, tip)


def _commit(store: Store, commit: str) -> Gathered:
    return Gathered((_draft(store, commit),), _base_of(store, commit), f"Commit {commit}.")


def _base_of(store: Store, commit: str) -> str | None:
    if own_branch(store, commit):
        return None
    return fork_point(store, commit, commit[:9])


def _draft(store: Store, commit: str) -> Draft:
    """Return a commit as a draft: upstream's own by reference, any other with its change."""
    if not own_branch(store, commit):
        return replace(draft_of(store, commit), commit=commit)
    told = read_commit(store.repo, commit)
    if len(told.parents) == 1 and told.tree == store.repo.tree_of(told.parents[0]):
        raise PatchctlError(Code.INVALID, f"{commit[:9]} ({told.subject}) changes nothing; there is no patch in it")
    return Draft(told.subject, commit[:9], commit_as_patch(store, commit), commit=commit, by_reference=True)


def _range(store: Store, old: str, new: str) -> Gathered:
    """Return the commits after ``old`` up to ``new``; raises PatchctlError (exit code 3) for what is no line."""
    first, last = _known(store, old), _known(store, new)
    if not store.repo.is_ancestor(first, last):
        raise PatchctlError(Code.INVALID, f"{new} does not descend from {old}; a range goes from old to new")
    commits = own_commits(store, last, first)
    merges = [one for one in commits if len(store.repo.parents_of(one)) > 1]
    if merges:
        message = f"{old}..{new} holds the merge {merges[0][:9]}, whose own changes no commit has"
        raise PatchctlError(Code.INVALID, f"{message}; import the branch with --fork")
    if not commits:
        raise PatchctlError(Code.INVALID, f"{old}..{new} holds no commit")
    drafts = tuple(_draft(store, one) for one in commits if _changes(store, one))
    empty = [one for one in commits if not _changes(store, one)]
    notes = tuple(f"{one[:9]} ({read_commit(store.repo, one).subject}) changes nothing; left out" for one in empty)
    if not drafts:
        why = "; ".join(notes).replace("; left out", "")
        raise PatchctlError(Code.INVALID, f"nothing to import: {old}..{new} holds only commits without a change: {why}")
    base = None if all(draft.by_reference for draft in drafts) else fork_point(store, first, old)
    return Gathered(drafts, base, f"Commits {first}..{last}.", several=True, notes=notes)


def _changes(store: Store, commit: str) -> bool:
    return store.repo.tree_of(commit) != store.repo.tree_of(store.repo.parents_of(commit)[0])


def _known(store: Store, name: str) -> str:
    if not OID.fullmatch(name):
        return store.resolve(name)
    if store.repo.resolve(name) is None:
        store.pin(name)
    return name


def _pull_request(store: Store, word: str, head: str | None) -> Gathered:
    name, found = fetch_pull_request(store, word)
    if head is not None and head != found:
        message = f"the head of {name} moved from {head[:9]} to {found[:9]}; review it, then give --head {found}"
        raise PatchctlError(Code.INVALID, message)
    draft, base = pull_request_draft(store, name, found)
    return Gathered((draft,), base, origin_of(name, found))


def origin_of(name: str, head: str) -> str:
    """Return the sentence that a page says of a pull request."""
    return f"Pull request {name} at its head {head}."


def pull_request_draft(store: Store, name: str, head: str) -> tuple[Draft, str]:
    """Return a pull request at ``head`` as one draft, and its fork point.

    Its own commits alone: what it merged from upstream is upstream's. Raises PatchctlError (exit code 3).
    """
    base = fork_point(store, head, name)
    draft = squash(store, head, base, own_commits(store, head, base), name)
    return replace(draft, label=name, pr=name, head=head), base
