"""From a file (a mail, an mbox with several, a plain diff) to drafts; mails are read as ``git am`` reads them."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.author.diffs import START, GitDiff
from patchctl.author.draft import NOBODY, Draft, compose
from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.git import run_git

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES = 256 * 2**20
MAIL_HEADER = re.compile(rb"^(?:From|Subject|Date|Message-ID|Received|Return-Path): ", re.IGNORECASE)
FIELD = re.compile(r"^(Description|Subject|Author|From|Date|Last-Update): *(.*)$")
TOTALS = re.compile(rb"^ (\d+) files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?$", re.MULTILINE)
NUMBER = re.compile(r"^\d+[-_. ]*")


def read_drafts(
    path: Path, name: str, *, author: str = NOBODY, title: str | None = None, strip: int = 1
) -> list[Draft]:
    """Return the patches in one file, in its order; mails that change nothing (a cover letter) are left out.

    ``author`` and ``title`` are for diffs that name none; ``strip`` is how many steps of their paths are no part of
    the tree. Raises InvalidError with the place of what cannot be read, PatchctlError (exit code 9) for the disk.
    """
    content = _read(path, name)
    if is_mail(content):
        drafts = list(_mails(path, content, name, strip))
        if title is not None and len(drafts) == 1:
            return [retitled(drafts[0], title)]
        return drafts
    return [_plain(content, name, author, title, strip)]


def _read(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidError([Problem(name, 0, 0, f"is larger than {MAX_BYTES // 2**20} MiB")])
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PatchctlError(Code.USAGE, f"there is no {name}") from error
    except OSError as error:
        raise PatchctlError(Code.ENVIRONMENT, f"cannot read {name}: {error.strerror}") from error


def is_mail(content: bytes) -> bool:
    """Return whether the file is a mail or an mbox: it starts with ``From `` or with headers of a mail, two or more."""
    if content.startswith((b"From ", b">From ")):
        return True
    head = content.lstrip()[:65536].replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].split(b"\n")
    return bool(MAIL_HEADER.match(head[0])) and sum(bool(MAIL_HEADER.match(line)) for line in head) > 1


def retitled(draft: Draft, title: str) -> Draft:
    """Return the draft under another title; the message stays."""
    from dataclasses import replace

    return replace(draft, title=title)


# --- mails ------------------------------------------------------------------------------------------------------------


def _mails(path: Path, content: bytes, name: str, strip: int) -> Iterator[Draft]:
    with tempfile.TemporaryDirectory(prefix="patchctl-mail-") as folder:
        # Line ends of a mail that came with CRLF are the transport's; otherwise they are the file's own.
        keep = [] if b"\r\n" in content[:200] else ["--keep-cr"]
        run_git("mailsplit", *keep, "-d6", "-b", f"-o{folder}", "--", str(path.absolute()))
        mails = sorted(Path(folder).iterdir())
        for number, mail in enumerate(mails, 1):
            label = name if len(mails) == 1 else f"{name} (mail {number})"
            draft = _mail(mail, label, Path(folder), strip)
            if draft is not None:
                yield draft


def _mail(mail: Path, label: str, folder: Path, strip: int) -> Draft | None:
    message, patch = folder / "message", folder / "patch"
    words = ("mailinfo", "-b", "--encoding=UTF-8", "--no-scissors", str(message), str(patch))
    info = run_git(*words, stdin=mail.read_bytes(), accept=(0, 1, 128))
    if info.status:
        raise InvalidError([Problem(label, 0, 0, "cannot be read as a mail with a patch")])
    said = dict(line.split(": ", 1) for line in info.text().splitlines() if ": " in line)
    raw, body = patch.read_bytes(), message.read_text(encoding="utf-8", errors="replace")
    message.unlink()
    patch.unlink()
    subject = said.get("Subject", "")
    start = START.search(raw)
    if start is None:
        _check_cover(label, raw, subject)
        return None
    diff = GitDiff(raw[start.start() :], strip)
    _check_totals(label, raw[: start.start()], diff)
    author = f"{said.get('Author', '')} <{said.get('Email', '')}>"
    content = compose(diff.content, subject=subject, body=body, author=author, date=said.get("Date", ""))
    return Draft(subject, label, content)


def _check_cover(label: str, raw: bytes, subject: str) -> None:
    """A cover letter has no patch and needs none; a patch's mail that has none was cut off."""
    if TOTALS.search(raw) and not re.search(r"\b0+/\d+", subject) and raw.lstrip().startswith(b"---"):
        raise InvalidError([Problem(label, 0, 0, "is cut off: it counts changed files, and there is no diff of them")])


def _check_totals(label: str, before: bytes, diff: GitDiff) -> None:
    """Compare the diff with what the mail says of it: a mail cut off between two hunks looks whole otherwise."""
    found = TOTALS.findall(before)
    if not found:
        return
    meant = tuple(int(number or 0) for number in found[-1])
    holds = (diff.files, diff.added, diff.removed)
    if meant != holds:
        words = "{} files, {} lines added, {} removed"
        message = f"is cut off or edited: it says {words.format(*meant)}; it holds {words.format(*holds)}"
        raise InvalidError([Problem(label, 0, 0, message)])


# --- plain diffs ------------------------------------------------------------------------------------------------------


def _plain(content: bytes, name: str, author: str, title: str | None, strip: int) -> Draft:
    start = START.search(content)
    if start is None:
        raise InvalidError([Problem(name, 0, 0, "holds no patch: neither a mail nor a unified diff")])
    said, text = _header(content[: start.start()].decode("utf-8", "replace"))
    first, _, body = text.partition("\n")
    subject = title or first.strip() or _from_file(name.rsplit("/", 1)[-1])
    who = said.get("Author") or said.get("From") or author
    mail = compose(
        GitDiff(content[start.start() :], strip).content,
        subject=subject,
        body=body,
        author=who if "<" in who else author,
        date=_date(said.get("Last-Update") or said.get("Date") or ""),
    )
    return Draft(subject, name, mail)


def _header(text: str) -> tuple[dict[str, str], str]:
    """Return the fields of a header as Debian's DEP-3 has them, and the description or the free text instead."""
    said: dict[str, str] = {}
    free: list[str] = []
    in_description = False
    for line in text.splitlines():
        field = FIELD.match(line)
        if field:
            said.setdefault(field[1], field[2])
            in_description = field[1] in {"Description", "Subject"}
            free += [field[2]] if in_description else []
        elif in_description and line.startswith(" "):
            free.append("" if line.strip() == "." else line[1:])
        elif said and re.match(r"[A-Z][A-Za-z-]+: ", line):
            in_description = False
        elif line != "---":
            free.append(line)
    return said, "\n".join(free).strip()


def _from_file(file: str) -> str:
    stem = re.sub(r"(\.(patch|diff|txt|mbox))+$", "", file)
    return NUMBER.sub("", stem).replace("-", " ").replace("_", " ").strip() or stem


def _date(text: str) -> str:
    if email.utils.parsedate_tz(text):
        return text
    try:
        day = dt.datetime.strptime(text.strip()[:10], "%Y-%m-%d").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return ""
    return email.utils.format_datetime(day)
