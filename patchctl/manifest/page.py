"""The page of a patch: ``patches/<id>/README.md``, front matter in YAML between two lines ``---``, then Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.document import Document, parse, read, shown
from patchctl.errors import InvalidError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.manifest.model import Page

MAX_BYTES = 8 * 2**20
FENCE = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class PageFile:
    """A page as read: its front matter as data, the document to place and edit it in, and the Markdown after it."""

    path: Path
    page: Page
    document: Document
    body: str


def load_page(path: Path, name: str | None = None) -> PageFile:
    """Return the page at ``path``; ``name`` is what errors call it. Raises InvalidError with every problem found."""
    from patchctl.manifest.model import Page
    from patchctl.manifest.validate import validate

    name = name or shown(path)
    document, body = split(read(path, name, MAX_BYTES), name)
    return PageFile(path, validate(document, Page), document, body)


def split(text: str, name: str) -> tuple[Document, str]:
    """Return the front matter and the Markdown of a page; raises InvalidError when there is no front matter."""
    opening = FENCE.match(text)
    if opening is None:
        message = 'has no front matter; it starts with a line "---", keys such as "title:", and another line "---"'
        raise InvalidError([Problem(name, 1, 1, message)])
    start = text.find("\n", opening.start()) + 1
    closing = FENCE.search(text, start) if start else None
    if closing is None:
        raise InvalidError([Problem(name, 1, 1, 'the front matter that starts here is not closed by a line "---"')])
    after = text.find("\n", closing.start()) + 1 or len(text)
    return parse(text, name, start, closing.start()), text[after:]
