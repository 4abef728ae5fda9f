"""What of a workspace goes into a bundle or a package: manifest, lock, pages, probes, tests, licences."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from patchctl.errors import Code, PatchctlError
from patchctl.manifest.lockfile import lock_path
from patchctl.manifest.workspace import revision_key
from patchctl.series.checkout import EXECUTABLE
from patchctl.ship.archive import Member
from patchctl.ship.tree import PLAIN, list_tree
from patchctl.smoke.plan import GENERAL, stack_cases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from patchctl.manifest.workspace import StackFile, Workspace
    from patchctl.series.source import Source
    from patchctl.smoke.plan import Case
    from patchctl.store import Store

NAMED = re.compile(r"\{here\}/([^\s\"']+)")
# Upstream's own at the top, those of what it vendors beside that.
LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*")
LICENCE_FOLDER = "licenses"


def licences_in_store(store: Store, tree: str) -> list[tuple[str, bytes]]:
    """Return the licences that binaries have to come with, path and text, from a tree of upstream's objects.

    Raises PatchctlError (exit code 9) when one cannot be had: binaries must not go out without.
    """
    found = [it for it in list_tree(store, tree) if _is_licence(it.path) and it.mode in {PLAIN, EXECUTABLE}]
    lacking = set(store.ensure_blobs(it.oid for it in found))
    absent = [it.path for it in found if it.oid in lacking]
    if absent:
        raise PatchctlError(Code.ENVIRONMENT, f"no copy of upstream has {', '.join(absent)}, a licence")
    return [(it.path, store.repo.read(it.oid, "blob")) for it in found]


def licences_in_folder(source: Path) -> list[tuple[str, bytes]]:
    """Return the same from a folder that holds the tree."""
    files = [path for path in _files(source) if _is_licence(path.relative_to(source).as_posix())]
    return [(path.relative_to(source).as_posix(), path.read_bytes()) for path in files]


def _is_licence(path: str) -> bool:
    *folders, name = path.split("/")
    return folders == [LICENCE_FOLDER] or any(fnmatch.fnmatchcase(name, pattern) for pattern in LICENCES)


def stack_files(workspace: Workspace, stack: StackFile, source: Source) -> list[Member]:
    """Return what people wrote for a stack: manifest, lock, the files its tests name, the folders of its patches.

    Of a patch's revisions only the one that went in is taken.
    """
    files = {stack.path, lock_path(stack.path)}
    for case in stack_cases(workspace, stack):
        files.update(named_files(case) if case.here == stack.path.parent else ())
    for patch in source.patches:
        files.update(_patch_files(workspace.patches_folder / patch.id, patch.revision))
    return [member(path, path.relative_to(workspace.root).as_posix()) for path in sorted(files)]


def _patch_files(folder: Path, revision: str | None) -> Iterator[Path]:
    for path in _files(folder):
        if path.name == revision or revision_key(path.name) is None or path.parent != folder:
            yield path


def named_files(case: Case) -> Iterator[Path]:
    """Return the files that a test names with ``{here}``; of a folder, all in it."""
    for name in NAMED.findall(case.test.model_dump_json()):
        path = case.here / name
        # What leads out of the folder is this machine's own, and does not travel.
        if path.resolve().is_relative_to(case.here.resolve()):
            yield from _files(path)


def _files(path: Path) -> Iterator[Path]:
    if path.is_file() and not path.is_symlink():
        yield path
    elif path.is_dir():
        for inner in sorted(path.iterdir()):
            if not inner.name.startswith(".") and inner.name != "__pycache__":
                yield from _files(inner)


def case_files(case: Case) -> Iterable[Path]:
    """Return what has to travel with a test: the files it names, and for a probe all of its patch but revisions."""
    if case.patch is None:
        return named_files(case)
    return _patch_files(case.here, None)


def case_folder(case: Case) -> str:
    """Return the folder below ``patchctl/`` that holds a test's files in a package."""
    if case.patch is not None:
        return f"patches/{case.patch}"
    return "tests" if case.here == GENERAL else "stacks"


def member(path: Path, name: str) -> Member:
    """Return a file of a workspace as a member of that name."""
    return Member(name, path.read_bytes, 0o755 if path.stat().st_mode & 0o100 else 0o644)
