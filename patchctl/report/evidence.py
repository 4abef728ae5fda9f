"""What a release claims, beside its stack and committed: tree, keys, outcomes, results, dates."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from patchctl.files import write_atomic
from patchctl.smoke.result import proven, why_unproven

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.series.source import Source
    from patchctl.smoke.result import Result


def evidence_path(stack: Path) -> Path:
    """Return where the evidence of a stack lies: beside it."""
    return stack.with_suffix(".evidence.json")


def read_evidence(stack: Path) -> dict[str, Any]:
    """Return the evidence of a stack, empty when there is none that can be read."""
    try:
        data = json.loads(evidence_path(stack).read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def record(stack: Path, source: Source, built: dict[str, dict[str, Any]], results: Sequence[Result]) -> bool:
    """Write what was built (variant -> its build info) and how its tests ended; return whether the file changed.

    Claims about another tree go; claims that are the same keep their date, so that a repeated build changes nothing.
    """
    old = read_evidence(stack)
    claims = {
        "schema_version": 1,
        "release": source.release,
        "identity": source.identity,
        "base": {"commit": source.base, "build": source.build_number},
        "result": {"commit": source.commit, "tree": source.tree},
        "patches": [vars(patch) for patch in source.patches],
    }
    kept = old.get("variants", {}) if old.get("result") == claims["result"] else {}
    made = {name: _variant(info, [it for it in results if it.variant == name]) for name, info in built.items()}
    variants = {**kept, **{name: _dated(claim, kept.get(name)) for name, claim in made.items()}}
    new = {**claims, "variants": dict(sorted(variants.items()))}
    if new == old:
        return False
    write_atomic(evidence_path(stack), json.dumps(new, indent=2, ensure_ascii=False).encode() + b"\n")
    return True


def _variant(info: dict[str, Any], results: Sequence[Result]) -> dict[str, Any]:
    return {
        "build_key": info["build_key"],
        "toolchain": info["toolchain"],
        "architectures": info["architectures"],
        "proven": proven(results),
        "why": why_unproven(results),
        "tests": [{"test": it.test, "patch": it.patch, "result": it.result, "detail": it.detail} for it in results],
    }


def _dated(claim: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
    if old is not None and {**old, "date": None} == {**claim, "date": None}:
        return old
    return {**claim, "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
