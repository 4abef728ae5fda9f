"""Whether data are certainly of a shape, told from its JSON Schema alone: a fraction of the time the models need.

A proof says yes only where the models would too (a test holds them together). For everything else, what is wrong as
well as what a schema cannot say, it says no, and the models look.
"""

from __future__ import annotations

import functools
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SAYS_NOTHING = frozenset({"$schema", "$defs", "description", "default", "if", "patternProperties", "properties"})


def proven(name: str, data: Any) -> bool:
    """Return whether ``data`` are certainly a valid ``stack``, ``page`` or ``probe``."""
    schema = _schema(name)
    try:
        return _Proof(schema["$defs"]).holds(schema, data)
    except _CannotTellError:
        return False


class _CannotTellError(Exception):
    """A schema says something that is not known here, or that it does not say all."""


@functools.cache
def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.schema.json").read_bytes())
    return found


TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) is int or (isinstance(value, float) and math.isfinite(value)),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


# A schema speaks of lengths only of what has one; those of another type are not its business.
RULES: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda kind, value: TYPES[kind](value),
    "const": lambda wanted, value: value == wanted,
    "enum": lambda wanted, value: value in wanted,
    "pattern": lambda pattern, value: not isinstance(value, str) or _matches(pattern, value),
    "minLength": lambda least, value: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda most, value: not isinstance(value, str) or len(value) <= most,
    "minItems": lambda least, value: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda most, value: not isinstance(value, list) or len(value) <= most,
    "minProperties": lambda least, value: not isinstance(value, dict) or len(value) >= least,
    "maximum": lambda most, value: not TYPES["number"](value) or value <= most,
    "exclusiveMinimum": lambda least, value: not TYPES["number"](value) or value > least,
    "exclusiveMaximum": lambda most, value: not TYPES["number"](value) or value < most,
    "required": lambda names, value: not isinstance(value, dict) or value.keys() >= set(names),
}


def _matches(pattern: str, text: str) -> bool:
    # The models' ``$`` is the end of the text, Python's also stands before a last line end.
    anchored = pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern
    return re.search(anchored, text) is not None


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


class _Proof:
    def __init__(self, shapes: Mapping[str, Any]) -> None:
        self.shapes = shapes
        self.rules: dict[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
            "$ref": lambda ref, value, _: self.holds(self.shapes[ref.removeprefix("#/$defs/")], value),
            "items": lambda one, value, _: not isinstance(value, list) or all(self.holds(one, item) for item in value),
            "anyOf": lambda some, value, _: any(self.holds(one, value) for one in some),
            "oneOf": lambda some, value, _: sum(self.holds(one, value) for one in some) == 1,
            "then": lambda then, value, all_: not self.holds(all_["if"], value) or self.holds(then, value),
            "propertyNames": lambda one, value, _: all(self.holds(one, key) for key in _keys(value)),
            "additionalProperties": self._additional,
        }

    def holds(self, schema: Any, value: Any) -> bool:
        """Return whether ``value`` is as ``schema`` says."""
        if isinstance(schema, bool):
            return schema
        return all(self._rule(word, said, value, schema) for word, said in schema.items()) and self._inside(
            schema, value
        )

    def _rule(self, word: str, said: Any, value: Any, schema: Mapping[str, Any]) -> bool:
        if word in RULES:
            return RULES[word](said, value)
        if word in self.rules:
            return self.rules[word](said, value, schema)
        if word not in SAYS_NOTHING:
            raise _CannotTellError(word)
        return True

    def _inside(self, schema: Mapping[str, Any], value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        named = schema.get("properties", {})
        return all(self.holds(named[key], inner) for key, inner in value.items() if key in named) and all(
            self.holds(one, inner)
            for pattern, one in schema.get("patternProperties", {}).items()
            for key, inner in value.items()
            if _matches(pattern, key)
        )

    def _additional(self, allowed: Any, value: Any, schema: Mapping[str, Any]) -> bool:
        if allowed is True or not isinstance(value, dict):
            return True
        patterns = schema.get("patternProperties", {})
        named = schema.get("properties", {})
        others = [key for key in value if key not in named and not any(_matches(one, key) for one in patterns)]
        return all(self.holds(allowed, value[key]) for key in others)
