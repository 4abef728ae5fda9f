"""The same assertions on the fake and, where a token is set, on the real service: the fake shows what is real."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from patchctl.ledger import Ledger
from patchctl.upstream.github.client import Client
from patchctl.upstream.github.service import service_for
from patchctl.upstream.github.transport import Transport
from patchctl.upstream.pull import PullName
from tests.upstream.github.fake import TOKEN, Fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

URL = "https://github.com/ggml-org/llama.cpp"
NOW, BEFORE = "ggml-org/llama.cpp", "ggerganov/llama.cpp"  # the repository was renamed
# number: (head, the commit it was merged as)
MERGED = {
    10864: ("d146334c1165f21ffac9a7c2f5a944f12cd085ea", "382bc7f2e8ffd0b89f23e840d097e21f301197ba"),
    10876: ("e10dc009b5f55d9a8cd77ff463bf0042b4793a2e", "4da69d1abd15263061aff94c10f205836a96a4bc"),
    10883: ("64d8687e22997f085ec811223b09ead34d8037bb", "7ae33a616f44ecc081f3dcb589be20962d1d4a92"),
}
ABSENT = 2_000_000_000
REAL = dict(os.environ)  # the isolated environment of a test has no token


def _fake() -> Iterator[dict[str, str]]:
    fake = Fake()
    for number, (head, commit) in MERGED.items():
        fake.know(NOW, number, state="MERGED", head=head, commit=commit)
    fake.renamed[BEFORE] = NOW
    yield {"GITHUB_API_URL": fake.url, "GITHUB_GRAPHQL_URL": f"{fake.url}/graphql", "GITHUB_TOKEN": TOKEN}
    fake.close()


@pytest.fixture(
    params=[
        "fake",
        pytest.param(
            "real",
            marks=[
                pytest.mark.live,
                pytest.mark.skipif(not (REAL.get("GITHUB_TOKEN") or REAL.get("GH_TOKEN")), reason="needs a token"),
            ],
        ),
    ]
)
def environ(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    if request.param == "fake":
        yield from _fake()
    else:
        yield {name: REAL[name] for name in ("GITHUB_TOKEN", "GH_TOKEN") if name in REAL}


@pytest.fixture
def client(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Client]]:
    ledger = Ledger(tmp_path / "ledger.sqlite")

    def make(*, token: bool) -> Client:
        own = environ if token else {name: value for name, value in environ.items() if "TOKEN" not in name}
        service = service_for(URL, own)
        assert service is not None
        return Client(service, ledger, Transport)

    yield make
    ledger.close()


@pytest.mark.parametrize("token", [True, False], ids=["graphql", "rest"])
def test_what_is_merged_renamed_and_absent(client: Callable[..., Client], token: bool) -> None:
    names = [PullName(BEFORE, number) for number in [*MERGED, ABSENT]]
    asked = client(token=token).pulls(names, max_age=0)
    assert asked.problem == ""
    assert asked.answers[names[-1]].pull is None
    for name, (head, commit) in zip(names, MERGED.values(), strict=False):
        pull = asked.answers[name].pull
        assert pull is not None
        assert (pull.repo, pull.number, pull.state, pull.head, pull.commit, pull.branch) == (
            NOW, name.number, "merged", head, commit, "master"
        )  # fmt: skip
    again = client(token=token)
    assert again.pulls(names[:-1], max_age=0).answers == {name: asked.answers[name] for name in names[:-1]}
    assert again.sent == 0


def test_a_hundred_cost_four_requests(client: Callable[..., Client]) -> None:
    names = [PullName(NOW, number) for number in range(10_801, 10_901)]
    made = client(token=True)
    asked = made.pulls(names, max_age=3600)
    assert (len(asked.answers), asked.problem, made.sent) == (100, "", 4)
