"""The ways in which ``mutate`` breaks patchctl, from ``mutants.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True)
class Edit:
    """Words that stand once in a file of the package, and what they become."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """What it breaks, how, and the rows that must notice it."""

    name: str
    breaks: str
    edits: tuple[Edit, ...]
    rows: tuple[str, ...]


def load() -> list[Mutant]:
    """Return all mutants in the order of the file."""
    raw = yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text(encoding="utf-8"))
    return [
        Mutant(one["name"], one["breaks"], tuple(Edit(**edit) for edit in one["edits"]), tuple(one["rows"]))
        for one in raw
    ]
