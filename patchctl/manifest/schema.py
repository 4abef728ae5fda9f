"""JSON Schemas for editors, made from the models and kept beside them.

``python -m patchctl.manifest.schema`` renews them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.files import write_atomic
from patchctl.manifest.model import KINDS, Page, ProbeFile, Stack

if TYPE_CHECKING:
    from pydantic import BaseModel

MODELS: dict[str, type[BaseModel]] = {"stack": Stack, "page": Page, "probe": ProbeFile}

# What the models check in code and JSON Schema has to be told.
ONE_KIND = {
    "oneOf": [{"required": [kind], "properties": {kind: {"type": "object"}}} for kind in KINDS],
}
# A test without a kind says what is expected of one that comes with patchctl.
ONE_KIND_OR_EXPECTED = {
    "oneOf": [
        *ONE_KIND["oneOf"],
        {
            "required": ["expect"],
            "properties": {
                "expect": {"const": "fail"},
                **{kind: {"type": "null"} for kind in KINDS},
                "models": {"maxItems": 0},
                "gpu": {"const": False},
                "variants": {"type": "null"},
                "timeout": False,
            },
        },
    ]
}
REASON_FOR_FAILURE = {
    "if": {"required": ["expect"], "properties": {"expect": {"const": "fail"}}},
    "then": {"required": ["reason"], "properties": {"reason": {"type": "string", "minLength": 1}}},
}
# What no schema can say; ``proof`` then leaves it to the models.
MORE_IN_CODE = {"$comment": "patchctl checks more than this"}
RULES: dict[str, dict[str, Any]] = {
    "Test": ONE_KIND_OR_EXPECTED | REASON_FOR_FAILURE,
    "ProbeFile": ONE_KIND,
    "Compare": MORE_IN_CODE,
    "Limit": {"oneOf": [{"required": [name], "properties": {name: {"type": "number"}}} for name in ("least", "most")]},
}


def schema_path(name: str) -> Path:
    """Return the file of a schema: ``stack``, ``page`` or ``probe``."""
    return Path(__file__).with_name(f"{name}.schema.json")


def schema_text(name: str) -> str:
    """Return a schema as it must stand in its file."""
    schema = MODELS[name].model_json_schema()
    for title, part in [(schema["title"], schema), *schema.get("$defs", {}).items()]:
        part.update(RULES.get(title, {}))
    _tidy(schema)
    full = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(full, indent=2, ensure_ascii=False) + "\n"


def _tidy(part: Any) -> None:
    """Close mappings whose keys have a pattern, which pydantic leaves open, and drop what says nothing to a reader."""
    if isinstance(part, list):
        for inner in part:
            _tidy(inner)
    if not isinstance(part, dict):
        return
    if "patternProperties" in part:
        part["additionalProperties"] = False
    if isinstance(part.get("title"), str):
        del part["title"]
    if "default" in part and part["default"] is None:
        del part["default"]
    for inner in part.values():
        _tidy(inner)


def write() -> list[Path]:
    """Write every schema that is not current and return their paths."""
    stale = [name for name in MODELS if not schema_path(name).exists() or _kept(name) != schema_text(name)]
    for name in stale:
        write_atomic(schema_path(name), schema_text(name).encode())
    return [schema_path(name) for name in stale]


def _kept(name: str) -> str:
    return schema_path(name).read_text(encoding="utf-8")


if __name__ == "__main__":
    write()
