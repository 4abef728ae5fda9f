"""Pull requests by REST, one request each: what there is without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.text import one_line
from patchctl.upstream.pull import Pull

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patchctl.upstream.pull import PullName


def address(api: str, name: PullName) -> str:
    """Return where one pull request is asked for."""
    return f"{api}/repos/{name.repo}/pulls/{name.number}"


def read(name: PullName, body: Mapping[str, Any]) -> Pull:
    """Return the pull request an answer describes; ``merge_commit_sha`` before merging is a trial, not a landing."""
    merged = bool(body.get("merged"))
    head, base = body["head"], body["base"]
    return Pull(
        repo=str((base.get("repo") or {}).get("full_name") or name.repo),
        number=int(body["number"]),
        state="merged" if merged else str(body["state"]),
        draft=bool(body.get("draft")),
        title=one_line(str(body.get("title") or "")),
        author=one_line(str((body.get("user") or {}).get("login") or "ghost")),
        head=str(head["sha"]),
        branch=one_line(str(base.get("ref") or "")),
        # A fork that was deleted is null, whatever the schema says.
        fork=(head.get("repo") or {}).get("full_name"),
        commit=body.get("merge_commit_sha") if merged else None,
        merged_at=body.get("merged_at"),
        labels=tuple(one_line(str(label.get("name"))) for label in body.get("labels") or ()),
    )
