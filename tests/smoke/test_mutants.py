"""The mutants are llama.cpp and built by hand; here: that their stacks are sound, and their pages say the same."""

from __future__ import annotations

import pytest

from patchctl.manifest.workspace import Workspace
from patchctl.smoke.plan import general_names, stack_cases
from tests.conftest import ROOT

FOLDER = ROOT / "tests" / "mutants"
MUTANTS = sorted(path.name for path in (FOLDER / "patches").iterdir())


def caught_by(name: str) -> list[str]:
    space = Workspace(FOLDER)
    stack = space.load_stack(FOLDER / "stacks" / f"{name}.yaml")
    cases = stack_cases(space, stack)
    assert stack.stack.patches == ([name] if name in MUTANTS else [])
    return [case.test.name for case in cases if case.test.expect == "fail"]


@pytest.mark.parametrize("name", MUTANTS)
def test_each_mutant_is_caught_by_the_tests_its_page_and_the_table_name(name: str) -> None:
    named = caught_by(name)
    page = (FOLDER / "patches" / name / "README.md").read_text()
    (row,) = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` ")]
    assert named
    for text in (page.split("## What catches it")[1], row):
        assert [test for test in general_names() if f"`{test}`" in text] == sorted(named)


def test_the_known_defects_of_the_stock_base_are_marked_with_their_reason() -> None:
    assert caught_by("b9187-stock") == ["same-prompt-twice", "mtp-same-prompt-twice"]


def test_the_guide_names_the_mutants_of_every_general_test() -> None:
    guide = (ROOT / "docs" / "tests.md").read_text().split("## What comes with patchctl")[1]
    rows = [line.split("|")[1:4:2] for line in guide.splitlines() if line.startswith("| `")]
    caught = {name: set(caught_by(name)) for name in MUTANTS}
    listed = []
    for tests, seen in rows:
        first, *others = tests.replace("`", "").replace(" ", "").split(",")
        names = [first, *(first.rsplit("-", 1)[0] + name if name.startswith("-") else name for name in others)]
        listed += names
        assert {name for name in MUTANTS if f"`{name}`" in seen} == {
            name for name in MUTANTS if caught[name] & set(names)
        }, tests
    assert sorted(listed) == general_names()
