"""Write a commit as a revision: one deterministic mail with the base it was made on; none is ever overwritten."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.files import disk_errors, file_beside
from patchctl.manifest.workspace import revision_key
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

    The first is ``b<build>.patch``, then ``b<build>-2.patch``; the newest is the one that counts, and what it says
    already is not written again.
    """
    while True:
        number = _newest(folder, build)
        path = _named(folder, build, number)
        if number and path.read_bytes() == content:
            return path
        path = _named(folder, build, number + 1)
        if _create(path, content):
            return path


def _named(folder: Path, build: int, number: int) -> Path:
    return folder / (f"b{build}-{number}.patch" if number > 1 else f"b{build}.patch")


def _newest(folder: Path, build: int) -> int:
    """Return the highest number of the revisions for ``build``, 0 when there is none."""
    keys = filter(None, (revision_key(path.name) for path in folder.glob("b*.patch")))
    return max((number for made_for, number in keys if made_for == build), default=0)


def _create(path: Path, content: bytes) -> bool:
    """Put the whole file there at once, and only if nothing of that name is there."""
    with disk_errors(), file_beside(path, content) as beside:
        try:
            path.hardlink_to(beside)
        except FileExistsError:
            return False
    return True
