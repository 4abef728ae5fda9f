"""The page of a patch: ``patches/<id>/README.md``, front matter in YAML between two lines ``---``, then Markdown."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.document import Document, parse, read, shown
from patchctl.errors import InvalidError, Problem
from patchctl.manifest.outline import PageOutline, certain

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.manifest.model import Page

MAX_BYTES = 8 * 2**20
FENCE = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class PageFile:
    """A valid page as read: what judging needs, the document to place and edit it in, the Markdown after it."""

    path: Path
    outline: PageOutline
    document: Document
    body: str

    @functools.cached_property
    def page(self) -> Page:
        """Return the whole front matter."""
        from patchctl.manifest.model import Page
        from patchctl.manifest.validate import validate

        return validate(self.document, Page)


def load_page(path: Path, name: str | None = None) -> PageFile:
    """Return the page at ``path``; ``name`` is what errors call it. Raises InvalidError with every problem found."""
    name = name or shown(path)
    document, body = split(read(path, name, MAX_BYTES), name)
    return PageFile(path, PageOutline.of(certain("page", document)), document, body)


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
