"""A pull request as patchctl keeps it: what is asked of GitHub, whichever way it was asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class PullName(NamedTuple):
    """A pull request as people write it: ``owner/name#7``."""

    repo: str
    number: int

    @staticmethod
    def of(text: str) -> PullName:
        """Return what ``owner/name#7`` names."""
        repo, number = text.rsplit("#", 1)
        return PullName(repo, int(number))

    def __str__(self) -> str:
        """Return ``owner/name#7``."""
        return f"{self.repo}#{self.number}"


@dataclass(frozen=True)
class Pull:
    """One pull request: all a verdict rests on and a person wants to see. Texts are safe to show.

    ``repo`` is what its repository is called today; ``commit`` the commit it was merged as; ``fork`` where its head
    is, None when that was deleted. ``closer`` and ``successor`` are the commit, or the pull request (with the commit
    that one was merged as, if it was), for which it was closed; ``mentions`` the merged ones that name it.
    """

    repo: str
    number: int
    state: str  # open | closed | merged
    draft: bool
    title: str
    author: str
    head: str
    branch: str
    fork: str | None
    commit: str | None = None
    merged_at: str | None = None
    review: str | None = None
    checks: str | None = None
    labels: tuple[str, ...] = ()
    closer: str | None = None
    successor: tuple[str, str | None] | None = None
    mentions: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> PullName:
        """Return the name it has today."""
        return PullName(self.repo, self.number)

    def short(self, name: str) -> str:
        """Return ``#7`` for ``owner/name#7`` of the same repository, the whole name for one of another."""
        return name.removeprefix(self.repo) if name.startswith(f"{self.repo}#") else name

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> Pull:
        """Return what ``record`` made plain data of; JSON knows no tuples."""
        successor = record["successor"]
        return Pull(**{
            **record,
            "labels": tuple(record["labels"]),
            "successor": tuple(successor) if successor else None,
            "mentions": tuple((name, commit) for name, commit in record["mentions"]),
        })  # fmt: skip


def repository(url: str) -> str:
    """Return ``owner/name`` of a repository's URL; only ``name`` for a folder, and where there is no owner."""
    scheme, found, rest = url.partition("://")
    if not found:
        host, colon, path = url.partition(":")
        if not colon or "/" in host:
            return "".join(_steps(url)[-1:])
        return "/".join(_steps(path)[-2:]) if "@" in host else f"{host}/{path}"  # git@host:acme/up, patchctl:demo
    named = _steps(rest.partition("/")[2])
    return "/".join(named[-1:] if scheme == "file" else named[-2:])


def _steps(path: str) -> list[str]:
    return [step for step in path.rstrip("/").removesuffix(".git").split("/") if step]


def same_repository(repo: str, url: str) -> bool:
    """Return whether ``owner/name`` is the repository at ``url``, as far as the URL tells."""
    known = repository(url).lower()
    return repo.lower() == known or ("/" not in known and (not known or repo.lower().endswith(f"/{known}")))
