"""When GitHub wants to be left alone, and for how long; pure.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api and the same for GraphQL, where an
exhausted limit is an error in an answer with status 200.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMITED = "the rate limit is used up"
UNSAID = 60.0  # seconds to wait where GitHub does not say: its own advice
SHORTEST = 1.0


class UnansweredError(Exception):
    """Nothing could be learned; the message says why. ``overload``: a smaller question may be answered."""

    def __init__(self, message: str, *, overload: bool = False) -> None:
        super().__init__(message)
        self.overload = overload


def pause(status: int, headers: Mapping[str, str], data: Any, now: float) -> float | None:
    """Return the seconds to wait before asking again, None for an answer that no limit is behind."""
    if not _is_limited(status, headers, data):
        return None
    after = headers.get("retry-after", "")
    if after.isdigit():
        return max(float(after), SHORTEST)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
        return max(float(reset) - _their_clock(headers, now), SHORTEST)
    return UNSAID


def _is_limited(status: int, headers: Mapping[str, str], data: Any) -> bool:
    if status == 200:
        errors = data.get("errors") if isinstance(data, dict) else None
        return any(isinstance(one, dict) and one.get("type") in {"RATE_LIMITED", "RATE_LIMIT"} for one in errors or ())
    said = data.get("message") if isinstance(data, dict) else ""
    told = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or "rate limit" in str(said).lower()
    return status == 429 or (status == 403 and told)


def _their_clock(headers: Mapping[str, str], now: float) -> float:
    """Return the service's own time: clocks differ, and the reset is told in its."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return now
