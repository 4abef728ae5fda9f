"""The logs of tests and builds, as a report can show them: their end, made safe, whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.text import redacted, uncoloured

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 16 * 2**10  # bytes shown of what passed
FAILED_LIMIT = 128 * 2**10  # bytes shown of what did not


def folder_of(cache: Path, release: str, tree: str) -> Path:
    """Return the folder of the logs of one release's tree."""
    return cache / "logs" / release / tree[:12]


def read_log(path: Path, *, failed: bool = False) -> dict[str, Any] | None:
    """Return the end of a log: its ``text``, how many ``bytes`` it has and whether it was ``cut``; None without one."""
    limit = FAILED_LIMIT if failed else LIMIT
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit))
            content = file.read(limit)
    except OSError:
        return None
    cut = size > limit
    if cut:
        content = content.partition(b"\n")[2] or content
    text = redacted(uncoloured(content.decode("utf-8", "replace"))).strip("\n")
    return {"name": path.name, "text": text, "bytes": size, "cut": cut} if text else None
