"""The compile gate: what the stack touched is compiled first; text that merged but is no code fails in seconds."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.build.compile import steps_left
from patchctl.build.ninjalog import included_files
from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patchctl.build.compile import Ninja
    from patchctl.build.fileapi import Target

FEW_STEPS = 32
HEADERS = frozenset({".h", ".hh", ".hpp", ".cuh", ".inl", ".inc", ".ipp", ".tpp"})


def check_python(source: Path, touched: Iterable[str]) -> None:
    """Compile the touched Python files in memory. Raises PatchctlError (exit code 5) naming the first that is none."""
    for path in touched:
        file = source / path
        if not path.endswith(".py") or not file.is_file():
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a doubtful escape is no error of the stack
                compile(file.read_bytes(), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise PatchctlError(Code.BUILD, f"gate failed: {_place(path, error)}") from error


def _place(path: str, error: SyntaxError | ValueError) -> str:
    if not isinstance(error, SyntaxError):
        return f"{path}: error: {error}"
    quoted = f"\n    {error.text.strip()}" if error.text else ""
    return f"{path}:{error.lineno or 0}:{error.offset or 0}: error: {error.msg}{quoted}"


def little_left(ninja: Ninja, targets: Sequence[str]) -> bool:
    """Return whether a folder that was built before is so far that a gate would only keep the other processors idle."""
    if not (ninja.build / ".ninja_log").exists():
        return False
    left = steps_left(ninja, targets)
    return left is not None and left <= FEW_STEPS


def gate_outputs(ninja: Ninja, touched: Sequence[str], targets: Iterable[Target]) -> list[str]:
    """Return the objects to compile first: those of touched sources, one for each touched header; sorted.

    Objects of none of ``targets`` are left out. Starts no process.
    """
    compiled = {path for path in touched if (ninja.source / path).is_file() and not path.endswith(".py")}
    if not compiled:
        return []
    objects = _objects(ninja.build, ninja.source)
    found: set[str] = set()
    for path in sorted(compiled):
        if path in objects:
            found.update(objects[path])
        elif Path(path).suffix in HEADERS:
            found.update(_for_header(path, objects, ninja))
    folders = tuple(f"{target.objects}/" for target in targets)
    return sorted(output for output in found if output.startswith(folders))


def _objects(build: Path, source: Path) -> dict[str, list[str]]:
    """Return the objects of each source file, by its path relative to ``source``."""
    entries = json.loads((build / "compile_commands.json").read_bytes())
    root, top = os.fspath(source.resolve()) + os.sep, os.fspath(build.resolve()) + os.sep
    found: dict[str, list[str]] = {}
    for entry in entries:
        file = os.path.realpath(Path(entry["directory"]) / entry["file"])
        if file.startswith(root) and entry.get("output"):
            output = os.path.normpath(Path(entry["directory"]) / entry["output"])
            found.setdefault(file[len(root) :], []).append(output.removeprefix(top))
    return found


def _for_header(path: str, objects: dict[str, list[str]], ninja: Ninja) -> list[str]:
    """Return the objects of the source beside the header, else of one of its name, else one that included it."""
    header = Path(path)
    same = [source for source in objects if Path(source).stem == header.stem]
    beside = [source for source in same if Path(source).parent == header.parent]
    if same:
        return objects[min(beside or same)]
    full = os.path.realpath(ninja.source / path)
    log = sorted(included_files(ninja.build).items())
    return next(([name] for name, files in log if any(_is(file, full, ninja.build) for file in files)), [])


def _is(file: str, full: str, build: Path) -> bool:
    return file.endswith(full.rpartition("/")[2]) and os.path.realpath(build / file) == full
