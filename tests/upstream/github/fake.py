"""A GitHub on loopback that cannot lie about its shape.

GraphQL: the query is validated and executed on GitHub's own schema (``schema.graphql``), so a wrong query is refused
and an impossible answer cannot be made. REST: each body is validated against GitHub's own description.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from graphql import GraphQLError, build_schema, execute_sync, parse, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
SCHEMA = build_schema((HERE / "schema.graphql").read_text("utf-8"))
REST = json.loads((HERE / "pull.schema.json").read_text("utf-8"))
DESCRIPTION = jsonschema.Draft202012Validator(REST)
TOKEN = "ghs_0123456789abcdefNobodys"
HOURLY = 60  # requests without a token

if TYPE_CHECKING:
    Fault = Callable[["Handler"], bool]


@dataclass
class Known:
    """One pull request as the fake knows it; ``closer`` and ``duplicate`` name a commit or ``owner/name#7``."""

    state: str = "OPEN"
    title: str = "a title"
    head: str = "a" * 40
    fork: str | None = "someone/fork"
    author: str | None = "someone"
    branch: str = "master"
    commit: str | None = None
    draft: bool = False
    review: str | None = None
    checks: str | None = None
    labels: list[str] = field(default_factory=list)
    closer: str | None = None
    duplicate: str | None = None
    mentions: list[str] = field(default_factory=list)


class MissingError(GraphQLError):
    """What GitHub says of something that is not there."""


class Fake:
    """The service and all it knows; ``asked`` are the requests so far, ``faults`` what befalls the next ones."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[int, Known]] = {}
        self.renamed: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.faults: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.hidden: set[tuple[str, str]] = set()  # (field, alias of the pull request) that the token may not see
        self.left = HOURLY
        self.reset = 0.0
        self.clock: Callable[[], float] = time.time
        self.wrong: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.fake = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        assert not self.wrong, self.wrong

    def know(self, repo: str, number: int, **facts: Any) -> Known:
        known = Known(**facts)
        self.repos.setdefault(repo, {})[number] = known
        return known

    def find(self, repo: str) -> tuple[str, dict[int, Known]] | None:
        name = self.renamed.get(repo, repo)
        return (name, self.repos[name]) if name in self.repos else None

    # --- GraphQL --------------------------------------------------------------------------------------------------

    def graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        document = parse(body["query"])
        refused = validate(SCHEMA, document)
        if refused:
            self.wrong += [error.message for error in refused]
            return {"errors": [{"message": error.message} for error in refused]}
        root = {"repository": self._repository}
        done = execute_sync(
            SCHEMA, document, root, variable_values=body.get("variables"), type_resolver=lambda value, *_: value["is"]
        )
        for error in done.errors or ():
            if not isinstance(error.original_error, MissingError) and "FORBIDDEN" not in error.message:
                self.wrong.append(str(error))
        errors = [{"type": error.message.split(":")[0], **error.formatted} for error in done.errors or ()]
        return {"data": done.data, **({"errors": errors} if errors else {})}

    def _repository(self, _info: Any, owner: str, name: str, followRenames: bool = True) -> dict[str, Any]:  # noqa: N803
        found = self.find(f"{owner}/{name}") if followRenames or f"{owner}/{name}" in self.repos else None
        if found is None:
            raise MissingError(f"NOT_FOUND: Could not resolve to a Repository with the name '{owner}/{name}'.")
        repo, pulls = found

        def pull(info: Any, number: int) -> dict[str, Any]:
            if number not in pulls:
                raise MissingError(f"NOT_FOUND: Could not resolve to a PullRequest with the number of {number}.")
            return self._pull(repo, number, info.path.key)

        return {"is": "Repository", "nameWithOwner": repo, "pullRequest": pull}

    def _pull(self, repo: str, number: int, alias: str) -> dict[str, Any]:
        known = self.repos[repo][number]

        def checks(_info: Any) -> dict[str, str] | None:
            if ("statusCheckRollup", alias) in self.hidden:
                raise GraphQLError("FORBIDDEN: Resource not accessible by personal access token")
            return {"state": known.checks} if known.checks else None

        def timeline(_info: Any, itemTypes: list[str], last: int, **_: Any) -> dict[str, Any]:  # noqa: N803
            return {"nodes": [event for kind, event in self._events(known) if kind in itemTypes][-last:]}

        return {
            "is": "PullRequest", "number": number, "state": known.state, "isDraft": known.draft, "title": known.title,
            "headRefOid": known.head, "baseRefName": known.branch, "reviewDecision": known.review,
            "author": {"is": "User", "login": known.author} if known.author else None,
            "mergeCommit": {"is": "Commit", "oid": known.commit} if known.commit else None,
            "merged": known.state == "MERGED", "mergedAt": "2026-01-02T03:04:05Z" if known.commit else None,
            "headRepository": {"is": "Repository", "nameWithOwner": known.fork} if known.fork else None,
            "repository": {"is": "Repository", "nameWithOwner": repo}, "statusCheckRollup": checks,
            "labels": lambda _info, first, **_: {"nodes": [{"name": name} for name in known.labels][:first]},
            "timelineItems": timeline,
        }  # fmt: skip

    def _events(self, known: Known) -> Iterator[tuple[str, dict[str, Any]]]:
        for name in known.mentions:
            yield "CROSS_REFERENCED_EVENT", {"is": "CrossReferencedEvent", "source": self._named(name)}
        if known.duplicate:
            event = {"is": "MarkedAsDuplicateEvent", "canonical": self._named(known.duplicate)}
            yield "MARKED_AS_DUPLICATE_EVENT", event
        if known.state != "OPEN":
            closer = self._named(known.closer) if known.closer else None
            yield "CLOSED_EVENT", {"is": "ClosedEvent", "closer": closer}

    def _named(self, name: str) -> dict[str, Any]:
        if "#" not in name:
            return {"is": "Commit", "oid": name}
        repo, number = name.rsplit("#", 1)
        if int(number) not in self.repos[repo]:
            return {"is": "Issue", "id": "I_1"}
        return self._pull(repo, int(number), "")

    # --- REST -----------------------------------------------------------------------------------------------------

    def rest(self, repo: str, number: int) -> dict[str, Any]:
        known = self.repos[repo][number]
        merged = known.state == "MERGED"
        facts = {
            "number": number, "state": "open" if known.state == "OPEN" else "closed", "draft": known.draft,
            "title": known.title, "merged": merged, "merged_at": "2026-01-02T03:04:05Z" if merged else None,
            # Before merging it is the commit of a trial.
            "merge_commit_sha": known.commit or "7e57" * 10,
            "labels": [{**least(REST["properties"]["labels"]["items"]), "name": name} for name in known.labels],
        }  # fmt: skip
        body = {**least(REST), **facts}
        body["user"] = {**body["user"], "login": known.author or "ghost"}
        repository = least({"$ref": "#/$defs/repository"})
        body["base"] = {**body["base"], "ref": known.branch, "repo": {**repository, "full_name": repo}}
        gone = {"repo": None, "user": None, "label": None} if known.fork is None else {}
        body["head"] = {**body["head"], "sha": known.head, "repo": {**repository, "full_name": known.fork}, **gone}
        DESCRIPTION.validate(body)
        return body


def least(schema: dict[str, Any]) -> Any:
    """Return the smallest value that a schema takes."""
    if "$ref" in schema:
        return least(REST["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return least(schema[choice][0])
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: least(schema["properties"][name]) for name in schema.get("required", ())}
    plain: dict[Any, Any] = {"array": [], "string": "x", "integer": 1, "number": 1, "boolean": False}
    return plain.get(kind)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def fake(self) -> Fake:
        fake: Fake = self.server.fake  # type: ignore[attr-defined]
        return fake

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def do_GET(self) -> None:
        if self._befell(None):
            return
        words = self.path.removeprefix("http://api.example.invalid").strip("/").split("/")
        if words[0] == "repositories":
            repo = list(self.fake.repos)[int(words[1])]
        else:
            repo = "/".join(words[1:3])
            if repo in self.fake.renamed:
                at = list(self.fake.repos).index(self.fake.renamed[repo])
                self.answer(301, {}, {"Location": f"{self.fake.url}/repositories/{at}/pulls/{words[-1]}"})
                return
        if not self._may():
            return
        if int(words[-1]) not in self.fake.repos.get(repo, {}):
            self.answer(404, {"message": "Not Found", "status": "404"})
            return
        body = self.fake.rest(repo, int(words[-1]))
        etag = f'W/"{hashlib.sha256(json.dumps(body).encode()).hexdigest()}"'
        if self.headers.get("If-None-Match") == etag:
            self.answer(304, None, {"ETag": etag})
        else:
            self.answer(200, body, {"ETag": etag})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._befell(body):
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"message": "Bad credentials"})
            return
        self.answer(200, self.fake.graphql(body))

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        if "Date" not in (headers or {}):
            self.send_header("Date", self.date_time_string(self.fake.clock()))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _may(self) -> bool:
        """Return whether a request without a token is still within its hour."""
        token = self.headers.get("Authorization")
        if token is not None:
            if token != f"Bearer {TOKEN}":
                self.answer(401, {"message": "Bad credentials"})
            return token == f"Bearer {TOKEN}"
        if self.fake.left <= 0:
            limits = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(self.fake.reset))}
            self.answer(403, {"message": "API rate limit exceeded for 127.0.0.1."}, limits)
            return False
        self.fake.left -= 1
        return True

    def _befell(self, body: Any) -> bool:
        self.fake.asked.append((self.command, self.path, dict(self.headers), body))
        fault = self.fake.faults.popleft() if self.fake.faults else self.fake.always
        return fault is not None and fault(self)


# --- what can befall a request ----------------------------------------------------------------------------------------


def says(status: int, body: Any = None, **headers: str) -> Fault:
    """Answer with this instead; ``Retry_After`` is the header ``Retry-After``."""

    def fault(handler: Handler) -> bool:
        handler.answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def too_much(most: int, status: int = 502) -> Fault:
    """Answer 502 to a query for more than ``most`` pull requests."""

    def fault(handler: Handler) -> bool:
        body = handler.fake.asked[-1][3]
        if body is None or body["query"].count("pullRequest(") <= most:
            return False
        handler.answer(status, {"message": "We couldn't respond to your request in time."})
        return True

    return fault


def hangs_up(handler: Handler) -> bool:
    """End the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def breaks_off(handler: Handler, begun: bytes = b'{"data": ') -> bool:
    """Promise more than what comes."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(begun)
    return hangs_up(handler)


def promises(handler: Handler) -> bool:
    """Promise an answer and send nothing of it."""
    return breaks_off(handler, b"")


def sleeps(seconds: float) -> Fault:
    """Say nothing for a while."""

    def fault(handler: Handler) -> bool:
        time.sleep(seconds)
        return hangs_up(handler)

    return fault


def drips(seconds: float) -> Fault:
    """Send a byte now and then: never idle, never done."""

    def fault(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(seconds)
        except OSError:
            handler.close_connection = True
        return True

    return fault
