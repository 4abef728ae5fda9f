"""What judging patches needs to know of a stack and of a page; all else of them is read when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.document import Document, plain
from patchctl.manifest.proof import proven

if TYPE_CHECKING:
    from collections.abc import Mapping


def certain(shape: str, document: Document) -> Any:
    """Return the data of a document that is a valid ``stack`` or ``page``.

    Raises InvalidError with everything wrong in the file; only then, or where a schema cannot tell, the models look.
    """
    data = plain(document.root)
    if document.problems or not proven(shape, data):
        from patchctl.manifest.model import Page, Stack
        from patchctl.manifest.validate import validate

        validate(document, Stack if shape == "stack" else Page)
    return data


@dataclass(frozen=True)
class StackOutline:
    """A stack's name, upstream, pinned commit, patch ids in order, and the paths its policy means."""

    release: str
    repo: str
    commit: str
    patches: tuple[str, ...]
    allow: tuple[str, ...]

    @staticmethod
    def of(data: Mapping[str, Any]) -> StackOutline:
        """Return the outline of a valid stack."""
        upstream, policy = data["upstream"], data.get("policy", {})
        return StackOutline(
            data["release"],
            upstream["repo"],
            upstream["commit"],
            tuple(data.get("patches", ())),
            tuple(policy.get("allow", ())),
        )


@dataclass(frozen=True)
class PageOutline:
    """The ids a patch requires, the kinds of warnings acknowledged for it, the commit it is taken from (or None)."""

    requires: tuple[str, ...]
    acknowledged: tuple[str, ...]
    commit: str | None

    @staticmethod
    def of(data: Mapping[str, Any]) -> PageOutline:
        """Return the outline of a valid page."""
        source = data.get("from") or {}
        return PageOutline(tuple(data.get("requires", ())), tuple(data.get("acknowledged", ())), source.get("commit"))
