"""``bisect --until applies`` on the rows of ``tests/upstreams/situations.yaml`` that name a culprit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.upstreams import Situation, load, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [row for row in load() if row.culprit is not None]


def test_there_are_rows_that_name_a_culprit() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_commit_and_the_patch_since_which_it_does_not_apply(
    row: Situation, patchctl: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(row, tmp_path / row.name)
    monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
    ends = ("--good-base", made.commits["b1"], "--bad-base", made.target)
    ran = patchctl("bisect", "--json", "--stack", made.stack, *ends, "--until", "applies", cwd=made.workspace)
    assert ran.code == 0, ran
    patch, commit = (row.culprit or "").split()
    assert json.loads(ran.stdout)["culprit"]["ids"] == [patch, made.commits[commit]]
