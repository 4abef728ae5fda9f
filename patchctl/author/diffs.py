"""Any unified diff as git writes it: a header for each file, ``a/`` and ``b/``, nothing between the files."""

from __future__ import annotations

import re

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
START = re.compile(rb"^(?:diff --git |diff -|Index: |--- \S)", re.MULTILINE)
# What diff, quilt and svn write around a file's change and git does not.
NOISE = (b"diff ", b"Index: ", b"=====", b"Only in ", b"Common subdirectories: ", b"Property changes on: ")


class GitDiff:
    """A diff normalised: ``content``, and how many ``files`` it changes and lines it has ``added`` and ``removed``.

    ``prefixed``: no path of another tool than git lacks its ``a/`` and ``b/``. ``dos``: its own lines end in CRLF, as
    no tool writes them: something on the way made them so.
    """

    def __init__(self, diff: bytes, strip: int = 1) -> None:
        self.lines = diff.split(b"\n")
        self.strip = strip
        self.at = 0
        self.out: list[bytes] = []
        self.files = self.added = self.removed = 0
        self.prefixed = True
        self.dos = self.lines[0].endswith(b"\r")
        self._headed = False
        while self.at < len(self.lines):
            self._step()
        self.content = b"\n".join(self.out)

    def _step(self) -> None:
        line = self.lines[self.at] = self.lines[self.at].rstrip(b"\r")
        if line.startswith(b"diff --git "):
            self._headed = True
            self.files += 1
            self._keep(line)
        elif line.startswith(b"--- ") and self._ahead(1, b"+++ ") and self._ahead(2, b"@@ -"):
            self._sides(line, self.lines[self.at + 1])
        elif HUNK.match(line):
            self._hunk(line)
        elif line.startswith(NOISE):
            self._headed = False
            self.at += 1
        else:
            self._keep(line)

    def _ahead(self, count: int, prefix: bytes) -> bool:
        at = self.at + count
        return at < len(self.lines) and self.lines[at].startswith(prefix)

    def _keep(self, line: bytes) -> None:
        self.out.append(line)
        self.at += 1

    def _sides(self, old: bytes, new: bytes) -> None:
        """Write the header that git would have written, where there is none."""
        if self._headed and self.strip == 1:
            self.out += [old, new.rstrip(b"\r")]
        else:
            self._header(self._path(old), self._path(new))
        self._headed = False
        self.at += 2

    def _header(self, old: bytes | None, new: bytes | None) -> None:
        found = HUNK.match(self.lines[self.at]) or HUNK.match(self.lines[self.at + 2])
        ranges = found.groups() if found else (b"1", None, b"1", None)
        made = old is None or ranges[:2] == (b"0", b"0")
        gone = new is None or ranges[2:] == (b"0", b"0")
        path = new or old or b""
        if not self._headed:
            self.files += 1
            self.out.append(b"diff --git a/%s b/%s" % (path, path))
            self.out += [b"new file mode 100644"] if made else [b"deleted file mode 100644"] if gone else []
        self.out.append(b"--- /dev/null" if made else b"--- a/" + path)
        self.out.append(b"+++ /dev/null" if gone else b"+++ b/" + path)

    def _path(self, line: bytes) -> bytes | None:
        name = line[4:].split(b"\t", 1)[0].rstrip()
        if name == b"/dev/null":
            return None
        self.prefixed &= name.startswith((b"a/", b"b/"))
        return b"/".join(name.split(b"/")[self.strip :]) or name

    def _hunk(self, line: bytes) -> None:
        found = HUNK.match(line)
        old, new = (int(found[at] or 1) for at in (2, 4)) if found else (0, 0)
        self._keep(line)
        while (old > 0 or new > 0) and self.at < len(self.lines):
            kind = self.lines[self.at][:1]
            old -= kind in {b" ", b"-", b""}
            new -= kind in {b" ", b"+", b""}
            self.added += kind == b"+"
            self.removed += kind == b"-"
            self._keep(self.lines[self.at])
