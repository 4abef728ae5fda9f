"""Say in a patch's own page that it retired: from which build of upstream on it is not needed, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.errors import InvalidError
from patchctl.files import write_atomic
from patchctl.manifest.edit import render, splice
from patchctl.manifest.page import split

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.manifest.page import PageFile
    from patchctl.manifest.workspace import Workspace


def retire(workspace: Workspace, patch_id: str, build: int, reason: str, commit: str | None = None) -> Path | None:
    """Write ``retired`` into the page of a patch; returns the page, or None when it says so already.

    ``commit`` is upstream's that brought it, None where nobody knows.

    Nothing else in the page changes: older stacks go on needing it. Raises InvalidError when the front matter is
    written so that only a person can add to it.
    """
    page = workspace.load_page(patch_id)
    known = page.page.retired
    if known is not None and known.build <= build:
        return None
    brought = {"commit": commit} if commit else {}
    named = "".join(f"commit: {render(oid)}, " for oid in brought.values())
    said = f"{{build: {build}, {named}reason: {_inside(reason)}}}"
    meant = {"build": build, **brought, "reason": reason}
    content = splice(page.document, ("retired",), said) if known is not None else _added(page, said, meant)
    write_atomic(page.path, content)
    return page.path


def _inside(reason: str) -> str:
    """Return a value as it may stand between braces, where a comma would end it."""
    text = render(reason)
    return text if text.startswith('"') or not set(text) & set(",[]{}") else render(reason, '"')


def _added(page: PageFile, said: str, meant: dict[str, object]) -> bytes:
    """Return the page with one more line at the end of its front matter, proven to say what is meant."""
    document = page.document
    text, end = document.text, document.end
    line_end = "\r\n" if "\r\n" in text[: document.start] else "\n"
    content = f"{text[:end]}retired: {said}{line_end}{text[end:]}"
    if _data(content, document.path) != {**document.data, "retired": meant}:
        raise InvalidError([document.problem((), f"is written so that nothing fits; add by hand: retired: {said}")])
    return content.encode()


def _data(content: str, name: str) -> object:
    try:
        return split(content, name)[0].data
    except InvalidError:
        return None
