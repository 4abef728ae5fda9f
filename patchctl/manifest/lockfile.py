"""Read and write ``stacks/<name>.lock.yaml``: what a stack resolved to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from patchctl.document import load
from patchctl.errors import InvalidError
from patchctl.files import write_atomic
from patchctl.manifest.model import Lock

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "# What this stack resolved to. Written by patchctl; commit it, do not edit it.\n"


def lock_path(stack: Path) -> Path:
    """Return where the lock of a stack lies: beside it."""
    return stack.with_suffix(".lock.yaml")


def read_lock(stack: Path, name: str | None = None) -> Lock | None:
    """Return the lock of a stack, or None when there is none.

    Raises InvalidError when it cannot be understood, with the command that makes it again.
    """
    path = lock_path(stack)
    if not path.exists():
        return None
    from patchctl.manifest.validate import validate

    try:
        return validate(load(path, name=name), Lock)
    except InvalidError as error:
        *others, last = error.problems
        again = replace(last, message=f"{last.message}; make it again with: patchctl lock {stack.stem}")
        raise InvalidError([*others, again]) from error


def write_lock(stack: Path, lock: Lock) -> bool:
    """Write the lock of a stack and return whether it changed."""
    data = lock.model_dump(mode="json", by_alias=True)
    path = lock_path(stack)
    content = (HEADER + _dump(data)).encode()
    if path.exists() and path.read_bytes() == content:
        return False
    write_atomic(path, content)
    return True


def _dump(data: dict[str, Any]) -> str:
    """Return ``data`` as YAML with every string value quoted: 40 digits with one ``e`` would read back as a number."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:  # noqa: FBT001
            node = super().represent_mapping(tag, mapping, flow_style)
            for _, value in node.value:
                if value.tag == "tag:yaml.org,2002:str":
                    value.style = '"'
            return node

    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=200)
