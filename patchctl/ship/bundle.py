"""The patched source as one file: the tree exactly, manifest, lock, pages, probes; and building from it without git.

Unpacked, a bundle is a build slot that is a workspace too: ``src/`` holds the tree, ``stacks/`` and ``patches/`` what
people wrote.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.build.recipe import RECIPE_VERSION
from patchctl.errors import Code, PatchctlError
from patchctl.files import disk_errors, folder_beside, locked, replace_folder
from patchctl.ledger import digest
from patchctl.manifest.lockfile import lock_path, read_lock
from patchctl.manifest.workspace import Workspace
from patchctl.series.checkout import EXECUTABLE, SYMLINK
from patchctl.ship import archive
from patchctl.ship.archive import MANIFEST, SUMS, Member, Written
from patchctl.ship.contents import stack_files
from patchctl.ship.facts import BUNDLE, SCHEMA_VERSION, BundleFacts, OtherEntry, SourceFacts, as_json, parse
from patchctl.ship.tree import KEPT, Entry, list_tree, scan, tree_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import StackFile
    from patchctl.series.source import Source
    from patchctl.store import Store

SUFFIX = ".tar.gz"
SOURCE = "src"
LIMIT = 8 * 2**30  # bytes of an unpacked bundle; llama.cpp's tree has 0.1
OPENING = 3.0  # seconds that another patchctl is given to open the same bundle


def commit_date(store: Store, commit: str) -> int:
    """Return when a commit was made: seconds since 1970."""
    header = store.repo.read(commit, "commit").split(b"\n\n", 1)[0]
    committer = next(line for line in header.split(b"\n") if line.startswith(b"committer "))
    return int(committer.rsplit(b" ", 2)[1])


@dataclass(frozen=True)
class Made:
    """A bundle as written, how many files of the tree are in it, and those no copy of upstream has."""

    written: Written
    files: int
    left_out: tuple[str, ...]


def make_bundle(
    path: Path,
    workspace: Workspace,
    stack: StackFile,
    store: Store,
    source: Source,
    *,
    show: Callable[[int, int], None] = lambda _at, _of: None,
) -> Made:
    """Write the bundle of a stack whose lock is current, to ``path``.

    Raises PatchctlError: exit code 9 when a file that a patch touches cannot be had, or when the disk refuses.
    """
    absent = set(store.ensure_tree(source.tree))
    entries = list_tree(store, source.tree)
    left_out = tuple(entry.path for entry in entries if entry.oid in absent and not entry.is_gitlink)
    needed = sorted(set(left_out) & set(source.touched))
    if needed:
        raise PatchctlError(Code.ENVIRONMENT, f"no copy of upstream has {', '.join(needed)}, which a patch touches")
    here = [entry for entry in entries if not entry.is_gitlink and entry.oid not in absent]
    date = commit_date(store, source.commit)
    name = stack.path.relative_to(workspace.root).as_posix()
    facts = _facts(name, source, date, entries, left_out)
    written = archive.write_archive(
        path,
        f"{source.release}-bundle",
        as_json(facts),
        [*(_member(store, entry) for entry in here), *stack_files(workspace, stack, source)],
        date=date,
        show=show,
    )
    store.repo.close()
    return Made(written, len(here), left_out)


def _facts(
    stack: str,
    source: Source,
    date: int,
    entries: Sequence[Entry],
    left_out: tuple[str, ...],
) -> BundleFacts:
    odd = [it for it in entries if it.mode not in KEPT or it.path in left_out]
    return BundleFacts(
        schema_version=SCHEMA_VERSION,
        kind=BUNDLE,
        stack=stack,
        source=SourceFacts.of(source),
        date=date,
        recipe=RECIPE_VERSION,
        left_out=list(left_out),
        other_entries=[OtherEntry(path=it.path, mode=it.mode, oid=it.oid) for it in odd],
    )


def _member(store: Store, entry: Entry) -> Member:
    name = f"{SOURCE}/{entry.path}"
    if entry.mode == SYMLINK:
        return Member(name, link=os.fsdecode(store.repo.read(entry.oid, "blob")))
    mode = 0o755 if entry.mode == EXECUTABLE else 0o644
    return Member(name, lambda: store.repo.read(entry.oid, "blob"), mode)


@dataclass(frozen=True)
class Bundle:
    """A bundle in the cache: its slot, the workspace and stack in it, the source it holds, what is left out of that."""

    path: Path
    slot: Path
    workspace: Workspace
    stack: StackFile
    source: Source
    left_out: tuple[str, ...]
    date: int


def is_bundle(name: str) -> bool:
    """Return whether a word on the command line means a bundle, not a stack."""
    return name.endswith(SUFFIX)


def open_bundle(path: Path, cache: Path, show: Callable[[int], None] = lambda _at: None) -> Bundle:
    """Return the bundle at ``path``, unpacked into a slot of its own in the cache and verified; needs no git.

    Raises PatchctlError: exit code 2 when there is no such file, 3 when it is damaged, was changed or would write
    outside its slot, 9 when a newer patchctl made it, another one works on it, or the disk refuses.
    """
    facts = parse(archive.read_manifest(path), path, BundleFacts, BUNDLE)
    with disk_errors():
        slot = cache / "build" / digest("bundle", archive.sha256_of(path))[:12]
    with locked(slot.with_suffix(".lock"), f"the bundle {path.name}", wait=OPENING):
        if not _is_intact(slot, facts):
            _unpack(path, slot, facts, show)
    return _read(path, slot, facts)


def _unpack(path: Path, slot: Path, facts: BundleFacts, show: Callable[[int], None]) -> None:
    with disk_errors(), folder_beside(slot) as made:
        archive.unpack(path, made, limit=LIMIT, show=show)
        if _tree(made, facts) != facts.source.tree:
            raise PatchctlError(Code.INVALID, f"{path} does not hold the tree {facts.source.tree[:9]} that it names")
        _read(path, made, facts)
        replace_folder(made, slot)


def _tree(slot: Path, facts: BundleFacts) -> str:
    """Return the id of the tree in ``src/``, with what the manifest says of entries that are no files."""
    others = {it.path: Entry(it.path, it.mode, it.oid) for it in facts.other_entries}
    found = {it.path: it for it in scan(slot / SOURCE)}
    if any(path in found and found[path].oid != it.oid for path, it in others.items()):
        return ""
    return tree_id({**found, **others}.values())


def _is_intact(slot: Path, facts: BundleFacts) -> bool:
    """Return whether a slot still holds what was unpacked into it: somebody may have edited the sources."""
    try:
        listed = archive.parse_sums((slot / SUMS).read_bytes())
        ours = {name: digest for name, digest in listed.items() if not name.startswith(f"{SOURCE}/")}
        same = all(archive.sha256_of(slot / name) == digest for name, digest in ours.items())
        return same and MANIFEST in ours and _tree(slot, facts) == facts.source.tree
    except OSError:
        return False


def _read(path: Path, slot: Path, facts: BundleFacts) -> Bundle:
    workspace = Workspace(slot)
    stack_path = slot / facts.stack
    if not stack_path.is_file() or not lock_path(stack_path).is_file():
        raise PatchctlError(Code.INVALID, f"{path} lacks {facts.stack} or its lock; get it again")
    stack = workspace.load_stack(stack_path)
    lock = read_lock(stack_path)
    said = (facts.source.release, facts.source.base, facts.source.tree)
    if lock is None or said != (stack.stack.release, lock.base.commit, lock.result.tree):
        raise PatchctlError(Code.INVALID, f"{path}: manifest, stack and lock in it are not of one release")
    return Bundle(path, slot, workspace, stack, facts.source.source(), tuple(facts.left_out), facts.date)
