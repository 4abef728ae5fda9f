"""Names that no tree may have."""

from __future__ import annotations

import pytest

from patchctl.series.policy import outside


@pytest.mark.parametrize(("path", "refused"), [("src/" + "a" * 255, False), ("a" * 256, True), ("\u00e4" * 128, True)])
def test_a_name_that_no_file_system_takes_is_refused(path: str, refused: bool) -> None:
    assert bool(outside(path)) is refused
