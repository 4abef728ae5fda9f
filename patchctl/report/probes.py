"""What is known of a patch's probe: how it ended with the whole stack, and on the base without any patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.errors import PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from patchctl.manifest.workspace import Workspace


def probes_of(
    workspace: Workspace, patch: str, variants: Iterable[Mapping[str, Any]], seen: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return how the probe ended, for each variant and machine that ran it with the stack, then what ``seen`` adds.

    ``seen`` is what ``smoke --probe`` recorded; of a probe that was changed since it says nothing.
    """
    key = _definition(workspace, patch)
    alone = {row["variant"]: row for row in seen if row["patch"] == patch and row["definition"] == key}
    rows = [
        _row(variant["name"], place["hardware"], test["result"], alone.get(variant["name"]), test["detail"])
        for variant in variants
        for place in variant["places"]
        for test in place["tests"]
        if test["patch"] == patch
    ]
    told = {row["variant"] for row in rows}
    return rows + [_row(name, "", row["patched"], row) for name, row in alone.items() if name not in told]


def not_shown(patch: str, probes: Sequence[Mapping[str, Any]]) -> str:
    """Return a warning for a patch whose probe passes without it, empty otherwise."""
    names = [it["variant"] for it in probes if (it["unpatched"], it["patched"]) == ("pass", "pass")]
    return f"The probe of {patch} passes without it ({', '.join(names)}): it shows nothing." if names else ""


def _row(
    variant: str, hardware: str, patched: str, alone: Mapping[str, Any] | None, detail: str = ""
) -> dict[str, Any]:
    unpatched = alone["unpatched"] if alone else None
    return {"variant": variant, "hardware": hardware, "patched": patched, "unpatched": unpatched, "detail": detail}


def _definition(workspace: Workspace, patch: str) -> str | None:
    from patchctl.smoke.plan import load_probe
    from patchctl.smoke.runner import definition_key

    try:
        case = load_probe(workspace, patch)
    except PatchctlError:
        return None
    return definition_key(case) if case is not None else None
