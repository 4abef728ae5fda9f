"""Which service knows the pull requests of an upstream, by the names GitHub Actions and GitHub Enterprise use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from patchctl.errors import Code, PatchctlError

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLIC = "github.com"
PUBLIC_API = "https://api.github.com"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Service:
    """Where to ask, and the token to ask with ("" without one); the token is in no text made of this."""

    api: str
    graphql: str
    token: str = field(default="", repr=False)


def service_for(url: str, environ: Mapping[str, str]) -> Service | None:
    """Return the service that knows the pull requests of the repository at ``url``, None when there is none.

    Raises PatchctlError (exit code 2) when a token would go over the line in clear.
    """
    host = (urlsplit(url).hostname or "").lower()
    home = (urlsplit(environ.get("GITHUB_SERVER_URL", "")).hostname or PUBLIC).lower()
    if host == home:
        api = environ.get("GITHUB_API_URL", "").rstrip("/") or (
            PUBLIC_API if host == PUBLIC else f"https://{host}/api/v3"
        )
        graphql = environ.get("GITHUB_GRAPHQL_URL", "") or _graphql(api)
        return _checked(Service(api, graphql, environ.get("GITHUB_TOKEN", "") or environ.get("GH_TOKEN", "")))
    # A token of an Enterprise server is nothing that github.com may see.
    return Service(PUBLIC_API, _graphql(PUBLIC_API)) if host == PUBLIC else None


def _graphql(api: str) -> str:
    return f"{api.removesuffix('/v3')}/graphql"


def _checked(service: Service) -> Service:
    for url in (service.api, service.graphql) if service.token else ():
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise PatchctlError(Code.USAGE, f"{url} is not https; a token is not sent in clear")
    return service
