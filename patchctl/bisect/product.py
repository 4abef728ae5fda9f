"""What a build made, as one value, its identity aside: two trees with the same are the same program."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.build.ninjalog import included_files
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def fingerprint(build: Path, source: Path, identity: str, installed: Iterable[Mapping[str, object]]) -> str:
    """Return a digest of the object files of a build folder and of what is installed as it lies in the sources.

    An object that holds the identity stands for the sources it was compiled from: its bytes always differ.
    """
    deps, place = included_files(build), os.fsencode(source.parent)
    parts: dict[str, str] = {}
    for name in _objects(build):
        # Debug information names the folder; slots have names of one length, so nothing else moves.
        content = (build / name).read_bytes().replace(place, b"")
        inside = identity.encode() in content
        parts[name] = _sources(deps.get(name, []), build, source) if inside else hashlib.sha256(content).hexdigest()
    for file in installed:
        if not str(file["path"]).startswith(("bin/", "lib/")):
            parts[f"installed {file['path']}"] = str(file["sha256"])
    return digest("product", parts)


def _objects(build: Path) -> list[str]:
    """Return the objects that CMake names and that were built, relative to the build folder."""
    entries = json.loads((build / "compile_commands.json").read_bytes())
    named = {os.path.normpath(Path(entry["directory"]) / entry["output"]) for entry in entries if entry.get("output")}
    top = os.fspath(build) + os.sep
    return sorted(name.removeprefix(top) for name in named if Path(name).is_file())


def _sources(included: Iterable[str], build: Path, source: Path) -> str:
    """Return a digest of those files that lie in the sources."""
    top, found = os.path.realpath(source) + os.sep, {}
    for name in included:
        path = os.path.realpath(build / name)
        if path.startswith(top):
            found[path.removeprefix(top)] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return digest("sources", found)
