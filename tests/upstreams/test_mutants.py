"""The list of mutants stays one that can be run: ``python -m tests.upstreams.mutate``."""

from __future__ import annotations

from pathlib import Path

import pytest

import patchctl
from tests.upstreams.mutants import Mutant, load
from tests.upstreams.mutate import unnoticed
from tests.upstreams.rows import load as load_rows

PACKAGE = Path(patchctl.__file__).parent


@pytest.mark.parametrize("mutant", load(), ids=lambda mutant: mutant.name)
def test_the_words_a_mutant_changes_stand_in_the_code_once(mutant: Mutant) -> None:
    found = [(PACKAGE / edit.file).read_text(encoding="utf-8").count(edit.old) for edit in mutant.edits]
    assert found == [1] * len(found), mutant.edits


def test_every_row_must_be_noticed_by_a_mutant_that_names_it() -> None:
    assert unnoticed() == []
    known = {row.name for row in load_rows()}
    assert {row for mutant in load() for row in mutant.rows} <= known
