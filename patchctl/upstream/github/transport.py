"""Requests to one service: bounded in time, size and number, patient with limits; the token never leaves it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from patchctl import __version__
from patchctl.text import one_line, redacted
from patchctl.upstream.github.limits import LIMITED, UnansweredError, pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECT, READ = 5.0, 20.0  # seconds for the connection, and between two pieces of an answer
WHOLE = 60.0  # seconds for one answer; a server that sends a byte now and then is slow too
LARGEST = 16 * 2**20  # bytes of one answer
ATTEMPTS = 3
BACKOFF = 0.5  # seconds before the second attempt; doubled each time
WAIT = 90.0  # seconds that one run waits for limits to pass, all together
HOPS = 3
MOVED = frozenset({301, 302, 307, 308})
PASSING = frozenset({500, 502, 503, 504})


@dataclass(frozen=True)
class Reply:
    """An answer: status, headers by lower-case name, and its JSON (None without any)."""

    status: int
    headers: Mapping[str, str]
    data: Any


class _Token(AuthBase):
    """Sends the token, or nobody's: without this requests would look into ~/.netrc."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            r.headers["Authorization"] = f"Bearer {self.token}"
        return r


class _Session(requests.Session):
    """Follows nothing: where a redirect leads is for ``Transport`` to judge, before anything is sent there."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' signature
        return None


@dataclass
class Transport:
    """Sends requests; ``sent`` counts them. ``wait``, ``sleep`` and ``clock`` are there for tests and for patience."""

    token: str = field(default="", repr=False)
    wait: float = WAIT
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    backoff: float = BACKOFF
    read: float = READ
    whole: float = WHOLE
    sent: int = 0

    def __post_init__(self) -> None:
        self._session = _Session()
        self._session.auth = _Token(self.token)
        self._session.headers.update({
            "Accept": "application/vnd.github+json",
            "User-Agent": f"patchctl/{__version__}",
            "X-GitHub-Api-Version": "2022-11-28",
        })  # fmt: skip

    def get(self, url: str, etag: str | None = None) -> Reply:
        """Return the answer to a GET; with ``etag`` it may be 304. Follows a renamed repository on the same host."""
        headers = {"If-None-Match": etag} if etag else {}
        origin = _origin(url)
        for _ in range(HOPS + 1):
            reply = self._ask("GET", url, headers=headers)
            if reply.status not in MOVED:
                return reply
            url = urljoin(url, reply.headers.get("location", ""))
            if _origin(url) != origin:
                raise UnansweredError(f"{_host(origin)} sends to another host, {_host(url)}; not followed")
        raise UnansweredError(f"{_host(url)} sends in circles")

    def post(self, url: str, body: Mapping[str, Any]) -> Reply:
        """Return the answer to a POST of JSON; raises UnansweredError with ``overload`` where less may be asked."""
        return self._ask("POST", url, body=body, halve=True)

    def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        halve: bool = False,
    ) -> Reply:
        problem = ""
        for attempt in range(ATTEMPTS):
            if attempt and problem:
                self.sleep(self.backoff * 2 ** (attempt - 1))
            try:
                reply = self._once(method, url, headers or {}, body)
            except (requests.RequestException, ValueError, OSError) as error:
                problem = self._said(url, error)
                continue
            if reply.status in PASSING:
                if halve and reply.status in {502, 504}:
                    raise UnansweredError(f"{_host(url)} answered {reply.status}", overload=True)
                problem = f"{_host(url)} answered {reply.status}"
                continue
            seconds = pause(reply.status, reply.headers, reply.data, self.clock())
            if seconds is None:
                return reply
            problem = ""
            self._pass(url, seconds)
        raise UnansweredError(problem or f"{_host(url)}: {LIMITED}")

    def _pass(self, url: str, seconds: float) -> None:
        """Wait for a limit to pass, or give up when that takes longer than this run may wait."""
        if seconds > self.wait:
            hint = "" if self.token else "; a token in GITHUB_TOKEN raises the limit"
            raise UnansweredError(f"{_host(url)}: {LIMITED} for another {_minutes(seconds)}{hint}")
        self.wait -= seconds
        self.sleep(seconds)

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> Reply:
        self.sent += 1
        started = time.monotonic()
        with self._session.request(
            method, url, json=body, headers=headers, timeout=(CONNECT, self.read), stream=True, allow_redirects=False
        ) as response:
            content = b"".join(self._pieces(response, started))
        found = {name.lower(): value for name, value in response.headers.items()}
        length = found.get("content-length")
        if length and "content-encoding" not in found and int(length) != len(content):
            raise ValueError("the connection broke in the middle of the answer")
        is_json = "json" in found.get("content-type", "")
        return Reply(response.status_code, found, json.loads(content) if is_json and content else None)

    def _pieces(self, response: requests.Response, started: float) -> Iterator[bytes]:
        """Yield the answer as it comes; a reader that waits for a full block would never look at the clock."""
        size = 0
        while piece := response.raw.read1(decode_content=True):
            size += len(piece)
            if size > LARGEST:
                raise ValueError(f"the answer is larger than {LARGEST // 2**20} MiB")
            if time.monotonic() - started > self.whole:
                raise ValueError(f"the answer takes longer than {self.whole:.0f} s")
            yield piece

    def _said(self, url: str, error: Exception) -> str:
        why = "no answer in time" if isinstance(error, requests.Timeout) else _reason(error)
        return self._safe(f"{_host(url)}: {why}")

    def _safe(self, text: str) -> str:
        text = redacted(one_line(text))
        return text.replace(self.token, "***") if self.token else text


def _reason(error: Exception) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached or refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted (REQUESTS_CA_BUNDLE names another list)"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached, or hangs up"
    if isinstance(error, json.JSONDecodeError):
        return "what it answers is not JSON"
    return str(error)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
