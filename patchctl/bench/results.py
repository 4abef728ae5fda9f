"""What a bench measured: one JSON file with everything, a CSV beside it with a line for each single measurement."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from patchctl.bench.limits import judge
from patchctl.files import disk_errors, write_atomic
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from patchctl.bench.geometry import Measured
    from patchctl.bench.samples import Settings, Side
    from patchctl.manifest.model import Limit
    from patchctl.smoke.hardware import Hardware

KIND = "bench"
FOLDER = "bench"


def result_of(
    sides: Sequence[Side],
    model: Measured,
    settings: Settings,
    rows: Sequence[Mapping[str, Any]],
    *,
    hardware: Hardware,
    limits: Sequence[Limit],
) -> dict[str, Any]:
    """Return all there is to say of one bench: who, what, on which machine, when, every number, the limits."""
    own, other = sides[-1], sides[0] if len(sides) > 1 else None
    return {
        "schema_version": 1,
        "kind": KIND,
        "stack": own.name,
        "variant": own.install.variant,
        "build": _build(own),
        "vs": {"name": other.name, **_build(other)} if other else None,
        "model": {"name": model.name, "sha256": _sha256(model.alone), "served_sha256": _sha256(model.served)},
        "hardware": {**json.loads(json.dumps(vars(hardware), default=vars)), "words": _words(hardware)},
        "date": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "settings": asdict(settings),
        "rows": list(rows),
        "limits": judge(limits, rows, own.install.variant) if other else [],
    }


def _build(side: Side) -> dict[str, Any]:
    it = side.install
    return {"number": it.build_number, "identity": it.identity, "base": it.base, "tree": it.tree, "key": it.build_key}


def _sha256(path: Path) -> str:
    made = hashlib.sha256()
    with disk_errors(), path.open("rb") as file:
        while part := file.read(2**20):
            made.update(part)
    return made.hexdigest()


def _words(hardware: Hardware) -> str:
    return ", ".join([*(gpu.name for gpu in hardware.gpus), hardware.processor, hardware.machine])


def file_name(result: Mapping[str, Any]) -> str:
    """Return the name for a result: measured again with the same settings on the same machine, it is the same."""
    against = f"-vs-{result['vs']['name']}" if result["vs"] else ""
    shared = digest(result["hardware"], result["model"], result["settings"], result["vs"] and result["vs"]["name"])
    words = f"{result['variant']}-{result['model']['name'].removesuffix('.gguf')}{against}-{shared[:8]}"
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', words)}.json"


def shown_row(row: Mapping[str, Any]) -> list[str]:
    """Return a row as people read it: what, where, the medians, the change with its interval, the verdict."""
    at = ", ".join(f"{name} {value}" for name, value in row["point"].items())
    medians = "  ".join(f"{one['name']} {one['median']:.4g}" for one in row["series"])
    return [row["measure"], at, medians, row["unit"], *_change(row["comparison"])]


def _change(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return []
    ends = "too few" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}"
    return [f"x {found['ratio']:.3f} ({ends})", str(found["verdict"])]


def write_results(path: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write a result as ``path`` and as CSV beside it; return both paths."""
    table = path.with_suffix(".csv")
    write_atomic(path, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    write_atomic(table, as_csv(result).encode())
    return [path, table]


def as_csv(result: Mapping[str, Any]) -> str:
    """Return every single measurement as a line of CSV, each with the identity of what was measured."""
    points = list(dict.fromkeys(name for row in result["rows"] for name in row["point"]))
    head = ["measure", "unit", *points, "series", "repetition", "value"]
    shared = {
        "stack": result["stack"],
        "variant": result["variant"],
        "identity": result["build"]["identity"],
        "vs": (result["vs"] or {}).get("identity", ""),
        "model": result["model"]["sha256"],
        "hardware": result["hardware"]["words"],
        "date": result["date"],
    }
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow([*head, *shared])
    for row in result["rows"]:
        at = [row["point"].get(name, "") for name in points]
        for one in row["series"]:
            for number, value in enumerate(one["values"], 1):
                lines.writerow([row["measure"], row["unit"], *at, one["name"], number, value, *shared.values()])
    return text.getvalue()


def read_results(out: Path) -> list[dict[str, Any]]:
    """Return what was measured of every release installed below ``out``; files that cannot be read are passed over."""
    return [found for path in sorted(out.glob(f"*/{FOLDER}/*.json")) if (found := _read(path)) is not None]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("kind") == KIND and data.get("schema_version") == 1 else None
