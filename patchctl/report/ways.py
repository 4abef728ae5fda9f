"""Where a bisect looked, as a picture: upstream's commits from left to right, a line for each set of patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 640, 132, 40, 12, 26, 30


def ways(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the points of a bisect (its ``--json``) as coordinates, with the steps that hold the culprit marked."""
    commits = found["axes"]["commits"]
    sets = _sets(found)
    rows = {patches: TOP + ROW * at + ROW // 2 for at, patches in enumerate(sets)}

    def across(at: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at / commits if commits else 0.5), 1)

    return {
        "width": WIDTH,
        "height": TOP + ROW * len(rows) + BOTTOM,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": TOP + ROW * len(rows),
        "rows": [{"y": y, "label": _label(patches, found)} for patches, y in rows.items()],
        "ticks": [{"x": across(at), "label": f"b{found['axes'][end]['build']}"} for at, end in _ends(commits)],
        "points": [
            {"x": across(point["at"]), "y": rows[tuple(point["patches"])], "verdict": point["verdict"],
             "label": point["label"]}
            for point in found["points"]
        ],
        "band": _band(found, across),
    }  # fmt: skip


def _sets(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the sets of patches that were tried, the most patches first."""
    return sorted({tuple(point["patches"]) for point in found["points"]}, key=lambda some: (-len(some), some))


def _ends(commits: int) -> list[tuple[int, str]]:
    return [(0, "good"), (commits, "bad")] if commits else [(0, "bad")]


def _label(patches: tuple[str, ...], found: Mapping[str, Any]) -> str:
    everything = {patch["id"] for patch in found["axes"]["patches"]}
    if not patches:
        return "no patch"
    if len(patches) == 1:
        return patches[0] if len(patches[0]) <= 16 else f"{patches[0][:15]}…"
    return "all patches" if set(patches) == everything else f"{len(patches)} patches"


def _band(found: Mapping[str, Any], across: Any) -> dict[str, float] | None:
    """Return from where to where the culprit's commits are; None where no commit is to blame."""
    culprit = found["culprit"]
    if culprit is None or not culprit["commits"]:
        return None
    at = {point["point"]: point["at"] for point in found["points"]}
    if culprit["good"] not in at or culprit["bad"] not in at:
        return None
    left, right = sorted((across(at[culprit["good"]]), across(at[culprit["bad"]])))
    return {"x": left, "width": round(max(right - left, 2.0), 1)}
