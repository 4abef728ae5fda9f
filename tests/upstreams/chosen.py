"""A pytest plugin for ``mutate``: run only the tests of the rows that a file lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--chosen FILE``."""
    parser.addoption("--chosen", required=True, help="file with one row's name a line")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop the tests of all other rows."""
    chosen = set(Path(config.getoption("--chosen")).read_text(encoding="utf-8").split("\n"))
    items[:] = [item for item in items if getattr(item, "callspec", None) and item.callspec.id in chosen]
