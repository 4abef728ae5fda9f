"""Both axes made real: which patches cannot stand without which, and commits by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from patchctl.bisect.axes import Axes, make_end
from patchctl.bisect.space import State
from patchctl.config import mirror_for
from patchctl.errors import PatchctlError
from patchctl.ledger import Ledger
from patchctl.manifest.workspace import find_workspace
from patchctl.store import Store
from tests.upstreams import Made, load, make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Make = Callable[[str, str, str], Axes]


@pytest.fixture
def axes_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Give the axes of a row of situations.yaml between two of its commits."""
    stores: list[Store] = []

    def axes(name: str, good: str, bad: str) -> Axes:
        made: Made = make(next(row for row in load() if row.name == name), tmp_path / name)
        monkeypatch.setenv("PATCHCTL_MIRROR", made.mirror)
        store = Store(made.url, mirror_for(made.url), tmp_path / "cache", Ledger(tmp_path / "ledger.sqlite"))
        stores.append(store)
        workspace = find_workspace(made.workspace)
        stack = workspace.load_stack(made.stack)
        for commit in (good, bad):
            store.ensure_commit(made.commits[commit])
        return Axes(store, *(make_end(workspace, stack, made.commits[one], store) for one in (good, bad)))

    yield axes
    for store in stores:
        store.repo.close()
        store.ledger.close()


def test_what_a_patch_stands_on_is_declared_or_learnt(axes_of: Make) -> None:
    for name in ("dependent-blocked", "dependent-undeclared"):
        space = axes_of(name, "b1", "b2").space
        assert space.needs["second"] == {"first"}, name
        assert not space.closed(frozenset({"second"}))


def test_patches_that_have_nothing_to_do_with_each_other_need_nothing(axes_of: Make) -> None:
    assert not any(axes_of("conflict-only-together", "b1", "b1").space.needs["third"])


def test_a_point_is_named_so_that_it_is_found_again(axes_of: Make) -> None:
    axes = axes_of("dependent-blocked", "b1", "b2")
    for state in (State(0, frozenset()), State(1, frozenset({"first"})), axes.space.bad_end):
        assert axes.state(axes.word(state)) == state
    for word in ("b1", "0" * 40 + ":", axes.line[0], axes.line[0] + ":nobody"):
        with pytest.raises(PatchctlError, match="is no point of this bisect"):
            axes.state(word)


def test_time_can_run_backwards(axes_of: Make) -> None:
    axes = axes_of("dependent-blocked", "b2", "b1")
    assert (axes.forward, [axes.build(at) for at in range(2)]) == (False, [2, 1])
    assert axes.commit(1) == axes.line[0]  # the commit that the step takes away
