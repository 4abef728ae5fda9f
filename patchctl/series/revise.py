"""Write a commit as a revision: one deterministic mail with the base it was made on; none is ever overwritten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.files import disk_errors
from patchctl.series.resolve import EXPORT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.store import Store

START = re.compile(rb"^From 0{40} Mon Sep 17 00:00:00 2001$", re.MULTILINE)


def export(store: Store, commit: str, base: str, prerequisites: Sequence[str]) -> bytes:
    """Return the revision of ``commit``, made on ``base`` after patches with the patch-ids ``prerequisites``."""
    return with_trailers(store.repo.run(*EXPORT, commit, lazy=True).stdout, base, prerequisites)


def export_line(store: Store, base: str, head: str, *, context: int = 3) -> list[bytes]:
    """Return the commits from ``base`` to ``head``, a line without merges, as mails without trailers; one process."""
    words = [word for word in EXPORT if word not in {"-1", "--unified=3"}] + [f"--unified={context}"]
    mails = store.repo.run(*words, "--no-numbered", f"{base}..{head}", lazy=True).stdout
    starts = [found.start() for found in START.finditer(mails)]
    return [mails[start:end] for start, end in zip(starts, [*starts[1:], len(mails)], strict=True)]


def with_trailers(mail: bytes, base: str, prerequisites: Sequence[str]) -> bytes:
    """Return a mail with the commit it was made on and the patch-ids of those before it."""
    trailers = [f"base-commit: {base}", *(f"prerequisite-patch-id: {patch_id}" for patch_id in prerequisites)]
    return mail.rstrip(b"\n") + b"\n\n" + "\n".join(trailers).encode() + b"\n"


def write_revision(folder: Path, build: int, content: bytes) -> Path:
    """Write ``content`` as the next revision for ``build`` in a patch's folder and return its path.

    The first is ``b<build>.patch``, then ``b<build>-2.patch``; the same content again is the same revision.
    """
    number = 1
    while True:
        path = folder / (f"b{build}.patch" if number == 1 else f"b{build}-{number}.patch")
        if path.exists() and path.read_bytes() == content:
            return path
        if not path.exists() and _create(path, content):
            return path
        number += 1


def _create(path: Path, content: bytes) -> bool:
    """Put the whole file there at once, and only if nothing of that name is there."""
    beside = path.with_name(f".{path.name}.tmp")
    with disk_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        try:
            path.hardlink_to(beside)
        except FileExistsError:
            return False
        finally:
            beside.unlink(missing_ok=True)
    return True
