"""``patchctl status`` on every row of ``tests/upstreams/situations.yaml``: the verdict on each patch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.upstreams import Situation, load, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [row for row in load() if row.exit != 3]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_verdict_on_each_patch(
    row: Situation, tmp_path: Path, patchctl: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(row, tmp_path / "made")
    monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
    ran = patchctl("status", made.stack, *made.onto, "--json", cwd=made.workspace)
    assert ran.code == 0, ran
    found = {patch["id"]: patch["verdict"] for patch in json.loads(ran.stdout)["stacks"][0]["patches"]}
    assert found == {patch.id: patch.verdict or "keep" for patch in row.patches}, ran.stdout
