"""Puts what was built together in a folder that can be moved, then in its place in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl.build.elf import ElfError, is_elf, read_elf
from patchctl.build.fileapi import EXECUTABLE, MODULE, SHARED, STATIC, Target, closure
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, remove_folder, replace_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FOLDER = {EXECUTABLE: "bin", MODULE: "bin", SHARED: "lib", STATIC: "lib"}
BUILD_INFO = "build-info.json"


@dataclass(frozen=True)
class Piece:
    """One file to install: where it is and its place in the install folder; a link names what it points to."""

    path: Path
    place: str
    link: str | None = None


def pieces(targets: dict[str, Target], names: Sequence[str], build: Path) -> list[Piece]:
    """Return the programs of the asked targets and the libraries they load, links included, sorted by place.

    Raises PatchctlError: exit code 3 for an unknown target, 5 when something was not built.
    """
    found: dict[str, Piece] = {}
    for target in closure(targets, names):
        if target.kind in {SHARED, MODULE} or (target.name in names and target.kind in FOLDER):
            for artifact in target.artifacts:
                found.update({piece.place: piece for piece in _with_links(build / artifact, FOLDER[target.kind])})
    return [found[place] for place in sorted(found)]


def _with_links(path: Path, folder: str) -> list[Piece]:
    """Return the artifact and the links beside it that lead to it (``libx.so`` to ``libx.so.1`` to ``libx.so.1.2``)."""
    if not path.exists():
        raise PatchctlError(Code.BUILD, f"{path} was not built; build again")
    real = path.resolve()
    beside = [entry for entry in path.parent.iterdir() if entry.is_symlink() and entry.resolve() == real]
    links = [Piece(entry, f"{folder}/{entry.name}", link=str(entry.readlink())) for entry in sorted(beside)]
    return [Piece(real, f"{folder}/{real.name}"), *links]


def install(
    target: Path,
    parts: Iterable[Piece],
    *,
    source: Path,
    files: Iterable[str],
    describe: Callable[[Path], bytes],
) -> None:
    """Make ``target`` hold the pieces, the named files and folders of ``source``, and ``describe``'s words as its info.

    The folder is made beside and renamed, so that others see the old one or the new one. Raises PatchctlError: exit
    code 5 for a file the source lacks and for run paths that lead out of the folder, 9 when the disk refuses.
    """
    with disk_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
        try:
            made.chmod(0o755)
            _copy_pieces(parts, made)
            for name in files:
                copy_from_source(source, name, made)
            (made / BUILD_INFO).write_bytes(describe(made))
            replace_folder(made, target)
        except shutil.Error as error:
            raise PatchctlError(Code.ENVIRONMENT, f"cannot install into {target}: {error.args[0][0][2]}") from error
        finally:
            remove_folder(made)


def _copy_pieces(parts: Iterable[Piece], made: Path) -> None:
    for folder in ("bin", "lib"):
        (made / folder).mkdir()
    for piece in parts:
        place = made / piece.place
        if piece.link is not None:
            place.symlink_to(piece.link)
        else:
            shutil.copy2(piece.path, place)


def copy_from_source(source: Path, name: str, made: Path) -> None:
    """Copy one file or folder of the source, without Python's compiled files. Raises PatchctlError (exit code 5)."""
    origin, place = source / name.rstrip("/"), made / name.rstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(origin, place, ignore=ignored, symlinks=True, dirs_exist_ok=True)
    elif origin.is_file():
        shutil.copy2(origin, place)
    else:
        raise PatchctlError(Code.BUILD, f"the source has no {name} to install; correct build.files in the stack")


def list_files(folder: Path) -> list[dict[str, object]]:
    """Return path and size in bytes of every file below ``folder``, sorted; the info file is left out."""
    found = [path for path in folder.rglob("*") if not path.is_dir() and path.name != BUILD_INFO]
    return [{"path": path.relative_to(folder).as_posix(), "size": _size(path)} for path in sorted(found)]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else path.lstat().st_size


def binaries(folder: Path) -> list[Path]:
    """Return the ELF files in ``bin`` and ``lib``, sorted; links are not followed."""
    found = [path for part in ("bin", "lib") for path in sorted((folder / part).iterdir())]
    return [path for path in found if path.is_file() and not path.is_symlink() and is_elf(path)]


def verify_run_paths(folder: Path, forbidden: Path) -> None:
    """Check that every binary finds the libraries installed with it, wherever the folder is moved.

    ``forbidden`` is the folder it was built in. Raises PatchctlError (exit code 5) naming binary and run path.
    """
    inside = {path.name for path in (folder / "lib").iterdir()}
    for path in binaries(folder):
        try:
            facts = read_elf(path)
        except ElfError as error:
            raise PatchctlError(Code.BUILD, f"the run path of {path.name} cannot be verified: {error}") from error
        bad = [part for part in facts.run_paths if not part or _below(part, forbidden)]
        if bad:
            raise PatchctlError(
                Code.BUILD, f'{path.name} has the run path "{bad[0]}", which leads into the build folder'
            )
        if inside & set(facts.needed) and not _finds(path, facts.run_paths, folder):
            raise PatchctlError(
                Code.BUILD, f"{path.name} does not find the libraries beside it: its run path is {facts.run_paths}"
            )


def _below(part: str, folder: Path) -> bool:
    return part == str(folder) or part.startswith(f"{folder}{os.sep}")


def _finds(path: Path, run_paths: Iterable[str], folder: Path) -> bool:
    reached = {os.path.normpath(part.replace("$ORIGIN", str(path.parent))) for part in run_paths}
    return str(folder / "lib") in reached
