"""Figures as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def duration(seconds: float) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def size(count: float) -> str:
    """Return a number of bytes for people: ``123 B``, ``4.5 KiB``, ``67 MiB``."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.1f} {unit}" if count < 10 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def percent(ratio: float) -> str:
    """Return a ratio as a change: ``+3.2 %``, ``−1.0 %``."""
    change = 100 * (ratio - 1)
    return f"{'−' if change < 0 else '+'}{abs(change):.1f} %"


def reach(comparison: Mapping[str, Any]) -> str:
    """Return the interval of a comparison as changes; open where too little was measured."""
    low, high = comparison["low"], comparison["high"]
    return f"{percent(low) if low else '…'} to {percent(high) if high else '…'}"
