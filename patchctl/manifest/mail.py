"""How git and mailers write names, dates, text, paths and bytes: decoding, all of it pure."""

from __future__ import annotations

import calendar
import contextlib
import re
import zlib

DAY = 24 * 3600
MAX_BYTES = 64 * 2**20


def decode_text(raw: bytes, content_type: str) -> str:
    """Return text in the charset of a Content-Type header, or else in UTF-8 or Latin-1; a commit can hold it."""
    charset = re.search(r"charset=\"?([\w.-]+)", content_type)
    for name in filter(None, (charset and charset[1], "utf-8", "latin-1")):
        with contextlib.suppress(ValueError, LookupError):
            text = raw.decode(name)
            text.encode()  # some encodings give halves of characters, which no commit can hold
            return text
    return raw.decode("utf-8", "replace")


def decode_header(raw: bytes) -> str:
    """Return a header as text: RFC 2047 words decoded, raw bytes as UTF-8 or else Latin-1."""
    text = decode_text(raw, "")
    if "=?" not in text:
        return text
    import email.errors
    import email.header

    try:
        decoded = str(email.header.make_header(email.header.decode_header(text)))
        decoded.encode()
    except (email.errors.HeaderParseError, LookupError, ValueError):
        return text
    return decoded


def author_of(headers: dict[str, str]) -> tuple[str, str]:
    """Return name and address as git cleans them: without the bytes that delimit them in a commit."""
    found = re.match(r"\s*(.*?)\s*<([^<>\n]*)>", headers.get("from", ""))
    name, address = (found[1], found[2]) if found else _bare_address(headers.get("from", ""))
    quoted = re.fullmatch(r'"(.*)"', name, re.DOTALL)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else name
    name = re.sub(r"[<>\n\0]", "", name).strip().strip('"').strip(" .,:;'")
    address = re.sub(r"[<>\s\0]", "", address)
    return name or address.split("@")[0], address


def _bare_address(header: str) -> tuple[str, str]:
    import email.utils

    return email.utils.parseaddr(header)


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# As git writes it; other mailers' dates are for the library, which takes longer to load than a patch to judge.
GIT_DATE = re.compile(
    rf"[A-Z][a-z]{{2}}, ([0-9]{{1,2}}) ({'|'.join(MONTHS)}) ([1-9][0-9]{{3}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"
)


def _moment(date: str) -> tuple[int, int] | None:
    """Return the seconds since 1970 and the zone's offset in seconds, or None where there is no such moment."""
    found = GIT_DATE.fullmatch(date)
    try:
        if found is None:
            return _other_moment(date)
        day, hour, minute, second, hours, minutes = map(int, found.group(1, 4, 5, 6, 8, 9))
        offset = (hours * 60 + minutes) * (-60 if found[7] == "-" else 60)
        month = MONTHS.index(found[2]) + 1
        return calendar.timegm((int(found[3]), month, day, hour, minute, second)) - offset, offset
    except (ValueError, OverflowError):
        return None


def _other_moment(date: str) -> tuple[int, int] | None:
    import email.utils

    found = email.utils.parsedate_tz(date)
    return (email.utils.mktime_tz(found), found[9] or 0) if found else None


def date_of(headers: dict[str, str]) -> tuple[int, str] | None:
    """Return the seconds since 1970 and the zone (``+0130``) of a mail, None where it has no date a commit can have."""
    found = _moment(headers.get("date", ""))
    if found is None:
        return None
    seconds, offset = found
    if seconds < 0 or abs(offset) >= DAY:
        return None
    sign = "-" if offset < 0 else "+"
    minutes = abs(offset) // 60
    return seconds, f"{sign}{minutes // 60:02}{minutes % 60:02}"


def base85(line: bytes) -> bytes:
    """Return the bytes of one line of git's base 85: a length letter (A-Z 1-26, a-z 27-52), then the digits."""
    import base64

    count = line[0] - 64 if line[:1].isupper() else line[0] - 70
    try:
        return base64.b85decode(line[1:])[: max(count, 0)]
    except ValueError:
        return b""


def inflate(packed: bytes, size: int) -> bytes | None:
    """Return the ``size`` bytes that were packed, None when they are damaged or more than 64 MiB."""
    if size > MAX_BYTES:
        return None
    try:
        content = zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error:
        return None
    return content if len(content) == size else None


def side_path(path: bytes, prefix: bytes) -> str | None:
    """Return the path of a ``---`` or ``+++`` line: without its prefix, None for /dev/null."""
    name = unquote(path.split(b"\t", 1)[0])
    return None if name == "/dev/null" else name.removeprefix(prefix.decode())


def header_paths(line: bytes) -> tuple[str, str]:
    """Return both paths of a ``diff --git`` line; without a rename both are the same, which is what splits it."""
    rest = line[len(b"diff --git ") :]
    if rest.startswith(b'"') or rest.endswith(b'"'):
        quoted = re.fullmatch(rb'("(?:[^"\\]|\\.)*"|\S+) ("(?:[^"\\]|\\.)*"|.+)', rest)
        old, new = (quoted[1], quoted[2]) if quoted else (b"", b"")
    else:
        middle = len(rest) // 2
        old, new = (rest[:middle], rest[middle + 1 :]) if rest[2:middle] == rest[middle + 3 :] else (b"", b"")
    return unquote(old).removeprefix("a/"), unquote(new).removeprefix("b/")


_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}


def unquote(path: bytes) -> str:
    """Return a path as git quotes it (C style when it has odd bytes); other encodings survive as surrogates."""
    if path.startswith(b'"') and path.endswith(b'"') and len(path) > 1:

        def plain(found: re.Match[bytes]) -> bytes:
            code = found[1]
            return bytes([int(code, 8) & 255]) if code[:1].isdigit() else _ESCAPES.get(code, code)

        path = re.sub(rb"\\([0-7]{3}|.)", plain, path[1:-1])
    return path.decode("utf-8", "surrogateescape")
