"""From a file (a mail, an mbox with several, a plain diff) to drafts; mails are read as ``git am`` reads them."""

from __future__ import annotations

import datetime as dt
import email.utils
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.author.dep3 import AUTHOR, DATE, TEXT, mail_header, read_header
from patchctl.author.diffs import START, GitDiff
from patchctl.author.draft import NOBODY, Draft, compose
from patchctl.author.reverse import reversed_diff
from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.git import run_git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patchctl.author.dep3 import Said

MAX_BYTES = 256 * 2**20
MAIL_HEADER = re.compile(rb"^(?:From|Subject|Date|Message-ID|Received|Return-Path): ", re.IGNORECASE)
TOTALS = re.compile(rb"^ (\d+) files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?$", re.MULTILINE)
NUMBER = re.compile(r"^\d+[-_. ]*")
BACK = "Its series takes this patch back (-R):"
# Other ways to read a diff that does not say how it is meant.
AS_WRITTEN, LINE_ENDS = "its paths as they are written (-p0)", "its line ends as LF"


@dataclass(frozen=True)
class Way:
    """How a file is to be read.

    ``author`` and ``title`` are for diffs that name none; ``strip`` is how many steps of their paths are no part of the
    tree (None: nobody says, so one, as git and quilt have it), ``reverse`` that the patch is to be taken back.
    """

    author: str = NOBODY
    title: str | None = None
    strip: int | None = None
    reverse: bool = False


def read_drafts(path: Path, name: str, way: Way) -> list[Draft]:
    """Return the patches in one file, in its order; mails that change nothing (a cover letter) are left out.

    Raises InvalidError with the place of what cannot be read, PatchctlError (exit code 9) for the disk.
    """
    content = _read(path, name)
    if is_mail(content):
        drafts = list(_mails(path, content, name, way))
        if way.title is not None and len(drafts) == 1:
            return [retitled(drafts[0], way.title)]
        return drafts
    return [_plain(content, name, way)]


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
    return replace(draft, title=title)


def _draft(name: str, raw: bytes, way: Way, said: Said, **told: str) -> Draft:
    """Return the draft of a diff: as it is read at first, and in which other ways it can be."""
    first = GitDiff(raw, 1 if way.strip is None else way.strip)
    subject = told["subject"]
    if way.reverse:
        told = {**told, "subject": f'Revert "{subject}"', "body": f"{BACK}\n\n{told['body']}".strip()}
        said = said.taken_back()

    def mail(diff: GitDiff) -> bytes:
        return compose(reversed_diff(diff.content, name) if way.reverse else diff.content, **told)

    bare = way.strip is None and not first.prefixed
    readings = [(AS_WRITTEN, mail(GitDiff(raw, 0)))] if bare else []
    if first.dos:
        plain = raw.replace(b"\r\n", b"\n")
        readings.append((LINE_ENDS, mail(GitDiff(plain, first.strip))))
        readings += [(f"{AS_WRITTEN}, {LINE_ENDS}", mail(GitDiff(plain, 0)))] if bare else []
    return Draft(told["subject"], name, mail(first), said=said, readings=tuple(readings))


# --- mails ------------------------------------------------------------------------------------------------------------


def _mails(path: Path, content: bytes, name: str, way: Way) -> Iterator[Draft]:
    with tempfile.TemporaryDirectory(prefix="patchctl-mail-") as folder:
        # Line ends of a mail that came with CRLF are the transport's; otherwise they are the file's own.
        keep = [] if b"\r\n" in content[:200] else ["--keep-cr"]
        run_git("mailsplit", *keep, "-d6", "-b", f"-o{folder}", "--", str(path.absolute()))
        mails = sorted(Path(folder).iterdir())
        for number, mail in enumerate(mails, 1):
            label = name if len(mails) == 1 else f"{name} (mail {number})"
            draft = _mail(mail, label, Path(folder), way)
            if draft is not None:
                yield draft


def _mail(mail: Path, label: str, folder: Path, way: Way) -> Draft | None:
    message, patch = folder / "message", folder / "patch"
    words = ("mailinfo", "-b", "--encoding=UTF-8", "--no-scissors", str(message), str(patch))
    content = mail.read_bytes()
    info = run_git(*words, stdin=content, accept=(0, 1, 128))
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
    diff = raw[start.start() :]
    _check_totals(label, raw[: start.start()], GitDiff(diff))
    author, date = f"{said.get('Author', '')} <{said.get('Email', '')}>", said.get("Date", "")
    header = mail_header(content)
    known = header.said((TEXT, subject), (DATE, _day(date)))
    return _draft(label, diff, way, known, subject=subject, body=body, author=author, date=date)


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


def _plain(content: bytes, name: str, way: Way) -> Draft:
    start = START.search(content)
    if start is None:
        raise InvalidError([Problem(name, 0, 0, "holds no patch: neither a mail nor a unified diff")])
    header = read_header(content[: start.start()].decode("utf-8", "replace"))
    first, _, body = header.text.partition("\n")
    subject = way.title or first.strip() or _from_file(name.rsplit("/", 1)[-1])
    author, day = header.first(*AUTHOR), header.first(*DATE)
    who, date = author if "<" in author else way.author, _date(day)
    said = header.said((TEXT, header.first(*TEXT)), (AUTHOR, who), (DATE, day if date else ""))
    return _draft(name, content[start.start() :], way, said, subject=subject, body=body, author=who, date=date)


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


def _day(date: str) -> str:
    """Return the day of a mail's date as DEP-3 writes it, or nothing."""
    found = email.utils.parsedate_tz(date)
    return f"{found[0]:04}-{found[1]:02}-{found[2]:02}" if found else ""
