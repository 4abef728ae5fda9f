"""What is wrong with a workspace, found without git and without upstream: every finding of every file in one run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from patchctl.document import Document, Entries, Loc, Scalar, load
from patchctl.errors import Problem, closest
from patchctl.files import read_regular
from patchctl.manifest.findings import Findings
from patchctl.manifest.lint_patch import check_patch
from patchctl.manifest.lint_test import check_tests
from patchctl.manifest.lockfile import lock_path
from patchctl.manifest.mail import MAX_BYTES
from patchctl.manifest.model import Lock
from patchctl.manifest.retirement import retired_since
from patchctl.manifest.validate import validate
from patchctl.manifest.workspace import LOCK, StackFile, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from patchctl.manifest.page import PageFile

EVIDENCE = ".evidence.json"


def lint(workspace: Workspace, stacks: Sequence[Path] | None = None, findings: Findings | None = None) -> Findings:
    """Return what is wrong with the ``stacks`` and their patches; without ``stacks`` with the whole workspace.

    Raises PatchctlError (exit code 9) when a file cannot be read at all.
    """
    findings = Findings() if findings is None else findings
    files = _load_stacks(workspace, workspace.stack_files() if stacks is None else stacks, findings)
    named = {patch_id for file in files for patch_id in file.stack.patches}
    folders = workspace.patch_ids()
    checked = folders if stacks is None else sorted(named & set(folders))
    pages = {patch_id: check_patch(workspace, patch_id, findings) for patch_id in checked}
    findings.patches += len(pages)
    findings.pages |= {workspace.patches_folder / patch_id: page for patch_id, page in pages.items() if page}
    _check_requires(pages, folders, findings)
    for file in files:
        _check_stack(workspace, file, pages, folders, findings)
        _check_lock(workspace, file, findings)
    if stacks is None:
        _check_whole(workspace, files, named, findings)
    return findings


def _load_stacks(workspace: Workspace, paths: Sequence[Path], findings: Findings) -> list[StackFile]:
    files = []
    for path in paths:
        findings.stacks += 1
        with findings.collecting(workspace.shown(path)):
            files.append(workspace.load_stack(path))
    return files


# --- the workspace as a whole -----------------------------------------------------------------------------------------


def _check_whole(workspace: Workspace, files: list[StackFile], named: set[str], findings: Findings) -> None:
    _check_releases(files, findings)
    _check_stacks_folder(workspace, findings)
    # A stack that cannot be read may name them.
    if len(files) == len(workspace.stack_files()):
        idle = set(workspace.patch_ids()) - named
        for orphan in sorted(one for one in idle if retired_since(workspace, one) is None):
            name = workspace.shown(workspace.patches_folder / orphan)
            findings.error(Problem(name, 0, 0, "no stack names this patch; add it to one or remove the folder"))


def _check_releases(files: list[StackFile], findings: Findings) -> None:
    seen: dict[str, StackFile] = {}
    for file in files:
        other = seen.setdefault(file.stack.release, file)
        if other is not file:
            message = (
                f'release "{file.stack.release}" is also the name of {other.document.path}; both would use one folder'
            )
            findings.error(file.document.problem(("release",), message))


def _check_stacks_folder(workspace: Workspace, findings: Findings) -> None:
    stems = {path.stem for path in workspace.stack_files()}
    for path in sorted(workspace.stacks_folder.iterdir()):
        name = workspace.shown(path)
        for suffix in (LOCK, EVIDENCE):
            if path.name.endswith(suffix) and path.name.removesuffix(suffix) not in stems:
                findings.error(
                    Problem(name, 0, 0, f"belongs to no stack: {path.name.removesuffix(suffix)}.yaml is not there")
                )
        if path.suffix == ".yml":
            findings.error(Problem(name, 0, 0, "is not read as a stack; name it .yaml"))


# --- patches among each other -----------------------------------------------------------------------------------------


def _requires(pages: Mapping[str, PageFile | None], patch_id: str) -> list[str]:
    page = pages.get(patch_id)
    return page.page.requires if page else []


def _check_requires(pages: Mapping[str, PageFile | None], folders: list[str], findings: Findings) -> None:
    known = set(folders)
    for page in filter(None, pages.values()):
        for at, needed in enumerate(page.page.requires):
            if needed not in known:
                message = f'requires "{needed}", and there is no such patch{closest(needed, folders)}'
                findings.error(page.document.problem(("requires", at), message))
    for circle in _circles(pages):
        first = pages[circle[0]]
        if first is not None:
            message = f"requires go in a circle: {' -> '.join([*circle, circle[0]])}"
            findings.error(first.document.problem(("requires",), message, key=True))


def _circles(pages: Mapping[str, PageFile | None]) -> Iterator[list[str]]:
    """Yield each circle of ``requires`` once, from its first id on; no recursion, stacks may be long."""
    done: set[str] = set()
    for start in pages:
        path: list[str] = []
        todo = [(start, 0)]
        while todo:
            patch_id, depth = todo.pop()
            del path[depth:]
            if patch_id in path:
                circle = path[path.index(patch_id) :]
                first = circle.index(min(circle))
                yield circle[first:] + circle[:first]
            elif patch_id not in done:
                done.add(patch_id)
                path.append(patch_id)
                todo += [(needed, depth + 1) for needed in reversed(_requires(pages, patch_id))]


# --- one stack --------------------------------------------------------------------------------------------------------


def _check_stack(
    workspace: Workspace, file: StackFile, pages: Mapping[str, PageFile | None], folders: list[str], findings: Findings
) -> None:
    known = set(folders)
    order: dict[str, int] = {}
    for at, patch_id in enumerate(file.stack.patches):
        if patch_id in order:
            findings.error(file.document.problem(("patches", at), f'patch "{patch_id}" is named twice'))
        elif patch_id not in known:
            message = f'there is no patch "{patch_id}" in patches/{closest(patch_id, folders)}'
            findings.error(file.document.problem(("patches", at), message))
        order.setdefault(patch_id, at)
    for patch_id, at in order.items():
        for needed in _requires(pages, patch_id):
            if needed not in order and retired_since(workspace, needed) is not None:
                continue  # the base has it; whether this one does, only git can tell
            if needed in known and order.get(needed, len(order)) > at:
                what = "comes later; move it up" if needed in order else "this stack does not have"
                message = f'patch "{patch_id}" requires "{needed}", which {what}'
                findings.error(file.document.problem(("patches", at), message))
    check_tests(file.document, file.stack, findings)
    _check_cmake(file.document, ("build", "cmake"), findings)
    for variant in file.stack.build.variants:
        _check_cmake(file.document, ("build", "variants", variant, "cmake"), findings)


def _check_cmake(document: Document, loc: Loc, findings: Findings) -> None:
    """Warn of numbers that CMake would get in other digits than they are written in (``11.10``)."""
    node = document.node(loc)
    for key, (_, value) in node.nodes.items() if isinstance(node, Entries) else ():
        number = (
            isinstance(value, Scalar) and isinstance(value.value, int | float) and not isinstance(value.value, bool)
        )
        if number and isinstance(value, Scalar) and str(value.value) != value.text:
            message = f'{key}: {value.text} is the number {value.value}; as text it is written "{value.text}"'
            findings.warning(document.problem((*loc, key), message))


def _bytes(workspace: Workspace, path: Path) -> bytes:
    return read_regular(path, workspace.shown(path), MAX_BYTES)


def _check_lock(workspace: Workspace, file: StackFile, findings: Findings) -> None:
    path = lock_path(file.path)
    if not path.exists():
        return
    name = workspace.shown(path)
    with findings.collecting(name):
        document = load(path, name)
        for at, patch in enumerate(validate(document, Lock).patches):
            if patch.revision is None:
                continue
            revision = workspace.patches_folder / patch.id / patch.revision
            where: Loc = ("patches", at, "revision")
            if not revision.is_file():
                findings.error(document.problem(where, f"{workspace.shown(revision)} is locked and not there"))
            elif hashlib.sha256(_bytes(workspace, revision)).hexdigest() != patch.sha256:
                message = "changed after it was locked; revisions never change, give the change the next number"
                findings.error(document.problem(where, f"{workspace.shown(revision)} {message}"))
