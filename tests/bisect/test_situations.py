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


def test_every_stack_that_does_not_apply_names_what_is_to_blame() -> None:
    assert {row.name for row in ROWS} == {row.name for row in load() if row.exit == 4}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_to_blame_for_a_stack_that_does_not_apply(
    row: Situation, patchctl: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(row, tmp_path / row.name)
    monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
    ends = ("--stack", made.stack, "--good-base", made.commits["b1"], "--bad-base", made.target)
    if row.target == "b1":
        bare = made.stack.with_name("bare.yaml")
        outline = ("schema: 1", "release: bare", f"upstream: {{repo: {made.url}, commit: {made.base}}}", "patches: []")
        bare.write_text("\n".join((*outline, "build: {targets: [engine], variants: {cpu: {}}}", "")))
        ends = ("--good", bare, "--bad", made.stack)
    ran = patchctl("bisect", "--json", *ends, "--until", "applies", cwd=made.workspace)
    assert ran.code == 0, ran
    patches = {patch.id for patch in row.patches}
    named = [word if word in patches else made.commits[word] for word in (row.culprit or "").split()]
    assert json.loads(ran.stdout)["culprit"]["ids"] == named
