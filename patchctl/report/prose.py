"""Markdown that somebody wrote, as HTML that can do no harm: no raw HTML, no pictures, links to the web only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.text import visible

if TYPE_CHECKING:
    import markdown_it
    from markupsafe import Markup

BELOW = 3  # a page's own title is a heading of the fourth level in the report
WEB = re.compile(r"https?://", re.IGNORECASE)


def prose(text: str, title: str = "") -> Markup:
    """Return Markdown as HTML; a first heading that only repeats ``title`` is left out."""
    from markupsafe import Markup

    parser = _parser()
    tokens = parser.parse(visible(text))
    if len(tokens) > 2 and tokens[0].tag == "h1" and tokens[1].content.strip() == title:
        tokens = tokens[3:]
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + BELOW)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - made by a parser without raw HTML


def _parser() -> markdown_it.MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = lambda url: WEB.match(url) is not None  # type: ignore[method-assign]
    return parser
