"""A patch on its way in: a mail as a revision is read, and what is known about where it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass

from patchctl.author.dep3 import NOTHING, Said
from patchctl.errors import Code, PatchctlError

FIRST_LINE = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001"
NOBODY = "patchctl <patchctl@localhost>"
# Lines that end a message wherever a mail is read; commits may hold them, mails may not.
ENDING = re.compile(
    r"^(?=---$|--- a/|diff --git |diff -|Index: |From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\r?$)", re.MULTILINE
)


@dataclass(frozen=True)
class Draft:
    """``content`` is a mail that ``manifest.revision`` reads; ``label`` is what errors call it.

    ``pr``, ``head`` and ``commit`` say where it came from; ``by_reference`` that the commit is upstream's own; ``said``
    is what its header told. ``readings`` are other ways to read a diff that does not say how it is meant: the way in
    words, and its mail.
    """

    title: str
    label: str
    content: bytes
    pr: str | None = None
    head: str | None = None
    commit: str | None = None
    by_reference: bool = False
    said: Said = NOTHING
    readings: tuple[tuple[str, bytes], ...] = ()


def compose(diff: bytes, *, subject: str, body: str = "", author: str = NOBODY, date: str = "") -> bytes:
    """Return one mail of these parts; what would end the message early is indented by one blank."""
    head = [FIRST_LINE, f"From: {author}", *([f"Date: {date}"] if date else []), f"Subject: [PATCH] {subject}", ""]
    text = "\n".join([*head, *([quotable(body.strip("\n")), ""] if body.strip() else [])])
    return text.encode("utf-8", "surrogateescape") + b"---\n\n" + diff


def quotable(message: str) -> str:
    """Return a message without lines that would end it when it is read from a mail."""
    return ENDING.sub(" ", message)


def check_author(author: str | None) -> str:
    """Return ``author``, or patchctl's identity; raises PatchctlError (exit code 2) for what is no author."""
    if author is None:
        return NOBODY
    if not re.fullmatch(r"[^<>\n\0]+ <[^<>\s\0]+>", author):
        raise PatchctlError(Code.USAGE, f"--author {author!r} is no author; write it as: Name <address>")
    return author
