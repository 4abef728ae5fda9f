"""Commits read and written as data, and several made one: who wrote what stays told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.author.draft import Draft, quotable
from patchctl.author.upstream import bring_changes, lacking
from patchctl.errors import Code, PatchctlError
from patchctl.git import GitError
from patchctl.series.revise import export
from patchctl.series.trees import EMPTY_TREE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.git import Repo
    from patchctl.store import Store

WHO = re.compile(r"(?P<name>.*?) ?<(?P<address>[^<>]*)> (?P<when>\d+) (?P<zone>[+-]\d{4})$")
CO_AUTHOR = re.compile(r"^Co-authored-by: *(.+?) *$", re.IGNORECASE | re.MULTILINE)
COMMITTER = "patchctl <patchctl@localhost>"


@dataclass(frozen=True)
class Told:
    """A commit as data: its tree, parents, author (``Name <address>``), date (``seconds zone``), message."""

    tree: str
    parents: tuple[str, ...]
    author: str
    date: str
    message: str

    @property
    def subject(self) -> str:
        """Return the first paragraph of the message in one line, as git shows it."""
        return " ".join(self.message.strip("\n").split("\n\n", 1)[0].split())

    @property
    def body(self) -> str:
        """Return the message after its first paragraph."""
        return self.message.strip("\n").partition("\n\n")[2].strip("\n")


def read_commit(repo: Repo, oid: str) -> Told:
    """Return the commit ``oid``; raises MissingObjectError when it is not here."""
    return told_by(repo.read(oid, "commit"))


def told_by(commit: bytes) -> Told:
    """Return a commit as git keeps it as data; its signature and other headers are left out."""
    header, _, raw = commit.partition(b"\n\n")
    fields: list[tuple[bytes, bytes]] = [
        (key, value) for key, _, value in (line.partition(b" ") for line in header.split(b"\n"))
    ]
    said = dict(fields[::-1])
    author, date = _author(said[b"author"].decode("utf-8", "replace"))
    parents = tuple(value.decode() for key, value in fields if key == b"parent")
    encoding = said.get(b"encoding", b"utf-8").decode("ascii", "replace")
    return Told(said[b"tree"].decode(), parents, author, date, _decoded(raw, encoding))


def _decoded(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except (LookupError, UnicodeDecodeError):
        return raw.decode("utf-8", "replace")


def _author(line: str) -> tuple[str, str]:
    """Return author and date; a mail needs an address and a name, so what is missing gets a plain one."""
    found = WHO.match(line)
    if found is None:
        return COMMITTER, "0 +0000"
    address = re.sub(r"\s", "", found["address"]) or "unknown@localhost"
    name = found["name"].strip() or address.split("@")[0]
    return f"{name} <{address}>", f"{found['when']} {found['zone']}"


def write_commit(repo: Repo, told: Told) -> str:
    """Store a commit by patchctl's committer at the author's date, and return its id."""
    lines = [f"tree {told.tree}", *(f"parent {parent}" for parent in told.parents)]
    lines += [f"author {told.author} {told.date}", f"committer {COMMITTER} {told.date}", ""]
    text = "\n".join(lines) + "\n" + quotable(told.message).rstrip("\n") + "\n"
    return repo.write("commit", text.encode("utf-8", "surrogateescape"))


def tree_before(repo: Repo, told: Told) -> str:
    """Return the tree of a commit's first parent; of one without parents, the empty one."""
    return repo.tree_of(told.parents[0]) if told.parents else EMPTY_TREE


def draft_of(store: Store, commit: str) -> Draft:
    """Return one commit as a draft made on its parent.

    Raises PatchctlError (exit code 3) for a merge, a commit without parent, one that changes nothing.
    """
    told = read_commit(store.repo, commit)
    if len(told.parents) != 1:
        what = "a merge" if told.parents else "the first commit of a history"
        raise PatchctlError(Code.INVALID, f"{commit[:9]} is {what}; a patch is a commit with one parent")
    if told.tree == tree_before(store.repo, told):
        raise PatchctlError(Code.INVALID, f"{commit[:9]} ({told.subject}) changes nothing; there is no patch in it")
    return _made(store, told, commit, told.parents[0])


def squash(store: Store, head: str, base: str, commits: Sequence[str], name: str) -> Draft:
    """Return what ``head`` brings on top of ``base`` as one draft; ``name`` is what errors call it.

    Several commits are one: by the author of the first, with everybody else as ``Co-authored-by``. Raises
    PatchctlError (exit code 3) when nothing is left of them.
    """
    told = [read_commit(store.repo, commit) for commit in commits]
    plain = [one for one in told if len(one.parents) < 2]
    tree = store.repo.tree_of(head)
    if not plain or tree == store.repo.tree_of(base):
        raise PatchctlError(Code.INVALID, f"{name} brings nothing: upstream has it all at {base[:9]}")
    message = plain[0].message if len(plain) == 1 else squashed_message(plain)
    return _made(store, Told(tree, (base,), plain[0].author, plain[-1].date, message), head, base)


def squashed_message(told: Sequence[Told]) -> str:
    """Return the first subject and body, the other subjects as a list, then everybody else who had a part in it."""
    first = told[0]
    others = [one.author for one in told] + [name for one in told for name in CO_AUTHOR.findall(one.message)]
    named = [f"Co-authored-by: {name}" for name in dict.fromkeys(others) if name != first.author]
    body = CO_AUTHOR.sub("", first.body).strip("\n")
    parts = [first.subject, body, "\n".join(f"* {one.subject}" for one in told[1:]), "\n".join(named)]
    return "\n\n".join(filter(None, parts))


def _made(store: Store, told: Told, source: str, base: str) -> Draft:
    absent = bring_changes([store], source, base)
    try:
        mail = export(store, write_commit(store.repo, told), base, ())
    except GitError as error:
        if not absent:
            raise
        raise lacking(source[:9], absent) from error
    return Draft(told.subject, source[:9], mail)
