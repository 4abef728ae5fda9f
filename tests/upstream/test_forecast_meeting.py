"""What a patch meets: the files it names, and the whole tree only where that decides."""

from __future__ import annotations

import pytest

from patchctl.series.trees import FOLDER, Entry
from patchctl.upstream.line import HERE
from patchctl.upstream.meeting import Needs

FILE, OTHER = Entry("100644", "1" * 40), Entry("100644", "2" * 40)
NEEDS = Needs(frozenset({"a/x"}), frozenset({"b/new"}), frozenset({"b"}), frozenset({"b"}), whole=False)
STATE = {"a/x": FILE, "b/new": None, "b": HERE}


@pytest.mark.parametrize(
    ("change", "overlay", "whole"),
    [
        ({}, {}, False),
        ({"a/x": OTHER}, {}, False),
        ({"a/x": None}, {}, True),
        ({"a/x": None}, {"a/x": FILE}, False),
        ({}, {"a/x": None}, True),
        ({"a/x": HERE}, {}, True),
        ({"a/x": Entry(FOLDER, "3" * 40)}, {}, True),
        ({"b/new": FILE}, {}, True),
        ({}, {"b/new": FILE}, True),
        ({"b": None}, {}, True),
        ({"b": FILE}, {}, True),
        ({"b": None}, {"b/other": FILE}, False),
        ({}, {"b/other": None}, True),
        ({}, {"elsewhere": FILE}, False),
    ],
)
def test_the_whole_tree_counts_only_where_it_decides(
    change: dict[str, Entry | None], overlay: dict[str, Entry | None], whole: bool
) -> None:
    state = {**STATE, **change}
    one, two = (NEEDS.met(state, overlay, tree) for tree in ("4" * 40, "5" * 40))
    assert (one[1], one[0] != two[0]) == (whole, whole)


def test_a_folder_that_was_never_there_decides_nothing() -> None:
    needs = Needs(frozenset(), frozenset({"c/new"}), frozenset({"c"}), frozenset(), whole=False)
    absent = needs.met({"c/new": None, "c": None}, {}, "4" * 40)
    assert not absent[1]
    assert needs.met({"c/new": None, "c": HERE}, {}, "4" * 40) != absent


def test_what_stands_at_a_path_is_part_of_the_key_and_what_stands_elsewhere_is_not() -> None:
    keys = {
        NEEDS.met(STATE, {}, "4" * 40)[0],
        NEEDS.met({**STATE, "a/x": OTHER}, {}, "4" * 40)[0],
        NEEDS.met({**STATE, "a/x": Entry("100755", FILE.oid)}, {}, "4" * 40)[0],
        NEEDS.met(STATE, {"a/x": OTHER}, "4" * 40)[0],
        NEEDS.met({**STATE, "elsewhere": FILE}, {"far/away": FILE}, "4" * 40)[0],
    }
    assert len(keys) == 3
