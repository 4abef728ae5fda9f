"""Where a bisect looked: both axes, every point in its place, the culprit's steps marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patchctl.report.page import page
from patchctl.report.ways import LEFT, RIGHT, WIDTH, ways
from tests.report.made import BISECT, make

if TYPE_CHECKING:
    from pathlib import Path


def test_points_lie_by_commit_and_by_set_of_patches() -> None:
    drawn = ways(BISECT)
    assert [row["label"] for row in drawn["rows"]] == ["all patches", "no patch"]
    assert [tick["label"] for tick in drawn["ticks"]] == ["b1", "b9"]
    good, bad, skip = drawn["points"]
    assert good["y"] == bad["y"] != skip["y"]
    assert good["x"] < bad["x"] == skip["x"] < WIDTH - RIGHT
    assert (good["x"] - LEFT) / (WIDTH - LEFT - RIGHT) == 6 / 8


def test_the_steps_that_hold_the_culprit_are_marked() -> None:
    drawn = ways(BISECT)
    good, bad, _ = drawn["points"]
    assert drawn["band"] == {"x": good["x"], "width": bad["x"] - good["x"]}
    assert ways({**BISECT, "culprit": None})["band"] is None
    assert ways({**BISECT, "culprit": {**BISECT["culprit"], "commits": []}})["band"] is None


def test_one_base_is_one_column() -> None:
    points = [{**point, "at": 0} for point in BISECT["points"]]
    drawn = ways({**BISECT, "axes": {**BISECT["axes"], "commits": 0}, "points": points})
    assert [tick["label"] for tick in drawn["ticks"]] == ["b9"]
    assert {point["x"] for point in drawn["points"]} == {drawn["ticks"][0]["x"]}


def test_the_page_says_who_is_to_blame_how_sure_that_is_and_what_it_saved(tmp_path: Path) -> None:
    text = page(make(tmp_path)).decode()
    for said in (
        "Where it looked",
        "Confidence 97.0 %",
        "4 builds (5 saved)",
        "b1 good, b9 bad: 8 commits",
        "second-fix (added)",
        "b8 97.0 %",
        f'href="https://github.com/o/u/commit/{"f" * 40}"',
        "b8: bad",
    ):
        assert said in text, said
