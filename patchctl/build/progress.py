"""What the long steps of a build tell whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Progress:
    """How far one step of one variant is; ``total`` 0 means that there is nothing to count; times are seconds."""

    variant: str
    step: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    eta: float | None = None


if TYPE_CHECKING:
    Watcher = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Watch nothing."""
    del progress
