"""Hand several new patch folders and a stack to a workspace so that all of them appear, or none.

Everything is made in one hidden folder beside the patches. Renaming that folder is the point of no return: what a
kill leaves before it is thrown away by the next import, what it leaves after it is completed by the next import.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.files import disk_errors, write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from patchctl.manifest.workspace import Workspace

MAKING, READY, ORDERS = ".import.tmp", ".import", "orders.json"


@dataclass(frozen=True)
class Orders:
    """What to do with a stack: make the file with ``text``, or append ``ids`` to the list it has."""

    key: str
    ids: tuple[str, ...]
    stack: str | None = None
    text: str | None = None


def complete(workspace: Workspace) -> Orders | None:
    """Complete an import that was killed, or throw away what it had not yet finished; returns its orders, or None."""
    folder = workspace.patches_folder
    with disk_errors():
        shutil.rmtree(folder / MAKING, ignore_errors=True)
        if not (folder / READY / ORDERS).is_file():
            shutil.rmtree(folder / READY, ignore_errors=True)
            return None
        orders = _orders(folder / READY / ORDERS)
        for patch_id in orders.ids:
            if (folder / READY / patch_id).is_dir():
                _move(folder / READY / patch_id, folder / patch_id)
        _write_stack(workspace, orders)
        (folder / READY / ORDERS).unlink()  # from here on it is done
        shutil.rmtree(folder / READY, ignore_errors=True)
    return orders


def hand_in(workspace: Workspace, orders: Orders, patches: Mapping[str, Mapping[str, bytes]]) -> None:
    """Write the files of each new patch folder and the stack; raises PatchctlError when a folder is there already."""
    folder = workspace.patches_folder
    for patch_id in patches:
        if (folder / patch_id).exists():
            raise PatchctlError(Code.USAGE, f"{workspace.shown(folder / patch_id)} exists; nothing is overwritten")
    _new_stack_text(workspace, orders)
    with disk_errors():
        making = folder / MAKING
        shutil.rmtree(making, ignore_errors=True)
        for patch_id, files in patches.items():
            for name, content in files.items():
                write_atomic(making / patch_id / name, content)
        write_atomic(making / ORDERS, json.dumps(vars(orders)).encode())
        making.rename(folder / READY)
    complete(workspace)


def _orders(path: Path) -> Orders:
    data = json.loads(path.read_bytes())
    return Orders(**{**data, "ids": tuple(data["ids"])})


def _move(made: Path, target: Path) -> None:
    if target.exists():
        raise PatchctlError(Code.ENVIRONMENT, f"{target} appeared while an import was under way; move it and try again")
    made.rename(target)


def _write_stack(workspace: Workspace, orders: Orders) -> None:
    found = _new_stack_text(workspace, orders)
    if found is not None:
        path, content = found
        beside = workspace.patches_folder / READY / "stack"
        beside.write_bytes(content)
        beside.replace(path)


def _new_stack_text(workspace: Workspace, orders: Orders) -> tuple[Path, bytes] | None:
    """Return the stack's file and what it will hold, or None when nothing changes there."""
    if orders.stack is None:
        return None
    path = workspace.root / orders.stack
    if orders.text is not None and not path.exists():
        return path, orders.text.encode()
    return path, appended(workspace, path, orders.ids)


def appended(workspace: Workspace, path: Path, ids: Sequence[str]) -> bytes:
    """Return the stack with those ``ids`` it does not name at the end of its patches; every other byte stays."""
    from patchctl.document import parse
    from patchctl.manifest.edit import insert_item_after

    file = workspace.load_stack(path)
    document, count = file.document, len(file.stack.patches)
    if document.node(("patches",)) is None:
        problem = Problem(document.path, 1, 1, 'has no list of patches to add to; add a line "patches: []"')
        raise InvalidError([problem])
    for patch_id in ids:
        if patch_id not in file.stack.patches:
            text = insert_item_after(document, ("patches", count - 1), patch_id).decode()
            document, count = parse(text, document.path), count + 1
    return document.source
