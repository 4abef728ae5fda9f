"""What a repin decides, and the new stack it makes of the old one's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.author.repin import Action, Choice, Target
from patchctl.author.retired import retire
from patchctl.errors import InvalidError, PatchctlError
from patchctl.manifest.workspace import Workspace
from patchctl.series.judge import Outcome
from patchctl.upstream.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "a" * 40, "b" * 40
STACK = f"""# what this is for
schema: 1
release: b1   # its name
upstream: {{repo: https://example.invalid/up.git, commit: {OLD}}}
patches:
  - one # first
  # about two
  - two
  - three
build: {{targets: [all], variants: {{cpu: {{}}}}}} # at the end
"""


def target(folder: Path, text: str = STACK, *, release: str = "b7", in_place: bool = False) -> Target:
    path = folder / "stacks" / "b1.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    stack = Workspace(folder).load_stack(path)
    new = path if in_place else path.with_name(f"{release}.yaml")
    return Target(stack, new, release, NEW, 7, in_place=in_place)


def choice(patch: str, action: Action = Action.CARRY, reason: str = "landed", landed: int | None = None) -> Choice:
    return Choice(patch, action, Verdict.KEEP, reason, Outcome.CLEAN, landed=landed)


def test_only_base_release_and_what_retired_change_in_the_file(tmp_path: Path) -> None:
    made = target(tmp_path).text(["one", "three"]).decode()
    expected = STACK.replace(OLD, NEW).replace("release: b1 ", "release: b7 ").replace("  - two\n", "")
    assert made == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"  commit: {OLD} # b1", f"  commit: {NEW} # b7"),
        (f"  commit: '{OLD}'  #b1  ", f"  commit: '{NEW}'  #b7  "),
        (f"  commit: {OLD} # b1 was the last that built", f"  commit: {NEW} # b1 was the last that built"),
        (f"  commit: {OLD} # pinned", f"  commit: {NEW} # pinned"),
        (f"  commit: {OLD}", f"  commit: {NEW}"),
    ],
)
def test_a_comment_that_names_the_build_of_the_commit_names_the_new_one(
    tmp_path: Path, line: str, expected: str
) -> None:
    flow = STACK.replace(
        f"upstream: {{repo: https://example.invalid/up.git, commit: {OLD}}}",
        f"upstream:\n  repo: https://example.invalid/up.git\n{line}",
    )
    assert expected in target(tmp_path, flow).text(["one", "two", "three"]).decode().splitlines()


def test_line_ends_of_windows_stay(tmp_path: Path) -> None:
    made = target(tmp_path, STACK.replace("\n", "\r\n")).text(["one"])
    assert made.count(b"\r\n") == made.count(b"\n") == STACK.count("\n") - 2


def test_a_release_that_is_no_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="release must be letters"):
        target(tmp_path, release="no name").text(["one"])


def page(folder: Path, patch: str, front: str) -> Path:
    path = folder / "patches" / patch / "README.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(f"---\n{front}---\n# Why\n\nretired: no\n".encode())
    return path


def test_the_page_says_that_it_retired_and_nothing_else_in_it_changes(tmp_path: Path) -> None:
    path = page(tmp_path, "one", "title: x # why\nrequires: [two]\n")
    before = path.read_bytes()
    reason = 'landed as 1867a0c69 in b9206, "squash" of #1, {same} tree: it'
    assert retire(Workspace(tmp_path), "one", 9206, reason) == path
    said = Workspace(tmp_path).load_page("one").page.retired
    assert said is not None
    assert (said.build, said.reason) == (9206, reason)
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"".join(line for line in lines if not line.startswith(b"retired: {")) == before


@pytest.mark.parametrize(("known", "build", "kept"), [(5, 7, 5), (7, 7, 7), (9, 7, 7)])
def test_the_earliest_build_that_is_known_counts(tmp_path: Path, known: int, build: int, kept: int) -> None:
    path = page(tmp_path, "one", f"retired: {{build: {known}, reason: old}}\ntitle: x\n")
    written = retire(Workspace(tmp_path), "one", build, "new")
    said = Workspace(tmp_path).load_page("one").page.retired
    assert said is not None
    assert (said.build, said.reason) == (kept, "old" if known == kept else "new")
    assert written == (None if known <= build else path)


def test_a_page_that_nothing_can_be_added_to_is_refused_with_the_words_to_write(tmp_path: Path) -> None:
    path = page(tmp_path, "one", "{title: x}\n")
    before = path.read_bytes()
    with pytest.raises(InvalidError, match=r"add by hand: retired: \{build: 7, reason: landed\}"):
        retire(Workspace(tmp_path), "one", 7, "landed")
    assert path.read_bytes() == before


def test_what_is_handed_in_twice_is_written_once(tmp_path: Path) -> None:
    readme = page(tmp_path, "two", "title: two\n")
    made = target(tmp_path)
    choices = [choice("one"), choice("two", Action.RETIRE, "landed as 12", landed=4), choice("three", Action.LEAVE)]
    assert made.hand_in(Workspace(tmp_path), choices) == [readme, made.path]
    assert made.hand_in(Workspace(tmp_path), choices) == []
    assert "retired: {build: 4, reason: landed as 12}" in readme.read_text()
    assert Workspace(tmp_path).load_stack(made.path).stack.patches == ["one"]
    assert made.stack.path.read_text() == STACK


def test_what_a_person_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    for in_place in (False, True):
        made = target(tmp_path, in_place=in_place)
        made.path.write_text("# mine\n" + STACK)
        with pytest.raises(PatchctlError, match="is not what it was when this repin began"):
            made.hand_in(Workspace(tmp_path), [choice("one"), choice("two"), choice("three")])
        assert made.path.read_text().startswith("# mine\n")
