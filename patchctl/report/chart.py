"""Where the lines of a chart go: from measurements to coordinates. The template draws them."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 84, 16, 16, 36
LINES = 4  # horizontal lines above zero, about


def chart(title: str, unit: str, columns: Sequence[str], series: Mapping[str, Mapping[str, Sequence[float]]]) -> Any:
    """Return a chart as coordinates: one line per series through the medians, each measurement a dot.

    ``series`` maps a name to the measurements in each of the ``columns``; a column may be missing.
    """
    most = max(value for by in series.values() for values in by.values() for value in values)
    step = _step(most)
    top = step * max(1, math.ceil(most / step))
    across = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)
    places = {column: round(LEFT + across * (at + 0.5), 1) for at, column in enumerate(columns)}

    def height(value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)

    return {
        "title": title,
        "unit": unit,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "bottom": HEIGHT - BOTTOM,
        "grid": [{"y": height(step * k), "label": f"{step * k:,.10g}"} for k in range(round(top / step) + 1)],
        "ticks": [{"x": x, "label": column} for column, x in places.items()],
        "lines": [
            {"name": name, "points": [_point(places[c], by[c], height) for c in columns if by.get(c)]}
            for name, by in series.items()
        ],
    }


def _point(x: float, values: Sequence[float], height: Any) -> dict[str, Any]:
    middle = median(values)
    return {"x": x, "y": height(middle), "value": number(middle), "dots": [height(value) for value in values]}


def _step(most: float) -> float:
    """Return 1, 2 or 5 times a power of ten, so that about ``LINES`` steps reach ``most``; 1 for 0."""
    rough = most / LINES or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * by for by in (1, 2, 5, 10) if power * by >= rough * (1 - 1e-9))


def number(value: float) -> str:
    """Return a number with three digits that count: ``1,234``, ``12.3``, ``0.0123``."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def over_depth(bench: Mapping[str, Any]) -> list[Any]:
    """Return a chart for each thing that a bench measured at several depths."""
    found: dict[tuple[str, str, str], dict[str, dict[str, list[float]]]] = {}
    for row in bench["rows"]:
        if "depth" not in row["point"]:
            continue
        key = (row["measure"], point_words(row["point"], without="depth"), row["unit"])
        for one in row["series"]:
            found.setdefault(key, {}).setdefault(one["name"], {})[depth_words(row["point"]["depth"])] = one["values"]
    return [
        chart(", ".join(filter(None, (measure, words))), unit, columns, series)
        for (measure, words, unit), series in found.items()
        if len(columns := _columns(series.values())) > 1
    ]


def over_releases(benches: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return a chart for each thing that was measured of several releases on the same hardware with the same model."""
    found: dict[tuple[str, ...], dict[str, dict[str, list[float]]]] = {}
    units: dict[tuple[str, ...], str] = {}
    for bench in sorted(benches, key=lambda it: (it["build"]["number"], it["stack"])):
        for row in bench["rows"]:
            own = [one["values"] for one in row["series"] if one["name"] == bench["stack"]]
            if not own:
                continue
            shared = (row["measure"], bench["variant"], bench["model"]["name"], bench["hardware"]["words"])
            key = (*shared, point_words(row["point"], without="depth"))
            name = f"depth {depth_words(row['point']['depth'])}" if "depth" in row["point"] else row["measure"]
            found.setdefault(key, {}).setdefault(name, {})[bench["stack"]] = own[0]
            units[key] = row["unit"]
    return [
        chart(", ".join(filter(None, key)), units[key], columns, series)
        for key, series in found.items()
        if len(columns := _columns(series.values())) > 1
    ]


def _columns(series: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(column for by in series for column in by))


def point_words(point: Mapping[str, Any], *, without: str = "") -> str:
    """Return what a row was measured at, in words: ``batch 4, kv q8_0``."""
    return ", ".join(f"{name} {value}" for name, value in point.items() if name != without)


def depth_words(depth: int) -> str:
    """Return a depth in tokens as people write it: ``4096``, ``32k``, ``128k``."""
    return f"{depth // 1024}k" if depth >= 8192 and depth % 1024 == 0 else str(depth)
