"""The files that an import writes beside the revisions: a page for each patch, a stack; what is known is filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.document import FORBIDDEN
from patchctl.files import package_data
from patchctl.series.explain import plain
from patchctl.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patchctl.author.draft import Draft

PAGE, STACK = "templates/patch-page.md.j2", "templates/stack.yaml.j2"


def page(patch_id: str, draft: Draft, message: str, origin: str, requires: Sequence[str] = ()) -> bytes:
    """Return the page of a patch; ``origin`` is the sentence that says where it came from."""
    said = draft.said
    rest = [f"* {_line(line)}" for line in said.rest]
    return _rendered(
        PAGE,
        id=patch_id,
        title=_line(draft.title) or patch_id,
        pr=draft.pr or said.pr,
        head=draft.head,
        commit=said.commit if draft.commit is None else None if draft.by_reference else draft.commit,
        landed=said.landed,
        issues=said.issues,
        reference=draft.commit if draft.by_reference else None,
        requires=list(requires),
        body=_text(message),
        origin="\n\n".join([origin, *(["Its header also says:", "\n".join(rest)] if rest else [])]),
    )


def stack(release: str, repo: str, commit: str, build: int, patches: Sequence[str]) -> bytes:
    """Return a new stack of these patches on a base, with one variant that builds anywhere."""
    return _rendered(STACK, release=release, repo=repo, commit=commit, build=build, patches=list(patches))


def _rendered(name: str, **values: object) -> bytes:
    import jinja2

    from patchctl.manifest.edit import render

    # Nothing here is HTML: pages are Markdown, stacks YAML.
    environment = jinja2.Environment(  # noqa: S701
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["yaml"] = render
    template = environment.from_string(package_data(name).read_text(encoding="utf-8"))
    return template.render(**values).encode()


def _line(text: str) -> str:
    return " ".join(FORBIDDEN.sub(" ", plain(text)).split())


def _text(message: str) -> str:
    """Return the message after its subject, as Markdown: without what a terminal or CI system would obey."""
    body = message.partition("\n")[2].strip("\n")
    clean = FORBIDDEN.sub("", visible(body.encode("utf-8", "replace").decode()))
    return re.sub(r"\n{3,}", "\n\n", clean)
