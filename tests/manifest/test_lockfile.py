from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.errors import InvalidError
from patchctl.manifest.lockfile import lock_path, read_lock, write_lock
from patchctl.manifest.model import Lock, LockedBase, LockedPatch, LockedResult

if TYPE_CHECKING:
    from pathlib import Path

A, B = "0" * 39 + "1", "123e4567" * 5  # ids that YAML would take for numbers
LOCK = Lock(
    schema_version=1,
    base=LockedBase(commit=A, build=9187, tree=B),
    patches=[
        LockedPatch(id="one", revision="b9187.patch", sha256="5" * 64, patch_id="6" * 40, commit=A),
        LockedPatch(id="no", revision=None, sha256="5" * 64, patch_id="", commit=None),
    ],
    result=LockedResult(commit=B, tree=A),
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    assert read_lock(stack) is None
    assert write_lock(stack, LOCK)
    assert lock_path(stack) == tmp_path / "s.lock.yaml"
    assert read_lock(stack) == LOCK
    assert not write_lock(stack, LOCK)
    assert lock_path(stack).read_text().startswith("# What this stack resolved to. Written by patchctl")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema:", "shema:", 'unknown key "shema"'),
        (A, "abc", "commit"),
        ("build: 9187", "build: many", "build"),
        ("result:", "- result:", "missing key"),
    ],
)
def test_a_damaged_lock_is_told_with_its_place(old: str, new: str, said: str, tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    write_lock(stack, LOCK)
    path = lock_path(stack)
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InvalidError, match=said) as error:
        read_lock(stack, "stacks/s.lock.yaml")
    assert all(problem.path == "stacks/s.lock.yaml" for problem in error.value.problems)
    assert all(problem.line for problem in error.value.problems)
    assert str(error.value).endswith("make it again with: patchctl lock s")
