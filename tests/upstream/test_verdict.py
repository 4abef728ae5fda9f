"""The verdict policy as a table of cases."""

from __future__ import annotations

import itertools

import pytest

from patchctl.upstream.verdict import Evidence, Kind, Verdict, decide

ALL = list(Kind)


def facts(*kinds: Kind) -> list[Evidence]:
    return [Evidence(kind, "1" * 40, 1, f"because {kind.value}") for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ((), Verdict.KEEP),
        ((Kind.DECLARED,), Verdict.RETIRE),
        ((Kind.PROBE,), Verdict.RETIRE),
        ((Kind.LANDED,), Verdict.RETIRE),
        ((Kind.LANDED_WITH_CHANGES,), Verdict.REVIEW),
        ((Kind.LANDED_WITH_CHANGES, Kind.PATCH_ID, Kind.ABSORBED), Verdict.REVIEW),
        ((Kind.REVERTED,), Verdict.KEEP),
        ((Kind.REVERTED, Kind.PATCH_ID, Kind.COVERAGE), Verdict.KEEP),
        ((Kind.REVERTED, Kind.LANDED), Verdict.RETIRE),
        ((Kind.REVERTED, Kind.ABSORBED, Kind.COVERAGE), Verdict.RETIRE),
        ((Kind.REVERTED, Kind.ABSORBED), Verdict.REVIEW),
        ((Kind.TAKEN_BACK,), Verdict.REVIEW),
        ((Kind.TAKEN_BACK, Kind.PATCH_ID, Kind.COVERAGE), Verdict.REVIEW),
        ((Kind.TAKEN_BACK, Kind.ABSORBED, Kind.COVERAGE), Verdict.RETIRE),
        ((Kind.TAKEN_BACK, Kind.LANDED), Verdict.RETIRE),
        ((Kind.PATCH_ID,), Verdict.REVIEW),
        ((Kind.ABSORBED,), Verdict.REVIEW),
        ((Kind.COVERAGE,), Verdict.REVIEW),
        ((Kind.REVERSES,), Verdict.KEEP),
        ((Kind.UNTRIED,), Verdict.KEEP),
        ((Kind.UNTRIED, Kind.ABSORBED), Verdict.REVIEW),
        ((Kind.REVERSES, Kind.ABSORBED), Verdict.REVIEW),
        ((Kind.PATCH_ID, Kind.ABSORBED), Verdict.RETIRE),
        ((Kind.ABSORBED, Kind.COVERAGE), Verdict.RETIRE),
        ((Kind.MISSING,), Verdict.UNKNOWN),
        ((Kind.MISSING, Kind.LANDED), Verdict.RETIRE),
        ((Kind.MISSING, Kind.DUE), Verdict.UNKNOWN),
        ((Kind.NEEDED,), Verdict.KEEP),
        ((Kind.NEEDED, Kind.LANDED), Verdict.REVIEW),
        ((Kind.NEEDED, Kind.DECLARED), Verdict.REVIEW),
        ((Kind.NEEDED, Kind.LANDED_WITH_CHANGES), Verdict.KEEP),
        ((Kind.NEEDED, Kind.PATCH_ID, Kind.ABSORBED), Verdict.KEEP),
        ((Kind.NEEDED, Kind.DUE), Verdict.REVIEW),
        ((Kind.PARTLY_LANDED,), Verdict.REVIEW),
        ((Kind.PARTLY_LANDED, Kind.LANDED), Verdict.RETIRE),
        ((Kind.REVERTED, Kind.LANDED_WITH_CHANGES), Verdict.REVIEW),
        ((Kind.OPEN,), Verdict.KEEP),
        ((Kind.OPEN, Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE), Verdict.REVIEW),
        ((Kind.OPEN, Kind.DECLARED), Verdict.RETIRE),
        ((Kind.MERGED,), Verdict.KEEP),
        ((Kind.CLOSED,), Verdict.KEEP),
        ((Kind.CLOSED, Kind.PATCH_ID, Kind.ABSORBED), Verdict.RETIRE),
        ((Kind.SUPERSEDED,), Verdict.REVIEW),
        ((Kind.MOVED, Kind.OPEN), Verdict.REVIEW),
        ((Kind.CLASH,), Verdict.REVIEW),
        ((Kind.CLASH, Kind.LANDED), Verdict.RETIRE),
        ((Kind.SUPERSET,), Verdict.REVIEW),
        ((Kind.SAME_HUNK,), Verdict.REVIEW),
        ((Kind.BROKEN,), Verdict.REVIEW),
        ((Kind.BROKEN, Kind.NEEDED), Verdict.KEEP),
        ((Kind.DUE,), Verdict.REVIEW),
    ],
)
def test_the_policy(kinds: tuple[Kind, ...], verdict: Verdict) -> None:
    assert decide(facts(*kinds))[0] is verdict


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ((Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE), Verdict.REVIEW),
        ((Kind.MERGED, Kind.PATCH_ID, Kind.ABSORBED), Verdict.REVIEW),
        ((Kind.CLOSED, Kind.PATCH_ID, Kind.ABSORBED), Verdict.RETIRE),
        ((Kind.REVERTED, Kind.ABSORBED, Kind.COVERAGE), Verdict.RETIRE),
        ((Kind.LANDED, Kind.PATCH_ID), Verdict.RETIRE),
        ((Kind.PROBE,), Verdict.RETIRE),
    ],
)
def test_a_patch_that_names_its_pull_request_waits_for_it(kinds: tuple[Kind, ...], verdict: Verdict) -> None:
    assert decide(facts(*kinds), named=True)[0] is verdict


def test_order_does_not_matter_and_a_reason_is_always_given() -> None:
    for size in range(4):
        for kinds in itertools.combinations(ALL, size):
            found = {decide(facts(*order))[0] for order in itertools.permutations(kinds)}
            assert len(found) == 1
            assert decide(facts(*kinds))[1]


def test_nothing_retires_without_proof_or_two_signs() -> None:
    proof = {Kind.DECLARED, Kind.PROBE, Kind.LANDED}
    for size in (1, 2, 3):
        for kinds in itertools.combinations(set(ALL) - proof, size):
            signs = {Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE} & set(kinds)
            assert decide(facts(*kinds))[0] is not Verdict.RETIRE or len(signs) > 1


def test_what_is_open_or_needed_is_never_retired_by_content() -> None:
    for size in (1, 2, 3):
        for kinds in itertools.combinations((Kind.PATCH_ID, Kind.ABSORBED, Kind.COVERAGE, Kind.CLOSED), size):
            for against in (Kind.OPEN, Kind.NEEDED):
                assert decide(facts(against, *kinds))[0] is not Verdict.RETIRE
