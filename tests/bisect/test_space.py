"""Valid sets of patches, and the ways between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from patchctl.bisect.space import NONE, Space
from tests.bisect.oracle import NAMES, random_needs

if TYPE_CHECKING:
    import random


def closed_part(space: Space, chance: random.Random) -> frozenset[str]:
    names = frozenset(name for name in space.order if chance.random() < 0.5)
    return names.union(*(space.needs.get(name, NONE) for name in names))


@given(st.randoms(use_true_random=False))
def test_every_way_between_two_valid_sets_is_valid_at_each_step(chance: random.Random) -> None:
    space = Space(1, NONE, NONE, tuple(NAMES), random_needs(NAMES, chance))
    start, end = closed_part(space, chance), closed_part(space, chance)
    now = start
    for change in space.changes(start, end):
        now ^= {change}
        assert space.closed(now)
    assert now == end


@given(st.randoms(use_true_random=False))
def test_a_change_brings_what_it_needs_and_takes_what_needs_it(chance: random.Random) -> None:
    space = Space(1, NONE, NONE, tuple(NAMES), random_needs(NAMES, chance))
    start, end = closed_part(space, chance), closed_part(space, chance)
    for change in space.changes(start, end):
        turned = space.turned(start, [change], end)
        assert space.closed(turned)
        assert (change in turned) == (change in end)
        assert turned ^ start <= start ^ end or not turned - start - end


def test_what_goes_goes_before_what_comes() -> None:
    space = Space(0, frozenset({"old", "a"}), frozenset({"new", "a"}), ("a", "new", "old"))
    assert space.changes(space.good, space.bad) == ["old", "new"]


def test_needs_that_the_end_cannot_give_do_not_go_round_for_ever() -> None:
    needs = {"q": frozenset({"p"}), "p": frozenset({"x"})}
    space = Space(0, frozenset({"x"}), frozenset({"p", "q"}), ("x", "p", "q"), needs)
    assert space.turned(space.good, ["x", "q"], space.bad) == NONE
