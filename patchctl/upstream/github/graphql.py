"""Pull requests by GraphQL: one query for many, and what its answer says of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.text import one_line
from patchctl.upstream.pull import Pull, PullName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LABELS, MENTIONS = 20, 20  # how many are asked for

FRAGMENT = f"""
fragment pull on PullRequest {{
  number state isDraft title headRefOid baseRefName mergedAt reviewDecision
  author {{ login }}
  mergeCommit {{ oid }}
  headRepository {{ nameWithOwner }}
  statusCheckRollup {{ state }}
  labels(first: {LABELS}) {{ nodes {{ name }} }}
  closed: timelineItems(last: 1, itemTypes: [CLOSED_EVENT]) {{
    nodes {{ ... on ClosedEvent {{ closer {{ ... on Commit {{ oid }} ... on PullRequest {{ ...other }} }} }} }}
  }}
  doubled: timelineItems(last: 1, itemTypes: [MARKED_AS_DUPLICATE_EVENT]) {{
    nodes {{ ... on MarkedAsDuplicateEvent {{ canonical {{ ... on PullRequest {{ ...other }} }} }} }}
  }}
  named: timelineItems(last: {MENTIONS}, itemTypes: [CROSS_REFERENCED_EVENT]) {{
    nodes {{ ... on CrossReferencedEvent {{ source {{ ... on PullRequest {{ ...other }} }} }} }}
  }}
}}
fragment other on PullRequest {{ number merged repository {{ nameWithOwner }} mergeCommit {{ oid }} }}
"""


def question(names: Sequence[PullName]) -> dict[str, Any]:
    """Return the body of the request that asks for all of ``names``; ``read`` understands its answer."""
    repos = list(dict.fromkeys(name.repo for name in names))
    variables: dict[str, str] = {}
    parts = []
    for at, repo in enumerate(repos):
        variables[f"o{at}"], variables[f"n{at}"] = repo.split("/", 1)
        pulls = " ".join(f"p{n.number}: pullRequest(number: {n.number}) {{ ...pull }}" for n in names if n.repo == repo)
        parts.append(f"r{at}: repository(owner: $o{at}, name: $n{at}) {{ nameWithOwner {pulls} }}")
    declared = ", ".join(f"${name}: String!" for name in variables)
    return {"query": f"query({declared}) {{\n{chr(10).join(parts)}\n}}{FRAGMENT}", "variables": variables}


def read(names: Sequence[PullName], body: Mapping[str, Any]) -> tuple[dict[PullName, Pull | None], str]:
    """Return what an answer says of each pull request (None: there is none), and what it could not answer.

    Part of the data may be null with an entry in ``errors``; the rest is good.
    """
    repos = list(dict.fromkeys(name.repo for name in names))
    errors = [error for error in body.get("errors") or () if isinstance(error, dict)]
    found: dict[PullName, Pull | None] = {}
    problems: list[str] = []
    for name in names:
        at = f"r{repos.index(name.repo)}"
        repository = (body.get("data") or {}).get(at) or {}
        raw = repository.get(f"p{name.number}")
        if raw is not None:
            found[name] = _pull(raw, str(repository["nameWithOwner"]))
            continue
        blamed = [error for error in errors if _about(error, at, f"p{name.number}")]
        if any(error.get("type") == "NOT_FOUND" for error in blamed):
            found[name] = None
        else:
            problems += [one_line(str(error.get("message"))) for error in blamed or errors] or ["an empty answer"]
    return found, "; ".join(dict.fromkeys(problems))


def _about(error: Mapping[str, Any], *path: str) -> bool:
    at = error.get("path") or []
    return bool(at) and list(path[: len(at)]) == at[: len(path)]


def _pull(raw: Mapping[str, Any], repo: str) -> Pull:
    closer = (_first(raw, "closed") or {}).get("closer") or {}
    other = _other(closer) or _other((_first(raw, "doubled") or {}).get("canonical"))
    mentions = (_other((node or {}).get("source")) for node in _nodes(raw, "named"))
    state = str(raw["state"]).lower()
    return Pull(
        repo=repo,
        number=int(raw["number"]),
        state=state,
        draft=bool(raw.get("isDraft")),
        title=one_line(str(raw.get("title") or "")),
        author=one_line(_inner(raw, "author", "login") or "ghost"),
        head=str(raw["headRefOid"]),
        branch=one_line(str(raw.get("baseRefName") or "")),
        fork=_inner(raw, "headRepository", "nameWithOwner"),
        commit=_inner(raw, "mergeCommit", "oid") if state == "merged" else None,
        merged_at=raw.get("mergedAt"),
        review=raw.get("reviewDecision"),
        checks=_inner(raw, "statusCheckRollup", "state"),
        labels=tuple(one_line(str(node["name"])) for node in _nodes(raw, "labels") if node),
        closer=closer.get("oid") if state == "closed" else None,
        successor=other if state == "closed" else None,
        mentions=tuple((name, commit) for one in mentions if one for name, commit in [one] if commit),
    )


def _other(raw: Mapping[str, Any] | None) -> tuple[str, str | None] | None:
    """Return another pull request by name, with the commit it was merged as, or None for something else."""
    if not raw or "number" not in raw:
        return None
    commit = _inner(raw, "mergeCommit", "oid") if raw.get("merged") else None
    return str(PullName(raw["repository"]["nameWithOwner"], int(raw["number"]))), commit


def _nodes(raw: Mapping[str, Any], name: str) -> list[Any]:
    return list((raw.get(name) or {}).get("nodes") or ())


def _first(raw: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    nodes = _nodes(raw, name)
    return nodes[0] if nodes else None


def _inner(raw: Mapping[str, Any], *path: str) -> str | None:
    value: Any = raw
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else str(value)
