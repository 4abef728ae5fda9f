"""Both axes: right in 100 of 100 random runs of each kind, within the number of tests that the kind may cost."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from patchctl.bisect.evidence import EndsError, Exact, Look, NeedError
from patchctl.bisect.line import Range
from patchctl.bisect.search import search
from patchctl.bisect.space import NONE, Patches, Space, State, Verdict
from tests.bisect.oracle import NAMES, Case, play, random_case

GOOD, BAD, SKIP = Verdict.GOOD, Verdict.BAD, Verdict.SKIP
KINDS = ("upstream", "patch", "pair", "removal", "meeting", "added meeting")


def log2(number: int) -> int:
    return math.ceil(math.log2(number)) if number > 1 else 0


def permitted(case: Case) -> tuple[float, float]:
    """Return how many points that can be tested a case may cost, and how many looks at them (docs/bisect.md).

    A pair has no limit of its own here. A commit is looked for with the same patches at both ends.
    """
    commits, patches = log2(case.space.steps), log2(len(case.space.good ^ case.space.bad) or len(case.space.good))
    points = {"upstream": commits + 3, "patch": patches + 4, "removal": patches + 4, "pair": math.inf}
    most = points.get(case.kind, commits + patches + 4)
    return most, most + (1 if case.kind == "upstream" else 2)


@pytest.mark.parametrize("broken", [False, True], ids=["whole", "broken"])
@pytest.mark.parametrize("kind", KINDS)
def test_100_of_100_are_right_within_their_number_of_points_and_tests(kind: str, broken: bool) -> None:
    for seed in range(100):
        case = random_case(kind, random.Random(f"{kind} {seed}"), broken=broken)
        played = play(case.space, case, Exact(looks_at_ends=2))
        assert case.right(played.found), (seed, case, played.found)
        points, tests = permitted(case)
        assert played.points <= points, (seed, played.points)
        # Where the culprit cannot be tested without patches, the bad end is looked at again.
        untold = kind == "upstream" and case.broken != set()
        assert played.tests - played.skips <= tests + untold, (seed, played.tests)
        again = {state: count for state, count in played.looks.items() if count > 1}
        assert set(again) <= {case.space.good_end, case.space.bad_end}, seed
        assert set(again.values()) == {2}


def test_on_one_axis_it_is_the_logarithm_and_two_and_the_repeats() -> None:
    for seed in range(100):
        chance = random.Random(seed)
        steps = chance.randint(1, 700)
        case = Case(Space(steps, NONE, NONE), "upstream", chance.randint(1, steps))
        played = play(case.space, case, Exact(looks_at_ends=2))
        assert played.found.steps == Range(case.step - 1, case.step)
        # Where it looks where git does (test_line.py), that is git's tests and four: both ends, each twice.
        assert (played.points <= log2(steps) + 2, played.tests) == (True, played.points + 2)


def test_a_carried_stack_costs_no_test_more_than_none() -> None:
    """That the culprit is bad without any patch stands for the second look at the bad end."""
    for seed in range(100):
        chance = random.Random(seed)
        steps, names = chance.randint(1, 700), frozenset(NAMES[:4])
        step = chance.randint(1, steps)
        bare, carried = (
            play(case.space, case, Exact(looks_at_ends=2))
            for case in (
                Case(Space(steps, NONE, NONE), "upstream", step),
                Case(Space(steps, names, names, tuple(NAMES[:4])), "upstream", step),
            )
        )
        assert carried.tests == bare.tests
        assert carried.looks[State(0, names)] == 2
        assert (carried.looks[State(steps, names)], carried.looks[State(step, NONE)]) == (1, 1)


@pytest.mark.parametrize("alone", [GOOD, SKIP])
def test_a_commit_that_is_not_bad_without_patches_has_the_bad_end_looked_at_again(alone: Verdict) -> None:
    names = frozenset(NAMES[:4])
    case = Case(Space(99, names, names, tuple(NAMES[:4])), "meeting", 40, (NAMES[2],))
    bare = State(40, NONE)
    played = play(case.space, lambda state: alone if state == bare else case(state), Exact(looks_at_ends=2))
    assert played.looks[case.space.bad_end] == 2
    assert played.found.patches == (() if alone is SKIP else (NAMES[2],))


def test_points_of_one_tree_share_a_look_which_is_no_second_one() -> None:
    """All carried patches are in upstream by then: with and without them it is the same program."""
    names = frozenset(NAMES[:2])
    case, evidence = Case(Space(16, names, names, tuple(NAMES[:2])), "upstream", 9), Exact(looks_at_ends=2)
    shared = Look(BAD, 1.0, 77.0)
    for state in (State(9, names), State(9, NONE)):
        evidence.add(state, shared)
    played = play(case.space, case, evidence)
    assert played.looks[case.space.bad_end] == 2
    other = Exact(looks_at_ends=2)
    for at, state in enumerate((State(9, names), State(9, NONE))):
        other.add(state, Look(BAD, 1.0, 77.0 + at))
    assert play(case.space, case, other).looks[case.space.bad_end] == 1


def test_a_test_that_turns_out_flaky_in_the_end_is_no_answer() -> None:
    names = frozenset(NAMES[:2])
    space, seen = Space(16, names, names, tuple(NAMES[:2])), Counter[State]()

    def truth(state: State) -> Verdict:
        seen[state] += 1
        return BAD if state.at >= 9 and state.patches and seen[state] == 1 else GOOD

    with pytest.raises(EndsError) as caught:
        play(space, truth, Exact(looks_at_ends=2))
    assert (caught.value.why, caught.value.state) == ("flaky", space.bad_end)


def test_a_patch_on_one_base_costs_one_more_to_see_that_it_is_bad_by_itself() -> None:
    for seed in range(100):
        chance = random.Random(seed)
        names = NAMES[: chance.randint(2, 16)]
        case = Case(Space(0, NONE, frozenset(names), tuple(names)), "patch", None, (chance.choice(names),))
        played = play(case.space, case)
        assert (played.found.kind, played.found.patches) == ("patch", case.patches)
        assert played.tests <= log2(len(names)) + 3


def test_what_a_pair_costs_is_twice_the_logarithm_or_so() -> None:
    counts = []
    for seed in range(200):
        case = random_case("pair", random.Random(seed))
        played = play(Space(0, case.space.good, case.space.bad, case.space.order, case.space.needs), case)
        assert played.found.kind == "interaction"
        counts.append(played.tests)
    assert max(counts) <= 2 * log2(16) + 5
    assert sum(counts) / len(counts) < 11


def test_a_pair_on_two_bases_is_not_looked_for_among_upstreams_commits() -> None:
    counts = []
    for seed in range(60):
        case = random_case("pair", random.Random(seed))
        counts.append(play(case.space, case).tests)
    assert sum(counts) / len(counts) < 16


@pytest.mark.parametrize("size", [3, 4, 5])
def test_three_and_more_that_fail_only_together_are_all_found(size: int) -> None:
    for seed in range(50):
        chance = random.Random(seed)
        culprit = tuple(sorted(chance.sample(NAMES, size)))
        case = Case(Space(0, NONE, frozenset(NAMES), tuple(NAMES)), "pair", None, culprit)
        assert play(case.space, case).found.patches == culprit


def test_two_regressions_give_one_of_them_not_a_mixture() -> None:
    space = Space(200, NONE, frozenset(NAMES), tuple(NAMES))
    found = play(space, lambda state: BAD if state.at >= 70 or "p03" in state.patches else GOOD).found
    assert (found.kind, found.steps) == ("upstream", Range(69, 70))


def test_what_is_not_monotone_ends_with_a_set_of_which_all_are_needed() -> None:
    space = Space(0, NONE, frozenset(NAMES), tuple(NAMES))

    def truth(state: State) -> Verdict:
        odd = len(state.patches & {"p02", "p05", "p09"}) in {1, 3}
        return BAD if state == space.bad_end or ("p07" in state.patches and odd) else GOOD

    found = play(space, truth).found
    assert truth(found.bad) is BAD
    for one in found.patches:
        assert truth(State(0, frozenset(found.patches) - {one})) is GOOD


def test_patches_that_cannot_be_told_apart_are_a_range() -> None:
    space = Space(0, NONE, frozenset({"a", "b", "c"}), ("a", "b", "c"))

    def truth(state: State) -> Verdict:
        # b and c compile only together, though nobody said so.
        if ("b" in state.patches) != ("c" in state.patches):
            return SKIP
        return BAD if "c" in state.patches else GOOD

    found = play(space, truth).found
    assert (found.kind, found.patches) == ("range", ("b", "c"))


# --- where one set cannot stand on the other's base -------------------------------------------------------------------


def crossing(steps: int, old_until: int, new_from: int, bad: object) -> object:
    """A truth where the good set (old) stands up to one commit and the bad set (new) from another on."""

    def truth(state: State) -> Verdict:
        if ("old" in state.patches and state.at > old_until) or ("new" in state.patches and state.at < new_from):
            return SKIP
        return BAD if bad(state) else GOOD  # type: ignore[operator]

    return truth


@pytest.mark.parametrize(
    ("old_until", "new_from", "step", "patches"),
    [(60, 0, None, ("new",)), (60, 0, 80, ()), (100, 40, 20, ()), (60, 40, 80, ()), (60, 40, 20, ()), (60, 40, 50, ())],
)
def test_sets_that_replace_each_other_change_over_where_both_can_be_tested(
    old_until: int, new_from: int, step: int | None, patches: tuple[str, ...]
) -> None:
    space = Space(100, frozenset({"old"}), frozenset({"new"}), ("old", "new"))

    def bad(state: State) -> bool:
        return "new" in state.patches if step is None else state.at >= step

    found = play(space, crossing(100, old_until, new_from, bad)).found  # type: ignore[arg-type]
    assert (found.steps, found.patches) == (Range(step - 1, step) if step else None, patches)


def test_sets_that_stand_nowhere_together_leave_everything_open() -> None:
    space = Space(100, frozenset({"old"}), frozenset({"new"}), ("old", "new"))
    found = play(space, crossing(100, 30, 70, lambda state: state.at >= 50)).found  # type: ignore[arg-type]
    assert (found.kind, found.steps) == ("range", Range(0, 100))


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "bad", "why", "tests"),
    [(BAD, GOOD, "swapped", 2), (GOOD, GOOD, "agree-good", 2), (BAD, BAD, "agree-bad", 2), (SKIP, BAD, "skip", 1)],
)
def test_ends_that_are_not_what_they_are_said_to_be_are_seen_first(
    good: Verdict, bad: Verdict, why: str, tests: int
) -> None:
    space, asked = Space(50, NONE, NONE), []

    def truth(state: State) -> Verdict:
        asked.append(state)
        return good if state.at == 0 else bad

    with pytest.raises(EndsError) as caught:
        play(space, truth)
    assert caught.value.why == why
    assert asked == [space.good_end, space.bad_end][:tests]


@pytest.mark.parametrize(("look", "patches"), [(1, NONE), (2, NONE), (2, frozenset({"a"}))])
def test_the_ends_are_looked_at_again_and_another_answer_is_no_determinism(look: int, patches: Patches) -> None:
    """Also where they agree at first: a test that fails now and then may have passed just now."""
    space, seen = Space(50, patches, patches, tuple(patches)), Counter[State]()

    def truth(state: State) -> Verdict:
        seen[state] += 1
        return BAD if state.at == 50 and seen[state] == look else GOOD

    with pytest.raises(EndsError) as caught:
        play(space, truth, Exact(looks_at_ends=2))
    assert (caught.value.why, seen) == ("flaky", {space.good_end: 2, space.bad_end: 2})


# --- evidence ---------------------------------------------------------------------------------------------------------


def test_what_was_seen_before_is_asked_for_first_and_never_again() -> None:
    case = Case(Space(300, NONE, NONE), "upstream", 211)
    kept = {State(at, NONE): [Look(case(State(at, NONE)))] for at in range(0, 301, 10)}
    evidence = Exact(lambda states: {state: kept[state] for state in states if state in kept})
    played = play(case.space, case, evidence)
    assert played.found.steps == Range(210, 211)
    assert played.tests <= log2(10)
    assert not set(played.looks) & set(kept)


def test_an_imagined_look_leaves_the_evidence_as_it_was() -> None:
    case, evidence = Case(Space(300, NONE, NONE), "upstream", 211), Exact()
    for state in (case.space.good_end, case.space.bad_end):
        evidence.add(state, Look(case(state)))
    needed = []
    for verdict in (GOOD, BAD):
        with pytest.raises(NeedError) as caught:
            search(case.space, evidence.imagined(State(150, NONE), verdict))
        needed.append(caught.value.state.at)
    assert needed == [225, 75]
    assert State(150, NONE) not in evidence.looks


def test_looks_imagined_at_two_points_are_two_looks() -> None:
    """Else a helper would be sent to the bad end for nothing."""
    names = frozenset(NAMES[:2])
    case, evidence = Case(Space(2, names, names, tuple(NAMES[:2])), "upstream", 1), Exact(looks_at_ends=2)
    for at, state in enumerate((case.space.good_end, case.space.good_end, case.space.bad_end)):
        evidence.add(state, Look(case(state), when=1.0 + at))
    imagined = evidence.imagined(State(1, names), BAD).imagined(State(1, NONE), BAD)
    assert search(case.space, imagined).steps == Range(0, 1)
