from __future__ import annotations

import pytest

from patchctl.errors import Code, InvalidError, PatchctlError
from patchctl.manifest.workspace import Workspace, find_workspace, locate, revision_key
from tests.manifest.make import PAGE, STACK, workspace, write


def test_a_workspace_is_found_upwards(tmp_path):
    workspace(tmp_path)
    assert find_workspace(tmp_path) == Workspace(tmp_path)
    assert find_workspace(tmp_path / "patches" / "one").root == tmp_path


def test_without_a_workspace_the_way_to_one_is_told(tmp_path):
    with pytest.raises(PatchctlError, match="patchctl init") as caught:
        find_workspace(tmp_path)
    assert caught.value.exit_code == Code.USAGE


def test_stacks_are_the_yaml_files_that_are_no_locks_in_order(tmp_path):
    names = ["b2.yaml", "b10.yaml", "b2.lock.yaml", "b2.evidence.json", ".hidden.yaml", "x.yml"]
    write(tmp_path, {f"stacks/{name}": "" for name in names})
    assert [path.name for path in Workspace(tmp_path).stack_files()] == ["b10.yaml", "b2.yaml"]


@pytest.mark.parametrize("word", ["b9187", "b9187.yaml", "{root}/stacks/b9187.yaml"])
def test_a_stack_is_named_by_path_or_bare(tmp_path, word):
    made = workspace(tmp_path)
    assert made.stack_path(word.format(root=tmp_path)) == tmp_path / "stacks" / "b9187.yaml"
    assert locate(word.format(root=tmp_path), tmp_path / "patches") == (made, tmp_path / "stacks" / "b9187.yaml")


def test_a_stack_named_by_path_brings_its_own_workspace(tmp_path):
    made = workspace(tmp_path / "a")
    workspace(tmp_path / "b")
    assert locate("../a/stacks/b9187.yaml", tmp_path / "b")[0].root.resolve() == made.root


def test_an_unknown_stack_is_a_usage_error_with_a_suggestion(tmp_path):
    made = workspace(tmp_path)
    with pytest.raises(PatchctlError, match=r'there is no stack stacks/b9178.yaml; did you mean "b9187"') as caught:
        made.stack_path("stacks/b9178.yaml")
    assert caught.value.exit_code == Code.USAGE
    with pytest.raises(PatchctlError, match="there is no stack xyz; there are: b9187"):
        made.stack_path("xyz")
    with pytest.raises(PatchctlError, match="there are: none"):
        Workspace(tmp_path / "patches").stack_path("xyz")


def test_a_stack_is_loaded_with_its_document(tmp_path):
    file = workspace(tmp_path).load_stack(tmp_path / "stacks" / "b9187.yaml")
    assert file.stack.patches == ["one", "two"]
    assert file.document.mark(("patches", 1)) == (6, 16)


@pytest.mark.parametrize("place", ["../llama.cpp", "llama.cpp", "~/llama.cpp", "./x", "-u:x", "C llama:x"])
def test_an_upstream_is_no_path_from_where_somebody_stands(place, tmp_path):
    write(tmp_path, {"stacks/s.yaml": STACK.replace("https://github.com/ggml-org/llama.cpp", f"'{place}'")})
    with pytest.raises(InvalidError, match=r"s.yaml:4:9: upstream.repo must be a URL or an absolute path; .*_MIRROR="):
        Workspace(tmp_path).load_stack(tmp_path / "stacks" / "s.yaml")


@pytest.mark.parametrize(
    "place", ["/srv/my copy", "git@host:a/b.git", "host:a", "file:///x", "patchctl:demo", "ssh://h/x"]
)
def test_an_upstream_is_the_same_place_for_everybody(place, tmp_path):
    write(tmp_path, {"stacks/s.yaml": STACK.replace("https://github.com/ggml-org/llama.cpp", f"'{place}'")})
    assert Workspace(tmp_path).load_stack(tmp_path / "stacks" / "s.yaml").outline.repo == place


def test_what_a_stack_is_asked_for_again_is_what_it_holds(tmp_path):
    file = workspace(tmp_path).load_stack(tmp_path / "stacks" / "b9187.yaml")
    other = file.stack.model_copy(update={"release": "x"})
    assert (file.holding(other).stack, file.stack.release) == (other, "b9187")


def test_patches_are_folders_in_order(tmp_path):
    made = workspace(tmp_path, {"patches/README.md": "", "patches/.x/y": ""})
    assert made.patch_ids() == ["one", "two"]
    assert Workspace(tmp_path / "stacks").patch_ids() == []


def test_an_unknown_patch_is_invalid_with_a_suggestion(tmp_path):
    with pytest.raises(PatchctlError, match=r'there is no patch "onee" in .*; did you mean "one"') as caught:
        workspace(tmp_path).load_page("onee")
    assert caught.value.exit_code == Code.INVALID


def test_a_patch_without_a_page_is_invalid(tmp_path):
    made = workspace(tmp_path, {"patches/one/README.md": None} | {"patches/one/README.md": PAGE})
    write(tmp_path, {"patches/one/README.md": None})
    with pytest.raises(InvalidError, match=r"one/README.md: there is no such file"):
        made.load_page("one")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("b9187.patch", (9187, 1)), ("b9187-2.patch", (9187, 2)), ("b9187-10.patch", (9187, 10)), ("b0.patch", (0, 1)),
        ("b9187-1.patch", None), ("b9187-0.patch", None), ("b09187.patch", None), ("b9187-02.patch", None),
        ("9187.patch", None), ("b9187.patch~", None), ("b9187-2-3.patch", None), ("xb9187.patch", None),
    ],
)  # fmt: skip
def test_names_of_revisions(name, key):
    assert revision_key(name) == key


def test_revisions_are_sorted_by_numbers_never_by_text(tmp_path):
    names = ["b9187-10.patch", "b9187-2.patch", "b9187.patch", "b10000.patch", "b999.patch", "b09.patch", "notes.patch"]
    write(tmp_path, {f"patches/x/{name}": "" for name in names})
    expected = ["b999.patch", "b9187.patch", "b9187-2.patch", "b9187-10.patch", "b10000.patch"]
    assert [path.name for path in Workspace(tmp_path).revisions("x")] == expected
    assert Workspace(tmp_path).revisions("y") == []


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (9187, "b9187-10.patch"),  # made for it, the highest number
        (9200, "b9187-10.patch"),  # the newest before
        (9999, "b9187-10.patch"),
        (10000, "b10000.patch"),
        (20000, "b10000.patch"),
        (9186, "b999-2.patch"),
        (998, "b999-2.patch"),  # the nearest after
    ],
)
def test_the_revision_for_a_base(tmp_path, base, expected):
    names = ["b9187-10.patch", "b9187-2.patch", "b9187.patch", "b10000.patch", "b999.patch", "b999-2.patch"]
    write(tmp_path, {f"patches/x/{name}": "" for name in names})
    assert Workspace(tmp_path).pick_revision("x", base).name == expected


def test_a_patch_without_revision_says_how_to_get_one(tmp_path):
    write(tmp_path, {"patches/x/README.md": PAGE})
    with pytest.raises(PatchctlError, match=r'patch "x" has no revision: .* patchctl import') as caught:
        Workspace(tmp_path).pick_revision("x", 1)
    assert caught.value.exit_code == Code.INVALID
    with pytest.raises(PatchctlError, match=r'there is no patch "y"'):
        Workspace(tmp_path).pick_revision("y", 1)


def test_the_folders_of_a_workspace(tmp_path):
    made = Workspace(tmp_path)
    assert (made.stacks_folder, made.patches_folder) == (tmp_path / "stacks", tmp_path / "patches")
    assert made.out_folder == tmp_path / "out"
