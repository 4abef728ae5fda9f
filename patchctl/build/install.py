"""Puts what was built together in a folder that can be moved, then in its place in one step."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchctl.build.elf import ElfError, is_elf, read_elf
from patchctl.build.fileapi import EXECUTABLE, MODULE, SHARED, STATIC, Target, closure
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, folder_beside, replace_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
) -> tuple[Path, ...]:
    """Make ``target`` hold the pieces, the named files and folders of ``source``, and ``describe``'s words as its info.

    The folder is made beside and renamed, so that others see the old one or the new one. What no build put into the
    old one is moved to a folder beside it; returns where those files are now. Raises PatchctlError: exit
    code 5 for a file the source lacks and for run paths that lead out of the folder, 9 when the disk refuses.
    """
    with disk_errors(), folder_beside(target) as made:
        try:
            _copy_pieces(parts, made)
            for name in files:
                copy_from_source(source, name, made)
        except shutil.Error as error:
            raise PatchctlError(Code.ENVIRONMENT, f"cannot install into {target}: {error.args[0][0][2]}") from error
        (made / BUILD_INFO).write_bytes(describe(made))
        aside = _move_aside(target)
        replace_folder(made, target)
    return aside


def _move_aside(target: Path) -> tuple[Path, ...]:
    """Move what no build put into ``target`` to ``<target>.aside-<UTC time>``; return the new places."""
    whole = target.is_symlink() or target.is_file()
    names = [target.name] if whole else _strangers(target)
    if not names:
        return ()
    now = dt.datetime.now(dt.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    folder = _free(target.with_name(f"{target.name}.aside-{now}"))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (target if whole else target / name).rename(folder / name)
    return tuple(folder / name for name in names)


def _free(path: Path) -> Path:
    """Return ``path``, or the first of ``path-2``, ``path-3``, … that is not there."""
    number = 1
    while (free := path if number == 1 else path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free


def _strangers(target: Path) -> list[str]:
    """Return the files that the info of the old install does not list; what Python compiled is nobody's."""
    listed = {BUILD_INFO}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        listed |= {str(file["path"]) for file in json.loads((target / BUILD_INFO).read_bytes())["files"]}
    names = [path.relative_to(target).as_posix() for path in _walk(target) if path.parent.name != "__pycache__"]
    return [name for name in names if name not in listed]


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
    """Return path, size in bytes and SHA-256 of every file below ``folder``, sorted; the info file is left out.

    The SHA-256 of a link is that of the path it leads to.
    """
    found = [path for path in _walk(folder) if path != folder / BUILD_INFO]
    return [
        {"path": path.relative_to(folder).as_posix(), "size": _size(path), "sha256": sha256_of(path)} for path in found
    ]


def _walk(folder: Path) -> list[Path]:
    """Return every file and link below ``folder``, sorted; links to folders are not followed."""
    return sorted(_entries(folder))


def _entries(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        yield from (Path(top) / name for name in files)
        yield from (Path(top) / name for name in folders if (Path(top) / name).is_symlink())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, or of the path that a link leads to."""
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    made = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            made.update(part)
    return made.hexdigest()


Stamps = dict[str, list[int]]


def stamps(folder: Path, files: Iterable[Mapping[str, Any]]) -> Stamps:
    """Return size and times (nanoseconds) of each file: while they are the same, so are its bytes."""
    return {str(file["path"]): _stamp(folder / file["path"]) for file in files}


def _stamp(path: Path) -> list[int]:
    found = path.lstat()
    # The change time cannot be set: a copy that keeps the other time and the size does not pass for the original.
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def changed_file(folder: Path, files: Iterable[Mapping[str, Any]], known: Stamps | None = None) -> str | None:
    """Return the first of the listed files that is not as it was installed, or None.

    Files with their ``known`` stamp are not read. Raises KeyError or TypeError for a list of another form.
    """
    for file in files:
        path = folder / file["path"]
        try:
            same = (known or {}).get(file["path"]) == _stamp(path) or _is(path, file)
        except OSError:
            same = False
        if not same:
            return str(file["path"])
    return None


def _is(path: Path, file: Mapping[str, Any]) -> bool:
    return (_size(path), sha256_of(path)) == (file["size"], file["sha256"])


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
