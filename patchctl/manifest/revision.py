"""Read one revision: a mail by ``git format-patch`` with exactly one commit, as data, without running anything.

The format is git's own: Documentation/diff-format and Documentation/git-format-patch ("BASE TREE INFORMATION").
Line ends belong to lines, so a missing one at the end of a file is a line without it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from patchctl.errors import InvalidError, Problem
from patchctl.files import read_regular
from patchctl.manifest.mail import (
    MAX_BYTES,
    author_of,
    base85,
    date_of,
    decode_header,
    decode_text,
    header_paths,
    inflate,
    side_path,
    unquote,
)

if TYPE_CHECKING:
    from pathlib import Path

FROM_LINE = re.compile(rb"From [0-9a-f]{40} Mon Sep 17 00:00:00 2001\r?$")
HUNK = re.compile(rb"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
INDEX = re.compile(rb"index ([0-9a-f]+)\.\.([0-9a-f]+)(?: (\d{6}))?$")
TRAILER = re.compile(rb"(base-commit|prerequisite-patch-id): ([0-9a-f]{40})$")
BINARY = re.compile(rb"(literal|delta) (\d{1,12})$")
PREFIX = re.compile(r"^\[[^\]]*PATCH[^\]]*\]\s*")
MODE = re.compile(r"[0-7]{6}")
EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@dataclass(frozen=True)
class Hunk:
    """Lines (with their ends) replaced by other lines; ``start`` counts from 0; ``line`` is its place in the file."""

    start: int
    old: tuple[bytes, ...]
    new: tuple[bytes, ...]
    leading: int
    trailing: int
    line: int


@dataclass(frozen=True)
class Binary:
    """A binary change as git wrote it: the new content, or a delta on the old one; inflated."""

    kind: str
    size: int
    content: bytes


@dataclass(frozen=True)
class Change:
    """What a revision does to one path; ``old_path`` is None for a new file, ``new_path`` for a deleted one."""

    old_path: str | None
    new_path: str | None
    old_mode: str | None
    new_mode: str | None
    old_oid: str
    new_oid: str
    hunks: tuple[Hunk, ...]
    binary: Binary | None
    is_copy: bool
    line: int

    @property
    def path(self) -> str:
        """Return the path a person would name: the new one, for a deletion the old."""
        return self.new_path or self.old_path or ""


@dataclass(frozen=True)
class Revision:
    """One commit as data: who, when (seconds since 1970 and zone, or None), what it says, what it changes."""

    author: str
    email: str
    date: tuple[int, str] | None
    message: str
    changes: tuple[Change, ...]
    base_commit: str | None
    prerequisites: tuple[str, ...]
    sha256: str
    content: bytes = field(repr=False)

    @property
    def subject(self) -> str:
        """Return the first line of the message."""
        return self.message.split("\n", 1)[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """Return every path the revision reads or writes, sorted."""
        named = {path for change in self.changes for path in (change.old_path, change.new_path) if path}
        return tuple(sorted(named))


def parse_file(path: Path, name: str | None = None) -> Revision:
    """Return the revision in ``path``; ``name`` is what errors call it.

    Raises InvalidError with every problem found, PatchctlError (exit code 9) when it cannot be read.
    """
    name = name or str(path)
    return parse(read_regular(path, name, MAX_BYTES), name)


def parse(content: bytes, name: str) -> Revision:
    """Return the revision that ``content`` holds; raises InvalidError with every problem found."""
    if len(content) > MAX_BYTES:
        raise InvalidError([Problem(name, 0, 0, f"larger than {MAX_BYTES // 2**20} MiB")])
    return _Parser(content, name).revision()


class _Parser:
    """Walks the lines once: mail headers, message, file changes, trailers."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name
        self.lines = content.split(b"\n")
        if self.lines[-1] == b"":
            self.lines.pop()
        self.at = 0
        self.problems: list[Problem] = []
        self.changes: list[Change] = []
        self.base_commit: str | None = None
        self.prerequisites: list[str] = []

    def revision(self) -> Revision:
        headers, message = self._mail()
        self._diffs()
        if not self.changes and not self.problems:
            self._problem("changes nothing: no diff in it", line=0)
        if "\0" in message:
            self._problem("its message holds a NUL byte, which no commit can", line=1)
        author, address = author_of(headers)
        if not address and headers:
            self._problem("no author: the From: header has no address", line=1)
        if self.problems:
            raise InvalidError(sorted(self.problems))
        return Revision(
            author=author,
            email=address,
            date=date_of(headers),
            message=message,
            changes=tuple(self.changes),
            base_commit=self.base_commit,
            prerequisites=tuple(self.prerequisites),
            sha256=hashlib.sha256(self.content).hexdigest(),
            content=self.content,
        )

    def _problem(self, message: str, line: int | None = None, column: int = 1) -> None:
        place = min(self.at + 1, max(len(self.lines), 1)) if line is None else line
        self.problems.append(Problem(self.name, place, column if place else 0, message))

    def _peek(self) -> bytes | None:
        return self.lines[self.at] if self.at < len(self.lines) else None

    # --- the mail -------------------------------------------------------------------------------------------------

    def _mail(self) -> tuple[dict[str, str], str]:
        first = self._peek()
        if first is None or not FROM_LINE.match(first):
            self._problem("holds no commit: not a mail by git format-patch; patchctl import makes one of it", line=1)
            return {}, ""
        if first.endswith(b"\r"):
            self._problem("its line ends were converted to CRLF; save the mail as it was sent", line=1)
            raise InvalidError(self.problems)
        self.at = 1
        headers = self._headers()
        encoding = headers.get("content-transfer-encoding", "8bit").strip().lower()
        if encoding not in {"7bit", "8bit", "binary"}:
            self._problem(f"its text is encoded ({encoding}); patchctl import decodes it", line=1)
        return headers, self._message(headers)

    def _headers(self) -> dict[str, str]:
        found: dict[str, list[bytes]] = {}
        last: list[bytes] = []
        while (line := self._peek()) is not None and line != b"":
            if line[:1] in b" \t" and last:
                last.append(line.strip())
            else:
                key, _, value = line.partition(b":")
                last = found.setdefault(key.decode("ascii", "replace").strip().lower(), [])
                last.append(value.strip())
            self.at += 1
        return {key: decode_header(b" ".join(parts)) for key, parts in found.items()}

    def _message(self, headers: dict[str, str]) -> str:
        body: list[bytes] = []
        while (line := self._peek()) is not None:
            if line == b"---" or line.startswith((b"diff --git ", b"--- a/")) or FROM_LINE.match(line):
                break
            body.append(line)
            self.at += 1
        text = decode_text(b"\n".join(body), headers.get("content-type", "")).strip("\n")
        in_body = re.match(r"From: (.+)\n\n?", text)
        if in_body:
            headers["from"] = in_body.group(1)
            text = text[in_body.end() :]
        subject = PREFIX.sub("", " ".join(headers.get("subject", "").split()))
        lines = [line.rstrip() for line in text.strip("\n").split("\n")]
        return "\n".join([subject, "", *lines]).strip("\n") if any(lines) else subject

    # --- the diffs ------------------------------------------------------------------------------------------------

    def _diffs(self) -> None:
        while (line := self._peek()) is not None:
            if line.startswith(b"diff --git "):
                self._change()
            elif FROM_LINE.match(line):
                self._problem("holds a second commit; one revision is one commit (patchctl import splits it)")
                return
            elif self.changes and line == b"-- ":
                self._signature()
            else:
                self._between(line)
                self.at += 1

    def _signature(self) -> None:
        self.at += 2
        while (line := self._peek()) is not None and not FROM_LINE.match(line):
            self._trailer(line)
            self.at += 1

    def _between(self, line: bytes) -> None:
        if self._trailer(line) or not self.changes:
            return
        if line.strip():
            self._problem("this line belongs to no diff; the hunk before it has wrong counts, or the mail was edited")

    def _trailer(self, line: bytes) -> bool:
        found = TRAILER.match(line)
        if found and found.group(1) == b"base-commit":
            self.base_commit = found.group(2).decode()
        elif found:
            self.prerequisites.append(found.group(2).decode())
        return bool(found)

    def _change(self) -> None:
        start = self.at + 1
        header = _Header(*header_paths(self.lines[self.at]))
        self.at += 1
        while (line := self._peek()) is not None and header.take(line):
            self.at += 1
        binary = None
        if line == b"GIT binary patch":
            binary = self._binary()
        elif line is not None and line.startswith(b"Binary files "):
            self._problem("a binary file without its content; write the patch with git format-patch --binary")
            self.at += 1
        hunks = self._hunks()
        change = header.change(hunks, binary, start)
        if change.path == "":
            self._problem("cannot tell which file this is about", line=start)
        self._check_index(change)
        self._check_content(change)
        self.changes.append(change)

    def _check_index(self, change: Change) -> None:
        for oid in (change.old_oid, change.new_oid):
            if oid and len(oid) < 40 and change.binary is not None:
                self._problem("a binary change needs full object ids; write it with --full-index", line=change.line)
                return

    def _check_content(self, change: Change) -> None:
        for mode in filter(None, (change.old_mode, change.new_mode)):
            if not MODE.fullmatch(mode):
                self._problem(f'"{mode}" is no mode of a file', line=change.line)
        ids = [oid for oid in (change.old_oid, change.new_oid) if not EMPTY_BLOB.startswith(oid)]
        if ids and not change.hunks and change.binary is None and change.old_oid != change.new_oid:
            self._problem("its index line names a change, but none follows; the mail was edited", line=change.line)

    def _hunks(self) -> tuple[Hunk, ...]:
        hunks: list[Hunk] = []
        while (line := self._peek()) is not None and (found := HUNK.match(line)):
            hunk = self._hunk(found)
            if hunk is None:
                break
            hunks.append(hunk)
        return tuple(hunks)

    def _hunk(self, found: re.Match[bytes]) -> Hunk | None:
        line = self.at + 1
        start, old_count, new_count = int(found[1]), int(found[2] or 1), int(found[4] or 1)
        self.at += 1
        old: list[bytes] = []
        new: list[bytes] = []
        kinds: list[bytes] = []
        while len(old) < old_count or len(new) < new_count or self._peek_is_no_newline():
            text = self._peek()
            if text is None or not self._body_line(text, old, new, kinds):
                self._problem("a hunk ends too early: its line counts are wrong, or the mail was edited", line=line)
                return None
            self.at += 1
        if len(old) > old_count or len(new) > new_count:
            self._problem("a hunk has more lines than it says", line=line)
            return None
        leading = next((n for n, kind in enumerate(kinds) if kind != b" "), len(kinds))
        trailing = next((n for n, kind in enumerate(reversed(kinds)) if kind != b" "), len(kinds))
        first = start - 1 if old_count else start
        return Hunk(max(first, 0), tuple(old), tuple(new), leading, trailing, line)

    def _peek_is_no_newline(self) -> bool:
        return (self._peek() or b"").startswith(b"\\ ")

    @staticmethod
    def _body_line(text: bytes, old: list[bytes], new: list[bytes], kinds: list[bytes]) -> bool:
        kind, content = text[:1], text[1:] + b"\n"
        if kind == b"\\":
            if not kinds:
                return False
            for side in (old, new) if kinds[-1] == b" " else (old,) if kinds[-1] == b"-" else (new,):
                side[-1] = side[-1].removesuffix(b"\n")
            return True
        # Mailers strip the space of an empty context line; git accepts that too.
        kind = kind or b" "
        if kind not in b" +-":
            return False
        kinds.append(kind)
        if kind != b"+":
            old.append(content)
        if kind != b"-":
            new.append(content)
        return True

    def _binary(self) -> Binary | None:
        self.at += 1
        first = self._binary_hunk()
        if first is None:
            self._problem("a binary change that cannot be read")
            return None
        if BINARY.match(self._peek() or b""):
            self._binary_hunk()  # how to go back; not needed
        return first

    def _binary_hunk(self) -> Binary | None:
        found = BINARY.match(self._peek() or b"")
        if not found:
            return None
        self.at += 1
        packed = bytearray()
        while line := self._peek():
            packed += base85(line)
            self.at += 1
        if self._peek() == b"":
            self.at += 1
        content = inflate(bytes(packed), int(found[2]))
        return None if content is None else Binary(found[1].decode(), int(found[2]), content)


class _Header:
    """The lines between ``diff --git`` and the first hunk of one file."""

    def __init__(self, old_path: str, new_path: str) -> None:
        self.old_path: str | None = old_path
        self.new_path: str | None = new_path
        self.old_mode: str | None = None
        self.new_mode: str | None = None
        self.oids = ("", "")
        self.is_copy = False

    def take(self, line: bytes) -> bool:
        """Read one header line; False when the line is none."""
        for prefix, action in _HEADER_LINES:
            if line.startswith(prefix):
                action(self, line[len(prefix) :])
                return True
        found = INDEX.match(line)
        if found:
            self.oids = (found[1].decode(), found[2].decode())
            if found[3]:
                self.old_mode = self.new_mode = found[3].decode()
        return bool(found)

    def added(self, mode: bytes) -> None:
        self.old_path, self.new_mode = None, mode.decode("ascii", "replace")

    def deleted(self, mode: bytes) -> None:
        self.new_path, self.old_mode = None, mode.decode("ascii", "replace")

    def mode_from(self, mode: bytes) -> None:
        self.old_mode = mode.decode("ascii", "replace")

    def mode_to(self, mode: bytes) -> None:
        self.new_mode = mode.decode("ascii", "replace")

    def moved_from(self, path: bytes) -> None:
        self.old_path = unquote(path)

    def moved_to(self, path: bytes) -> None:
        self.new_path = unquote(path)

    def copied_from(self, path: bytes) -> None:
        self.old_path, self.is_copy = unquote(path), True

    def minus(self, path: bytes) -> None:
        self.old_path = side_path(path, b"a/")

    def plus(self, path: bytes) -> None:
        self.new_path = side_path(path, b"b/")

    def ignore(self, _: bytes) -> None:
        """Similarity is derived; nothing to keep."""

    def change(self, hunks: tuple[Hunk, ...], binary: Binary | None, line: int) -> Change:
        """Return what was read as one change."""
        if hunks or binary:
            old_mode, new_mode = self.old_mode, self.new_mode or self.old_mode
        else:
            old_mode, new_mode = self.old_mode, self.new_mode
        old_oid, new_oid = ("" if set(oid) == {"0"} else oid for oid in self.oids)
        return Change(
            self.old_path, self.new_path, old_mode if self.old_path else None, new_mode if self.new_path else None,
            old_oid, new_oid, hunks, binary, self.is_copy, line,
        )  # fmt: skip


_HEADER_LINES = (
    (b"new file mode ", _Header.added),
    (b"deleted file mode ", _Header.deleted),
    (b"old mode ", _Header.mode_from),
    (b"new mode ", _Header.mode_to),
    (b"rename from ", _Header.moved_from),
    (b"rename to ", _Header.moved_to),
    (b"copy from ", _Header.copied_from),
    (b"copy to ", _Header.moved_to),
    (b"similarity index ", _Header.ignore),
    (b"dissimilarity index ", _Header.ignore),
    (b"--- ", _Header.minus),
    (b"+++ ", _Header.plus),
)
