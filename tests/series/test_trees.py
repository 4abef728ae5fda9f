"""Editing trees without an index, held against git's own index on random paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from patchctl.git import Repo
from patchctl.series.trees import EMPTY_TREE, Entry, PathClashError, Trees, format_tree, parse_tree
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.sampled_from(["a", "b", "a.c", "a-b", "ab", "é", "0"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
MODES = st.sampled_from(["100644", "100755", "120000", "160000"])
OIDS = st.integers(1, 4).map(lambda n: f"{n:040x}")
ENTRIES = st.builds(Entry, MODES, OIDS)


def clashes(paths: set[str]) -> bool:
    """Return whether a path runs through another."""
    return any(other.startswith(f"{path}/") for path in paths for other in paths)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repo]:
    folder = tmp_path_factory.mktemp("trees") / "r.git"
    git("init", "--quiet", "--bare", folder)
    repo = Repo(folder)
    yield repo
    repo.close()


def by_git(repo: Repo, files: dict[str, Entry]) -> str:
    (repo.git_dir / "index").unlink(missing_ok=True)
    listing = "".join(f"{mode} {oid}\t{path}\0" for path, (mode, oid) in files.items())
    git("-C", repo.git_dir, "update-index", "-z", "--index-info", stdin=listing.encode())
    return git("-C", repo.git_dir, "write-tree", "--missing-ok").decode().strip()


@given(st.dictionaries(PATHS, ENTRIES, max_size=8), st.dictionaries(PATHS, st.none() | ENTRIES, max_size=6))
@settings(database=None, deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example({"a": Entry("100644", "1" * 40)}, {"a": None, "a/b": Entry("100644", "2" * 40)})
@example({"a/b": Entry("100644", "1" * 40)}, {"a/b": None, "a": Entry("100644", "2" * 40)})
@example({"a/b": Entry("100644", "1" * 40)}, {"a/b": None})
@example(
    {"a": Entry("100644", "1" * 40), "b": Entry("100644", "1" * 40)}, {"a": None, "a/b": Entry("100644", "2" * 40)}
)
@example(
    {"a/b": Entry("100644", "1" * 40), "b": Entry("100644", "1" * 40)}, {"a/b": None, "a": Entry("100644", "2" * 40)}
)
@example(
    {"a": Entry("100644", "1" * 40), "a.c": Entry("100644", "1" * 40)}, {"a": None, "a/b": Entry("100644", "2" * 40)}
)
@example({"a/b": Entry("100644", "1" * 40), "a.c": Entry("100644", "1" * 40)}, {"a-b": Entry("100644", "2" * 40)})
def test_an_edit_gives_the_tree_that_an_index_gives(
    repo: Repo, before: dict[str, Entry], edits: dict[str, Entry | None]
) -> None:
    if clashes(set(before)):
        return
    start = by_git(repo, before)
    after = {path: entry for path, entry in {**before, **edits}.items() if entry is not None}
    trees = Trees(repo)
    if clashes(set(after)):
        with pytest.raises(PathClashError):
            trees.edit(start, edits)
        return
    made = trees.edit(start, edits)
    assert made == by_git(repo, after)
    for path in (*before, *edits):
        assert trees.entry(made, path) == after.get(path) or path not in after


def test_reading_a_tree_is_the_inverse_of_writing_it(repo: Repo) -> None:
    tree = by_git(repo, {"a": Entry("100755", "1" * 40), "b/c": Entry("100644", "2" * 40)})
    raw = git("-C", repo.git_dir, "cat-file", "tree", tree)
    assert format_tree(parse_tree(raw)) == raw
    assert parse_tree(b"") == {}


def test_an_entry_below_a_file_is_none(repo: Repo) -> None:
    trees = Trees(repo)
    tree = by_git(repo, {"a": Entry("100644", "1" * 40)})
    assert trees.entry(tree, "a/b") is None
    assert trees.entry(tree, "nothing") is None
    assert trees.entry(EMPTY_TREE, "a") is None
