"""Numbers and names that a patch takes and that upstream may give to something else: types, file types, models.

Files on disk carry them, so two meanings of one number are worse than a conflict, and a merge does not see them: three
forks chose numbers that upstream then took.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from patchctl.upstream.verdict import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.manifest.revision import Hunk
    from patchctl.series.patch import Patch
    from patchctl.upstream.objects import Objects

# enumerators of llama.cpp's headers whose number stands in files: "GGML_TYPE_Q4_0 = 2"
NUMBERED = re.compile(rb"\b(?P<name>(?P<kind>GGML_TYPE|GGML_FTYPE|LLAMA_FTYPE)_\w+)\s*=\s*(?P<value>\d+)\b")
# what a model file calls its architecture: "{ LLM_ARCH_QWEN35, "qwen35" }"
NAMED = re.compile(rb"\{\s*(?P<name>(?P<kind>LLM_ARCH)_\w+)\s*,\s*\"(?P<value>[^\"]+)\"\s*\}")
COUNT = re.compile(rb"_COUNT$")


class Taken(NamedTuple):
    """One number or name in use: the family it is of, the value, the identifier that has it."""

    kind: str
    value: str
    name: str


def clashes(objects: Objects, patch: Patch, tree: str) -> Iterator[Evidence]:
    """Return where a patch adds a value that another name has in ``tree``, or a name that has another value there."""
    for change in patch.revision.changes:
        mine = [one for hunk in change.hunks for one in _added(hunk)]
        theirs = set(_taken(objects.content(tree, change.path))) if mine else set()
        for one in mine:
            for other in sorted(theirs):
                if other.kind == one.kind and (other.value == one.value) != (other.name == one.name):
                    detail = f"{change.path}: {one.name} takes {one.value}, upstream has {other.name} = {other.value}"
                    yield Evidence(Kind.CLASH, None, None, detail)


def _added(hunk: Hunk) -> Iterator[Taken]:
    before = set(_taken(b"".join(hunk.old)))
    return (one for one in _taken(b"".join(hunk.new)) if one not in before)


def _taken(content: bytes) -> Iterator[Taken]:
    for pattern in (NUMBERED, NAMED):
        for found in pattern.finditer(content):
            # The number of all of them is nobody's.
            if not COUNT.search(found["name"]):
                yield Taken(*(found[part].decode("utf-8", "replace") for part in ("kind", "value", "name")))
