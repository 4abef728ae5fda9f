"""The rows of ``situations.yaml`` as values; a word that the notation does not have is an error."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROWS = Path(__file__).with_name("situations.yaml")
OUTCOMES = {"clean", "offset", "3way", "absorbed", "conflict", "blocked", None}
AUTHOR = "Ada Author <author@example.invalid>"

T = TypeVar("T")


@dataclass(frozen=True)
class Commit:
    """What one commit changes; the words are explained at the top of ``situations.yaml``."""

    subject: str = ""
    body: str = ""
    write: dict[str, str] = field(default_factory=dict)
    edit: dict[str, dict[str, Any]] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    rename: dict[str, str] = field(default_factory=dict)
    copy: dict[str, str] = field(default_factory=dict)
    mode: dict[str, int] = field(default_factory=dict)
    binary: dict[str, str] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)
    submodule: dict[str, str] = field(default_factory=dict)
    land: str | None = None
    revert: str | None = None


@dataclass(frozen=True)
class PatchRow:
    """One patch of the stack: where it was made, what it changes, how its file differs from git's, what comes of it."""

    id: str
    change: Commit
    outcome: str | None = None
    alone: str | None = None
    made: str = "b1"
    after: str | None = None
    from_: str | None = None
    requires: list[str] = field(default_factory=list)
    author: str = AUTHOR
    format: list[str] = field(default_factory=list)
    abbreviate: int | None = None
    trailers: bool = True
    mangle: dict[str, str] = field(default_factory=dict)
    mail: str = "one"
    number: int = 1
    also: list[PatchRow] = field(default_factory=list)
    revision: str | None = None
    verdict: str | None = None

    @property
    def file(self) -> str:
        """Return the name of the revision's file."""
        return f"{self.made}.patch" if self.number == 1 else f"{self.made}-{self.number}.patch"


@dataclass(frozen=True)
class Situation:
    """One row."""

    name: str
    why: str
    upstream: dict[str, Commit]
    base: str
    patches: list[PatchRow]
    exit: int
    onto: str | None = None
    allow: list[str] = field(default_factory=list)
    elsewhere: list[PatchRow] = field(default_factory=list)
    says: str | None = None
    leaves: Commit | None = None
    git_am: str | None = None
    culprit: str | None = None

    @property
    def target(self) -> str:
        """Return the name of the upstream commit that the stack is judged on."""
        return self.onto or self.base

    @property
    def hostile(self) -> bool:
        """Return whether the row holds something that git itself refuses or that no tool should be handed."""
        return self.exit in {3, 8}


@functools.cache
def load() -> tuple[Situation, ...]:
    """Return all rows in the order of the file."""
    rows = tuple(_situation(raw) for raw in yaml.safe_load(ROWS.read_text(encoding="utf-8")))
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        raise ValueError("two rows have one name")
    return rows


def _situation(raw: dict[str, Any]) -> Situation:
    values = dict(raw)
    values["upstream"] = {build: _value(Commit, words) for build, words in raw["upstream"].items()}
    values["patches"] = [_patch(words) for words in raw["patches"]]
    values["elsewhere"] = [_patch(words) for words in raw.get("elsewhere", [])]
    if "leaves" in raw:
        values["leaves"] = _value(Commit, raw["leaves"])
    return _value(Situation, values)


def _patch(raw: dict[str, Any]) -> PatchRow:
    names = {entry.name for entry in fields(Commit)}
    change = _value(Commit, {word: value for word, value in raw.items() if word in names})
    rest = {word: value for word, value in raw.items() if word not in names}
    if "from" in rest:
        rest["from_"] = rest.pop("from")
    also = [_patch({"id": f"{raw['id']}@{at}", **words}) for at, words in enumerate(raw.get("also", []), 1)]
    rest.setdefault("alone", rest.get("outcome"))
    if not {rest.get("outcome"), rest["alone"]} <= OUTCOMES:
        raise ValueError(f"{raw['id']}: no such outcome")
    return _value(PatchRow, {**rest, "also": also, "change": change})


def _value(kind: type[T], words: dict[str, Any]) -> T:
    """Return ``kind`` made of ``words``; a word it does not have is an error that names it."""
    return kind(**words)
