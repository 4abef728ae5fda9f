"""ddmin: what is left fails, and nothing of it can be left out."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from patchctl.bisect.ddmin import ddmin


@given(st.integers(1, 16), st.data())
def test_a_monotone_culprit_is_found_exactly(size: int, data: st.DataObject) -> None:
    culprit = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=4))
    asked: list[int] = []

    def fails(part: list[int]) -> bool:
        asked.append(1)
        return culprit <= set(part)

    assert set(ddmin(range(size), fails)) == culprit  # type: ignore[arg-type]
    assert len(asked) <= size * size + 3 * size


@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_any_failure_is_cut_to_one_of_which_each_element_is_needed(size: int, seed: int) -> None:
    everything = tuple(range(size))

    def fails(part: tuple[int, ...]) -> bool:
        return tuple(part) == everything or hash((seed, tuple(part))) % 3 == 0

    left = ddmin(everything, lambda part: fails(tuple(part)))
    assert fails(tuple(left))
    if len(left) > 1:
        assert not any(fails(rest) for rest in combinations(left, len(left) - 1))
