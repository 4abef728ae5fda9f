"""Placeholders in tests: ``{bin}`` stands for a value, ``{{bin}}`` for the word itself, any other brace for a brace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from patchctl.errors import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Only a word in braces is one, so that JSON, regular expressions (a{3}) and shell scripts need no escapes.
PLACEHOLDER = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
NAMES = ("bin", "out", "server", "port", "models", "here", "identity", "build", "base", "python")


class PlaceholderError(ValueError):
    """A placeholder that stands for nothing here; the message names it and those that do."""


def fill(text: str, values: Mapping[str, str], *, quote: Callable[[str], str] = str) -> str:
    """Return ``text`` with each placeholder replaced by its quoted value; raises PlaceholderError."""

    def one(found: re.Match[str]) -> str:
        literal, name = found.groups()
        if literal is not None:
            return f"{{{literal}}}"
        if name not in values:
            raise PlaceholderError(_unknown(name, values))
        return quote(values[name])

    return PLACEHOLDER.sub(one, text)


def fill_pattern(text: str, values: Mapping[str, str]) -> str:
    """Return a regular expression with its placeholders replaced, each value matching itself literally."""
    return fill(text, values, quote=re.escape)


def fill_all(value: Any, values: Mapping[str, str]) -> Any:
    """Return JSON-like data with the placeholders in all its strings replaced, keys left as they are."""
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, dict):
        return {key: fill_all(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [fill_all(inner, values) for inner in value]
    return value


def _unknown(name: str, values: Mapping[str, str]) -> str:
    if name == "server":
        return "{server} stands for nothing: no target of this stack ends in -server"
    if name in NAMES:
        return f"{{{name}}} has no meaning here"
    listed = " ".join(f"{{{known}}}" for known in NAMES if known in values)
    return (
        f"unknown placeholder {{{name}}}{closest(name, NAMES)} (there are {listed}; {{{{{name}}}}} is the word itself)"
    )
