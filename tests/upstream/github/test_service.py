"""Which service is asked, and who gets the token."""

from __future__ import annotations

import pytest

from patchctl.errors import PatchctlError
from patchctl.upstream.github.service import Service, service_for
from patchctl.upstream.pull import repository, same_repository

GITHUB = "https://github.com/acme/up"
ENTERPRISE = "https://git.acme.example/acme/up"


@pytest.mark.parametrize(
    ("url", "environ", "service"),
    [
        (GITHUB, {}, Service("https://api.github.com", "https://api.github.com/graphql")),
        (GITHUB, {"GITHUB_TOKEN": "t"}, Service("https://api.github.com", "https://api.github.com/graphql", "t")),
        (GITHUB, {"GH_TOKEN": "t"}, Service("https://api.github.com", "https://api.github.com/graphql", "t")),
        (GITHUB, {"GITHUB_TOKEN": "", "GH_TOKEN": "t"},
         Service("https://api.github.com", "https://api.github.com/graphql", "t")),
        # on Enterprise, github.com is another house: no token of this one goes there
        (GITHUB, {"GITHUB_SERVER_URL": "https://git.acme.example", "GITHUB_TOKEN": "t",
                  "GITHUB_API_URL": "https://git.acme.example/api/v3"},
         Service("https://api.github.com", "https://api.github.com/graphql")),
        (ENTERPRISE, {"GITHUB_SERVER_URL": "https://git.acme.example", "GITHUB_TOKEN": "t"},
         Service("https://git.acme.example/api/v3", "https://git.acme.example/api/graphql", "t")),
        (ENTERPRISE, {"GITHUB_SERVER_URL": "https://git.acme.example/", "GITHUB_TOKEN": "t",
                      "GITHUB_API_URL": "https://api.acme.example/", "GITHUB_GRAPHQL_URL": "https://q.acme.example"},
         Service("https://api.acme.example", "https://q.acme.example", "t")),
        (ENTERPRISE, {"GITHUB_TOKEN": "t"}, None),
        ("patchctl:demo", {"GITHUB_TOKEN": "t"}, None),
        ("/somewhere/up.git", {"GITHUB_TOKEN": "t"}, None),
    ],
)  # fmt: skip
def test_the_service_of_an_upstream(url: str, environ: dict[str, str], service: Service | None) -> None:
    assert service_for(url, environ) == service


@pytest.mark.parametrize("name", ["GITHUB_API_URL", "GITHUB_GRAPHQL_URL"])
def test_a_token_is_not_sent_in_clear(name: str) -> None:
    with pytest.raises(PatchctlError, match="not https"):
        service_for(GITHUB, {"GITHUB_TOKEN": "t", name: "http://api.acme.example"})
    assert service_for(GITHUB, {name: "http://api.acme.example"})
    assert service_for(GITHUB, {"GITHUB_TOKEN": "t", name: "http://127.0.0.1:8080/x"})


def test_a_service_does_not_show_its_token() -> None:
    assert "secret" not in repr(Service("https://a", "https://b", "secret"))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/acme/up", "acme/up"),
        ("https://github.com/acme/up.git", "acme/up"),
        ("https://user:word@github.com:443/acme/up/", "acme/up"),
        ("git@github.com:acme/up.git", "acme/up"),
        ("ssh://git@github.com/acme/up", "acme/up"),
        ("https://example.invalid/up.git", "up"),
        ("patchctl:demo", "patchctl/demo"),
        ("file:///srv/git/acme/up.git", "up"),
        ("/srv/git/acme/up.git", "up"),
        ("", ""),
    ],
)
def test_the_name_in_a_url(url: str, name: str) -> None:
    assert repository(url) == name


def test_one_repository_under_several_urls() -> None:
    assert same_repository("Acme/Up", "https://github.com/acme/up.git")
    assert same_repository("acme/up", "https://example.invalid/up")
    assert not same_repository("friend/up", "https://github.com/acme/up")
    assert not same_repository("acme/upper", "https://example.invalid/up")
