"""What a stack's manifest wants of a bench: each limit passes, fails, or cannot be told with what was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patchctl.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from patchctl.manifest.model import Limit


def limits_of(limits: Iterable[Limit], variant: str) -> list[Limit]:
    """Return the limits that are for a variant."""
    return [limit for limit in limits if limit.variants is None or variant in limit.variants]


def judge(limits: Iterable[Limit], rows: Sequence[Mapping[str, Any]], variant: str) -> list[dict[str, str]]:
    """Return for each limit of a variant what it is (``limit``), its ``result`` and, in ``detail``, the worst row.

    ``result`` is pass, fail, unknown (the interval holds the limit) or error (nothing was measured that it is about).
    """
    return [{"limit": named(limit), **_judged(limit, rows)} for limit in limits_of(limits, variant)]


def named(limit: Limit) -> str:
    """Return a limit in words: ``decode, depth 4096: at least 0.98``."""
    at = ", ".join([limit.measure, *(f"{name} {value}" for name, value in limit.at.items())])
    return f"{at}: at least {limit.least:g}" if limit.least is not None else f"{at}: at most {limit.most:g}"


def _judged(limit: Limit, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    compared = [row for row in rows if _is_about(limit, row) and row["comparison"]]
    if not compared:
        return {"result": "error", "detail": "nothing that was compared is this"}
    found = [(_result(limit, row["comparison"]), _words(row)) for row in compared]
    return next(
        {"result": word, "detail": said} for word in ("fail", "unknown", "pass") for one, said in found if one == word
    )


def _is_about(limit: Limit, row: Mapping[str, Any]) -> bool:
    point: dict[str, int | str] = row["point"]
    return row["measure"] == limit.measure and limit.at.items() <= point.items()


def _result(limit: Limit, comparison: Mapping[str, Any]) -> str:
    low, high = comparison["low"] or 0.0, comparison["high"] or float("inf")
    if limit.least is not None:
        return "pass" if low >= limit.least else "fail" if high < limit.least else "unknown"
    most = limit.most or 0.0
    return "pass" if high <= most else "fail" if low > most else "unknown"


def _words(row: Mapping[str, Any]) -> str:
    found = row["comparison"]
    ends = "too few measurements" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}"
    return f"{', '.join(f'{name} {value}' for name, value in row['point'].items())}: {found['ratio']:.3f} ({ends})"


def exit_code(judged: Iterable[Mapping[str, str]]) -> Code:
    """Return what a bench ends with: 6 when a limit is not kept or was not measured, 10 when one cannot be told."""
    words = {one["result"] for one in judged}
    if words & {"fail", "error"}:
        return Code.TEST
    return Code.ATTENTION if "unknown" in words else Code.OK
