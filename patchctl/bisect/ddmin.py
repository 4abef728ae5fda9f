"""Delta debugging (Zeller and Hildebrandt, 2002): a failing set none of whose elements can be left out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def ddmin(elements: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return a part of ``elements``, which fail together, that still fails and of which each element is needed.

    ``fails`` is asked for parts only; one that cannot be tested has not failed.
    """
    left, parts = list(elements), 2
    while len(left) >= 2:
        smaller = _smaller(left, min(parts, len(left)), fails)
        if smaller is not None:
            left, parts = smaller
        elif parts >= len(left):
            break
        else:
            parts = min(parts * 2, len(left))
    return left


def _smaller(left: list[T], parts: int, fails: Callable[[Sequence[T]], bool]) -> tuple[list[T], int] | None:
    pieces = _split(left, parts)
    for piece in pieces:
        if fails(piece):
            return piece, 2
    if parts > 2:  # with two, the rest of one is the other
        for at in range(len(pieces)):
            rest = [element for other, piece in enumerate(pieces) if other != at for element in piece]
            if fails(rest):
                return rest, max(parts - 1, 2)
    return None


def _split(left: list[T], parts: int) -> list[list[T]]:
    size, more = divmod(len(left), parts)
    found, start = [], 0
    for at in range(parts):
        end = start + size + (at < more)
        found.append(left[start:end])
        start = end
    return found
