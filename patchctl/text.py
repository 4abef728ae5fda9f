"""Text that others wrote, made safe to show: it cannot steer a terminal, nor give orders to a CI system."""

from __future__ import annotations

import re

# Controls, halves of characters, and the marks that end a line or turn its direction.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
COLOUR = re.compile("(\x1b\\[(?:[012]|[39][0-7])m)")  # what click writes; no other style is patchctl's
STYLE = re.compile("\x1b\\[[0-9;?]*[ -/]*[@-~]")
ORDER = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
USER = re.compile(r"(?<=://)(?!git@)[^/\s]+@")  # a password may hold an "@" itself


def visible(text: str) -> str:
    """Return ``text`` with controls written out (``\\x1b``), the ``::`` at the start of a line and ``##[`` parted."""
    return ORDER.sub(r"\1: ", UNSAFE.sub(_escaped, text.replace("\r\n", "\n"))).replace("##[", "# #[")


def one_line(text: str) -> str:
    """Return ``text`` as ``visible`` does, its line ends and tabs written out too."""
    return visible(text.replace("\n", "\\n").replace("\t", "\\t"))


def coloured(text: str) -> str:
    """Return ``text`` as ``visible`` does, but with the colours that patchctl itself put in."""
    return "".join(part if COLOUR.fullmatch(part) else visible(part) for part in COLOUR.split(text))


def uncoloured(text: str) -> str:
    """Return ``text`` as ``visible`` does, without the colours that programs put in."""
    return visible(STYLE.sub("", text))


def redacted(text: str) -> str:
    """Return ``text`` with nobody's name and password in its URLs: ``https://***@host/path``."""
    return USER.sub("***@", text)


def _escaped(found: re.Match[str]) -> str:
    number = ord(found.group())
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
