"""What the series stage hands to the build: one resulting commit and tree, and what went into them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AppliedPatch:
    """One patch as it went in: id, revision's file name (None by reference), SHA-256 of its bytes, outcome."""

    id: str
    revision: str | None
    sha256: str
    outcome: str


@dataclass(frozen=True)
class Source:
    """A patched tree: upstream's URL, base and build number, resulting commit and tree, patches, touched paths."""

    repo_url: str
    base: str
    build_number: int
    commit: str
    tree: str
    release: str
    patches: tuple[AppliedPatch, ...]
    touched: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Return what a binary shows: nine digits of the base, nine of the tree."""
        return f"{self.base[:9]}-{self.tree[:9]}"
