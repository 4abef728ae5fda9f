"""Whether an answer is what was asked for: JSON as a subset, text by regular expression."""

from __future__ import annotations

import json
import re
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 120  # characters of a value that a person wants to read in one line


def difference(expected: Any, actual: Any, place: str = "") -> str | None:
    """Return where and how ``actual`` is not what was expected, or None when it is.

    A mapping may have more keys than expected; lists have the same length; true is not 1, 1 is 1.0.
    """
    where = place or "the answer"
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _mappings(expected, actual, place)
    if isinstance(expected, list) and isinstance(actual, list):
        return _lists(expected, actual, place)
    if isinstance(expected, bool) is not isinstance(actual, bool) or expected != actual:
        return f"{where} is {brief(actual)}, not {brief(expected)}"
    return None


def _mappings(expected: dict[str, Any], actual: dict[str, Any], place: str) -> str | None:
    for key, value in expected.items():
        inner = f"{place}.{key}" if place else key
        if key not in actual:
            return f"{inner} is missing from {brief(actual)}"
        found = difference(value, actual[key], inner)
        if found:
            return found
    return None


def _lists(expected: list[Any], actual: list[Any], place: str) -> str | None:
    if len(expected) != len(actual):
        return f"{place or 'the answer'} has {len(actual)} entries, not {len(expected)}"
    pairs = enumerate(zip(expected, actual, strict=True))
    return next(filter(None, (difference(one, other, f"{place}[{at}]") for at, (one, other) in pairs)), None)


def brief(value: Any) -> str:
    """Return a value as JSON, cut to what fits a line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def unmatched(pattern: str, text: str) -> str | None:
    """Return how ``text`` does not match a regular expression, None when it does; ``^`` and ``$`` hold per line."""
    if re.search(pattern, text, re.MULTILINE):
        return None
    return f"{brief(text)} does not match {pattern}"


def value_at(value: Any, place: str) -> Any:
    """Return what stands at a place (``choices.0.message.content``); raises LookupError with the first step missing."""
    for number, step in enumerate(steps := place.split(".")):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise LookupError(".".join(steps[: number + 1]))
    return value


def parted(one: Any, other: Any) -> str:
    """Return where the first text that differs starts to, ready to follow a sentence; empty without such a text."""
    if isinstance(one, list) and isinstance(other, list):
        return next(filter(None, (parted(left, right) for left, right in zip(one, other, strict=False))), "")
    if not isinstance(one, str) or not isinstance(other, str) or one == other:
        return ""
    length = min(len(one), len(other))
    at = next((at for at in range(length) if one[at] != other[at]), length)
    return f"; they part at character {at + 1}"


def nmse(wanted: Sequence[float], actual: Sequence[float]) -> float:
    """Return the mean squared error over the variance of ``wanted``, a shift of all values left out of both.

    0 means the same but for the shift, 1 as bad as a constant; infinite where ``wanted`` is one.
    """
    middle, shift = fmean(wanted), fmean(actual)
    error = sum((a - shift - w + middle) ** 2 for w, a in zip(wanted, actual, strict=True))
    spread = sum((w - middle) ** 2 for w in wanted)
    return error / spread if spread else inf
