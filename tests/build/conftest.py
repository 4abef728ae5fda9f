"""A bench for each test, and one project built once for the tests that only read what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.build.project import MINI, Bench
from tests.conftest import shared

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The mini project, built; tests must not change it."""
    bench = Bench(tmp_path_factory.mktemp("once"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CCACHE_DIR", str(shared(tmp_path_factory) / "ccache"))
        patch.setenv("PATCHCTL_CACHE", str(bench.root / "cache"))
        bench.build(MINI)
    return bench
