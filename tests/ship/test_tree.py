from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from patchctl.ship.tree import Entry, scan, tree_id

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a.txt": b"a\n", "a/b": b"", "a-b/c": b"\0\xff", "a.b/d/e": b"x", "ü/ñ": b"1", "z": b"run"}


def test_the_id_of_a_folder_is_the_one_git_gives_it(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "z").chmod(0o755)
    (tmp_path / "link").symlink_to("a.txt")

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    expected = git("write-tree")
    found = [entry for entry in scan(tmp_path) if not entry.path.startswith(".git/")]
    assert tree_id(found) == expected
    left_out = [entry for entry in found if entry.path != "a/b"]
    assert tree_id(left_out) != expected
    assert tree_id([*left_out, *(entry for entry in found if entry.path == "a/b")]) == expected


def test_an_entry_below_a_file_makes_no_tree() -> None:
    assert tree_id([Entry("a", "100644", "0" * 40), Entry("a/b", "100644", "0" * 40)]) == ""
