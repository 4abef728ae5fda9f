"""What the header of a patch says besides its text, in the fields of DEP-3 (https://dep-team.pages.debian.net/deps/dep3/).

What a page has a place for goes there, all else into its text: nothing that somebody wrote down is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

FIELD = re.compile(r"([A-Za-z][\w-]*):(?:[ \t]+(.*))?")
NAMES = re.compile(
    r"description|subject|origin|bug(-[\w-]+)?|forwarded|author|from|reviewed-by|acked-by|last-update|applied-upstream"
    r"|date"
)
# In the headers of a mail these are git's, which reads them itself.
GIT = {"subject", "from", "date"}
TEXT, AUTHOR, DATE = ("description", "subject"), ("author", "from"), ("last-update", "date")
COMMIT = re.compile(r"commit: *([0-9a-f]{40})\b")
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)/(pull|issues)/([1-9][0-9]*)\b[/?#\w.-]*")
# What a field says that needs no place: the kind of an origin that is named, what goes without saying.
EMPTY = {"origin": {"backport", "upstream", "other", "vendor"}, "forwarded": {"no"}}


@dataclass(frozen=True)
class Said:
    """What a header says: the pull request and commit it comes from, the one that has it, issues; and all the rest."""

    pr: str | None = None
    commit: str | None = None
    landed: str | None = None
    issues: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()

    def taken_back(self) -> Said:
        """Return it as words alone: what came from a commit, and landed as one, is not the reverse of that."""
        names = {"pull request": self.pr, "from": self.commit, "landed as": self.landed}
        told = (f"What it takes back, {name}: {value}" for name, value in names.items() if value)
        return Said(issues=self.issues, rest=(*told, *self.rest))


NOTHING = Said()


@dataclass(frozen=True)
class Header:
    """The fields of a header in order, by their names in lower case, and the text that belongs to none."""

    fields: tuple[tuple[str, str], ...] = ()
    free: str = ""

    def first(self, *names: str) -> str:
        """Return the value of the first of these names that there is, else nothing."""
        return next((value for name in names for field, value in self.fields if field == name), "")

    @property
    def text(self) -> str:
        """Return the description and the text after it."""
        return "\n".join(filter(None, (self.first(*TEXT), self.free))).strip()

    def said(self, *spent: tuple[tuple[str, ...], str]) -> Said:
        """Return what the fields say for a page; a field of ``spent`` names with that value is known otherwise."""
        told = NOTHING
        for name, value in self.fields:
            if not any(name in names and value == known for names, known in spent):
                told = _told(told, name, value)
        return told


def read_header(text: str) -> Header:
    """Return the header of a plain patch, all that stands before its diff."""
    fields: list[tuple[str, str]] = []
    free: list[str] = []
    is_open = False
    for line in text.splitlines():
        found = FIELD.fullmatch(line)
        # What no standard knows is a field beside one, and a sentence elsewhere.
        if found and (NAMES.fullmatch(found[1].lower()) or (is_open and found[1][0].isupper())):
            fields.append((found[1].lower(), found[2] or ""))
            is_open = True
        elif is_open and line[:1] in {" ", "\t"}:
            name, value = fields.pop()
            fields.append((name, f"{value}\n{'' if line.strip() == '.' else line[1:]}"))
        elif line != "---":
            free.append(line)
            is_open = False
    return Header(tuple(fields), "\n".join(free).strip())


def mail_header(mail: bytes) -> Header:
    """Return the fields of DEP-3 among the headers of a mail; those that git reads are left to it."""
    from patchctl.manifest.mail import decode_header

    head = re.sub(rb"\r?\n[ \t]+", b" ", mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0])
    found = filter(None, (FIELD.fullmatch(decode_header(line)) for line in head.split(b"\n")))
    pairs = ((field[1].lower(), (field[2] or "").strip()) for field in found)
    return Header(tuple((name, value) for name, value in pairs if NAMES.fullmatch(name) and name not in GIT))


def _told(told: Said, name: str, value: str) -> Said:
    """Return what is known with one field more."""
    commit, place = COMMIT.search(value), GITHUB.search(value)
    known = ""
    if commit and name in {"origin", "applied-upstream"}:
        told = replace(told, commit=commit[1]) if name == "origin" else replace(told, landed=commit[1])
        known = commit[0]
    elif place and place[2] == "pull" and name in {"origin", "forwarded"}:
        told = replace(told, pr=told.pr or f"{place[1]}#{place[3]}")
        known = place[0]
    elif place and name.startswith("bug"):
        told = replace(told, issues=(*told.issues, f"{place[1]}#{place[3]}"))
        known = place[0]
    left = value.replace(known, "").strip(" ,\n")
    goes_without_saying = {*EMPTY.get(name, ()), *({"not-needed"} if told.commit and name == "forwarded" else ())}
    if left and left not in goes_without_saying:
        told = replace(told, rest=(*told.rest, f"{name.title()}: {' '.join(value.split())}"))
    return told
