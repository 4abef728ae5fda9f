"""Whether an answer is what was asked for: JSON as a subset, text by regular expression."""

from __future__ import annotations

import json
import re
from typing import Any

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
