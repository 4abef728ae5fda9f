"""What CMake says about its own result: targets, artifacts and what depends on what (File API, codemodel 2)."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patchctl.errors import Code, PatchctlError, closest
from patchctl.files import disk_errors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

API = ".cmake/api/v1"
EXECUTABLE, SHARED, MODULE, STATIC = "EXECUTABLE", "SHARED_LIBRARY", "MODULE_LIBRARY", "STATIC_LIBRARY"


@dataclass(frozen=True)
class Target:
    """One target of the configured project; artifacts and the folder of objects are relative to the build folder."""

    id: str
    name: str
    kind: str
    artifacts: tuple[str, ...]
    objects: str
    dependencies: tuple[str, ...]
    languages: frozenset[str]


def ask(build: Path) -> None:
    """Leave the query that CMake answers at its next run."""
    query = build / API / "query" / "client-patchctl"
    with disk_errors():
        query.mkdir(parents=True, exist_ok=True)
        (query / "codemodel-v2").touch()


def read_targets(build: Path) -> dict[str, Target]:
    """Return the targets by name. Raises PatchctlError (exit code 5) when CMake left no readable answer."""
    reply = build / API / "reply"
    try:
        # Names sort by time; CMake's documentation says the last one is current.
        index = json.loads(max(reply.glob("index-*.json")).read_bytes())
        answer = index["reply"]["client-patchctl"]["codemodel-v2"]["jsonFile"]
        model = json.loads((reply / answer).read_bytes())
        entries = model["configurations"][0]["targets"]
        targets = [_target(json.loads((reply / entry["jsonFile"]).read_bytes())) for entry in entries]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise PatchctlError(
            Code.BUILD, f"CMake's answer in {reply} cannot be read: {error}; needs CMake 3.20 or newer"
        ) from error
    return {target.name: target for target in targets}


def _target(entry: dict[str, Any]) -> Target:
    return Target(
        id=entry["id"],
        name=entry["name"],
        kind=entry["type"],
        artifacts=tuple(artifact["path"] for artifact in entry.get("artifacts", ())),
        objects=os.path.normpath(f"{entry['paths']['build']}/CMakeFiles/{entry['name']}.dir"),
        dependencies=tuple(dependency["id"] for dependency in entry.get("dependencies", ())),
        languages=frozenset(group["language"] for group in entry.get("compileGroups", ())),
    )


def closure(targets: dict[str, Target], names: Iterable[str], *, unknown: Code = Code.INVALID) -> list[Target]:
    """Return the named targets and everything they depend on, sorted by name.

    Raises PatchctlError for a name the project does not have; ``unknown`` is its exit code.
    """
    wanted = list(names)
    missing = next((name for name in wanted if name not in targets), None)
    if missing is not None:
        raise PatchctlError(unknown, f'the project has no target "{missing}"{closest(missing, list(targets))}')
    by_id = {target.id: target for target in targets.values()}
    found: dict[str, Target] = {}
    queue = [targets[name] for name in wanted]
    while queue:
        target = queue.pop()
        if target.id not in found:
            found[target.id] = target
            queue += [by_id[key] for key in target.dependencies if key in by_id]
    return sorted(found.values(), key=lambda target: target.name)
