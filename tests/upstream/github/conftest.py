"""A GitHub of one's own, and a client that waits without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from patchctl.ledger import Ledger
from patchctl.upstream.github.client import Client
from patchctl.upstream.github.service import Service
from patchctl.upstream.github.transport import Transport
from tests.upstream.github.fake import TOKEN, Fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW = 1_800_000_000.0


class World:
    """The fake, the clock, the sleeps, and clients that share one ledger."""

    def __init__(self, folder: Path) -> None:
        self.fake = Fake()
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.now = NOW
        self.slept: list[float] = []
        self.fake.clock = lambda: self.now

    def client(self, *, token: str = TOKEN, **settings: Any) -> Client:
        service = Service(self.fake.url, f"{self.fake.url}/graphql", token)

        def transport(own: str) -> Transport:
            settings.setdefault("sleep", self.sleep)
            return Transport(own, clock=lambda: self.now, **settings)

        return Client(service, self.ledger, transport, clock=lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.ledger.close()
    world.fake.close()


@pytest.fixture
def hundred(world: World) -> Callable[[], None]:
    """Let the fake know a hundred open pull requests."""

    def know() -> None:
        for number in range(1, 101):
            world.fake.know("acme/up", number, title=f"number {number}", head=f"{number:040x}")

    return know
