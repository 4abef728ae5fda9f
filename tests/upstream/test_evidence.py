"""What is found in upstream's history, on real repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from patchctl.ledger import Ledger
from patchctl.manifest.model import DropWhen, Origin, Page
from patchctl.series.patch import Patch
from patchctl.series.sequence import Series
from patchctl.store import Store
from patchctl.upstream.evidence import Detectors, Question
from patchctl.upstream.history import History
from patchctl.upstream.states import due
from patchctl.upstream.twice import twice
from patchctl.upstream.verdict import Kind, Verdict, decide
from tests.series.world import URL, World, text
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from patchctl.upstream.verdict import Evidence

HEADER = "enum ggml_type {\n    GGML_TYPE_F32 = 0,\n    GGML_TYPE_F16 = 1,\n    GGML_TYPE_COUNT = 2,\n};\n"


class Upstream:
    """A small upstream, and patches on its first commit."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.cache = folder / "cache"
        self.ledger = Ledger(self.cache / "ledger.sqlite")
        self.base = self.world.commit({"a.c": text(), "b.c": text(), "ggml.h": HEADER}, "start")
        self.patches: list[Patch] = []

    def patch(self, name: str, files: dict[str, Any], **more: Any) -> Patch:
        self.world.patch(name, files, on=more.pop("on", self.base), base=self.base, build=1, **more)
        path = self.world.patches(name) / "b1.patch"
        made = Patch(name, path.name, name, path.read_bytes())
        self.patches.append(made)
        return made

    def store(self) -> Store:
        return Store(URL, str(self.world.upstream), self.cache, self.ledger)

    def ask(self, patch: Patch, page: Page | None = None, at: str | None = None) -> list[Evidence]:
        base = at or self.world.tip or ""
        store = self.store()
        detectors = Detectors(Series(store, self.patches), History(store, base))
        found = detectors.gather(Question(patch, page or Page(title="x"), base))
        store.repo.close()
        return found

    def verdict(self, patch: Patch, page: Page | None = None, at: str | None = None) -> tuple[Verdict, str]:
        return decide(self.ask(patch, page, at))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Upstream]:
    made = Upstream(tmp_path)
    yield made
    made.ledger.close()


def origin(pr: str = "acme/up#7") -> Page:
    return Page(title="x", upstream=Origin(pr=pr))


OURS = {10: "ours a", 11: "ours b", 12: "ours c", 13: "ours d", 14: "ours e"}


# --- history ----------------------------------------------------------------------------------------------------------


def test_a_commit_that_changes_nothing_is_no_stumbling_block(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({}, "nothing at all")
    up.world.commit({"a.c": text(OURS)}, "the same")
    assert {one.kind for one in up.ask(patch)} >= {Kind.PATCH_ID, Kind.ABSORBED}


def test_a_squash_that_undid_something_of_its_own_branch_is_a_landing(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"a.c": text(OURS)}, f"land it (#7)\n\n* try\n\n* Revert it\n\nThis reverts commit {'5e' * 20}.")
    assert up.verdict(patch, origin())[0] is Verdict.RETIRE


def test_a_commit_that_ends_with_the_number_it_takes_back_is_no_landing(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text(OURS)}, "land it (#7)")
    up.world.commit({"a.c": text()}, f"revert it (#7)\n\nThis reverts commit {landed}.")
    found = up.ask(patch, origin())
    assert [one.kind for one in found] == [Kind.REVERTED]
    assert decide(found)[0] is Verdict.KEEP


def test_taken_back_twice_and_brought_back_once_is_still_taken_back(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text(OURS)}, "land it (#7)")
    first = up.world.commit({"a.c": text()}, f"off\n\nThis reverts commit {landed}.")
    up.world.commit({"a.c": text({2: "x"})}, f"off for good\n\nThis reverts commit {landed}.")
    up.world.commit({"b.c": text({2: "x"})}, f"on\n\nThis reverts commit {first}.")
    assert up.verdict(patch, origin())[0] is Verdict.KEEP


def test_a_merge_commit_is_a_landing(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"b.c": text({1: "x"})}, "meanwhile")
    side = up.world.commit({"a.c": text(OURS)}, "theirs", parent=up.base)
    up.world.commit({"a.c": text(OURS), "b.c": text({1: "x"})}, "Merge pull request #7 from acme/it", merge=[side])
    verdict, reason = up.verdict(patch, origin())
    assert (verdict, reason.endswith("squash of #7, same tree")) == (Verdict.RETIRE, True)


def test_a_number_of_ggml_is_not_upstreams(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"a.c": text({10: "other"})}, "sync : something (ggml/7)")
    assert up.verdict(patch, origin("acme/up#7"))[0] is Verdict.KEEP
    up.world.commit({"a.c": text(OURS)}, "sync : ours (ggml/9)")
    assert "landed as" in up.verdict(patch, origin("acme/ggml#9"))[1]


# --- landings ---------------------------------------------------------------------------------------------------------


def test_what_stood_there_before_was_not_brought_by_the_landing(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"a.c": text(OURS)}, "the same by chance")
    up.world.commit({"a.c": text({**OURS, 20: "x"})}, "something else (#7)")
    found = up.ask(patch, origin())
    assert Kind.LANDED not in {one.kind for one in found}


def test_most_lines_without_one_of_the_files_is_a_part(up: Upstream) -> None:
    big = {number: f"ours {number}" for number in range(3, 28)}
    patch = up.patch("ours", {"a.c": text(big), "b.c": text({5: "the other half", 6: "of it"})})
    up.world.commit({"a.c": text({**big, 9: "theirs"})}, "most of it (#7)")
    found = up.ask(patch, origin())
    assert [one.kind for one in found if one.kind in {Kind.LANDED, Kind.PARTLY_LANDED}] == [Kind.PARTLY_LANDED]
    assert "left: b.c" in found[0].detail
    assert "the other half" in found[0].rest
    assert "ours 9" not in found[0].rest


def test_reworded_lines_in_every_file_are_a_landing(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text({n: f"ours {n}" for n in range(3, 15)}), "b.c": text({5: "also", 6: "ours"})})
    up.world.commit(
        {"a.c": text({**{n: f"ours {n}" for n in range(3, 15)}, 3: "theirs"}), "b.c": text({5: "also", 6: "ours"})},
        "nearly the same (#7)",
    )
    assert up.verdict(patch, origin())[1].endswith("its lines are in it")


def test_the_rest_is_made_on_the_base_where_it_fits(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS), "b.c": text({20: "our other half"})})
    up.world.commit({"a.c": text(OURS)}, "one half (#7)")
    tip = up.world.commit({"b.c": text({1: "moved on"})}, "later")
    assert f"base-commit: {tip}" in up.ask(patch, origin())[0].rest


def test_one_whose_files_no_copy_has_is_unknown_and_the_others_are_judged(up: Upstream) -> None:
    good, bad = up.patch("good", {"a.c": text(OURS)}), up.patch("bad", {"b.c": text(OURS)})
    up.world.commit({"a.c": text(OURS), "b.c": text({20: "away"})}, "land it")
    poor = up.world.upstream.with_name("poor.git")
    git("-C", up.world.upstream, "config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{up.world.upstream}", poor)
    for commit in (up.base, up.world.tip):
        git("-C", poor, "cat-file", "blob", f"{commit}:a.c")
    whole, up.world.upstream = up.world.upstream, poor
    verdict, reason = up.verdict(bad)
    assert (verdict, reason.startswith("cannot be judged: ")) == (Verdict.UNKNOWN, True)
    assert up.verdict(good)[0] is Verdict.RETIRE
    up.world.upstream = whole
    assert up.verdict(bad)[0] is Verdict.KEEP


def test_evidence_is_kept_and_costs_no_process_the_second_time(up: Upstream) -> None:
    from patchctl.git import COUNTER

    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"a.c": text(OURS)}, "land it (#7)")
    first = up.ask(patch, origin())
    before = COUNTER.processes
    assert up.ask(patch, origin()) == first
    assert COUNTER.processes == before
    assert [one.kind for one in up.ask(patch, origin("acme/up#8"))] != [one.kind for one in first]


# --- numbers ----------------------------------------------------------------------------------------------------------


def header(*lines: str) -> str:
    return HEADER.replace("    GGML_TYPE_COUNT = 2,\n", "".join(f"    {line},\n" for line in lines))


@pytest.mark.parametrize(
    ("ours", "theirs", "clash"),
    [
        ("GGML_TYPE_OURS = 2", "GGML_TYPE_THEIRS = 2", "GGML_TYPE_OURS takes 2, upstream has GGML_TYPE_THEIRS = 2"),
        ("GGML_TYPE_OURS = 2", "GGML_TYPE_THEIRS = 3", None),
        ("GGML_TYPE_OURS = 2", "GGML_TYPE_OURS = 2", None),
        ("GGML_TYPE_OURS = 2", "GGML_TYPE_OURS = 3", "GGML_TYPE_OURS takes 2, upstream has GGML_TYPE_OURS = 3"),
        ("LLAMA_FTYPE_A = 2", "GGML_TYPE_THEIRS = 2", None),
        ("LLAMA_FTYPE_A = 2", "LLAMA_FTYPE_B = 2", "LLAMA_FTYPE_A takes 2, upstream has LLAMA_FTYPE_B = 2"),
        ("GGML_TYPE_COUNT = 3", "GGML_TYPE_THEIRS = 3", None),
        ('{ LLM_ARCH_A, "x" }', '{ LLM_ARCH_B, "x" }', "LLM_ARCH_A takes x, upstream has LLM_ARCH_B = x"),
        ('{ LLM_ARCH_OURS, "x" }', '{ LLM_ARCH_THEIRS, "y" }', None),
    ],
)  # fmt: skip
def test_a_number_that_upstream_gave_away_wants_a_review(
    up: Upstream, ours: str, theirs: str, clash: str | None
) -> None:
    patch = up.patch("ours", {"ggml.h": header(ours)})
    up.world.commit({"ggml.h": header(theirs, "SOMETHING = 9")}, "a new type")
    found = [one.detail for one in up.ask(patch, origin()) if one.kind is Kind.CLASH]
    assert found == ([f"ggml.h: {clash}"] if clash else [])
    assert (up.verdict(patch, origin())[0] is Verdict.REVIEW) == bool(clash)


# --- triggers and twins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "asks"),
    [({"build": 10}, True), ({"build": 11}, False), ({"date": "2026-03-01"}, True), ({"date": "2026-03-02"}, False)],
)
def test_a_review_that_is_due(after: dict[str, Any], asks: bool) -> None:
    page = Page.model_validate({"title": "x", "review_after": after})
    found = list(due(page, 10, "2026-03-01"))
    assert bool(found) is asks
    assert (decide(found)[0] is Verdict.REVIEW) is asks


def test_a_patch_that_holds_all_of_another_says_so_unless_acknowledged(up: Upstream) -> None:
    small = up.patch("small", {"a.c": text(OURS)})
    large = up.patch("large", {"a.c": text(OURS), "b.c": text({3: "x"})})
    repo = up.store().repo
    pages = {patch.id: Page(title="x") for patch in (small, large)}
    assert [(name, one.kind) for name, one in twice(repo, [small, large], pages)] == [("large", Kind.SUPERSET)]
    pages["large"] = Page(title="x", acknowledged=["superset"])
    assert list(twice(repo, [small, large], pages)) == []


def test_pull_requests_on_top_of_each_other_are_seen_by_their_heads(up: Upstream) -> None:
    first = up.world.commit({"a.c": text({1: "x"})}, "one", parent=up.base)
    second = up.world.commit({"b.c": text({1: "x"})}, "two", parent=first)
    other = up.world.commit({"b.c": text({1: "y"})}, "three", parent=up.base)
    store = up.store()
    for head in (first, second, other):
        store.pin(head)
    pages = {
        name: Page(title="x", upstream=Origin(pr=f"acme/up#{at}", head=head))
        for at, (name, head) in enumerate({"low": first, "high": second, "beside": other}.items(), 1)
    }
    found = list(twice(store.repo, [], pages))
    assert [(name, one.detail) for name, one in found] == [
        ("high", "its pull request is made on top of that of low and holds all of it")
    ]
    store.repo.close()


def test_a_trigger_retires_whatever_landed_and_an_origin_does_not(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text({10: "theirs", 11: "and theirs"})}, "another way (#7)")
    trigger = Page(title="x", upstream=Origin(pr="acme/up#3"), drop_when=DropWhen(pr="acme/up#7"))
    assert up.verdict(patch, origin())[0] is Verdict.REVIEW
    reason = f"landed as {landed[:9]} in b2, squash of #7, for which the page waits"
    assert up.verdict(patch, trigger) == (Verdict.RETIRE, reason)
    up.world.commit({"a.c": text()}, f"off\n\nThis reverts commit {landed}.")
    assert up.verdict(patch, trigger)[0] is Verdict.KEEP


def test_a_trigger_in_another_repository_never_counts_here(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    up.world.commit({"a.c": text({10: "away"})}, "something (#7)")
    page = Page(title="x", drop_when=DropWhen(pr="friend/fork#7"))
    assert up.verdict(patch, page)[0] is Verdict.KEEP


def test_a_patch_nobody_declared_that_conflicts_names_who_changed_its_lines(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text({10: "ours"})})
    up.world.commit({"b.c": text({3: "x"})}, "elsewhere (#8)")
    culprit = up.world.commit({"a.c": text({10: "theirs"}), "b.c": text({3: "x"})}, "the same, otherwise (#9)")
    up.world.commit({"a.c": text({10: "theirs", 25: "more"})}, "later (#10)")
    verdict, reason = up.verdict(patch)
    assert (verdict, reason) == (Verdict.REVIEW, f"{culprit[:9]} in b3, #9 changed its lines; does it do the same?")
    assert up.verdict(patch, origin())[0] is Verdict.KEEP


def test_what_was_taken_back_and_comes_again_under_its_title_is_weighed_there(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text(OURS)}, "engine : do it (#7)")
    up.world.commit({"a.c": text()}, f'Revert "engine : do it (#7)" (#8)\n\nThis reverts commit {landed}.')
    assert up.verdict(patch, origin())[0] is Verdict.KEEP
    again = up.world.commit({"a.c": text({**OURS, 25: "and more"})}, "Engine : do it (#9)")
    up.world.commit({"a.c": text({number: f"new {number}" for number in range(8, 20)})}, "rewrite (#10)")
    verdict, reason = up.verdict(patch, origin())
    assert verdict is Verdict.RETIRE
    assert reason.startswith(f"landed as {again[:9]} in b4, under the title of {landed[:9]}, which was reverted, ")


def test_what_comes_again_otherwise_wants_a_review(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text(OURS)}, "engine : do it (#7)")
    up.world.commit({"a.c": text()}, f"off\n\nThis reverts commit {landed}.")
    up.world.commit({"a.c": text({10: "theirs", 11: "and theirs"})}, "engine : do it (#9)")
    assert up.verdict(patch, origin())[0] is Verdict.REVIEW


# --- what must not count ----------------------------------------------------------------------------------------------


def test_a_proved_landing_needs_no_other_sign(up: Upstream) -> None:
    patch = up.patch("ours", {"a.c": text(OURS)})
    landed = up.world.commit({"a.c": text(OURS)}, "land it (#7)")
    assert [one.kind for one in up.ask(patch, origin())] == [Kind.LANDED]
    declared = Page(title="x", upstream=Origin(pr="acme/up#7"), drop_when=DropWhen(commit=landed))
    assert [one.kind for one in up.ask(patch, declared)] == [Kind.DECLARED]


def test_lines_that_stood_there_when_the_patch_was_made_do_not_count(up: Upstream) -> None:
    again = "".join(f"line {number}\n" for number in range(3, 15))
    patch = up.patch("ours", {"a.c": text() + again})
    up.world.commit({"b.c": text({2: "x"})}, "elsewhere")
    assert up.ask(patch, origin()) == []


def test_what_upstream_undid_before_the_patch_was_made_is_no_twin(up: Upstream) -> None:
    early = up.patch("early", {"b.c": text({5: "early"})})
    up.world.commit({"a.c": text(OURS)}, "do it")
    later = up.world.commit({"a.c": text()}, "do it not")
    up.world.patch("late", {"a.c": text(OURS)}, on=later, base=later, build=3)
    path = up.world.patches("late") / "b3.patch"
    late = Patch("late", path.name, "late", path.read_bytes())
    up.world.commit({"b.c": text({20: "x"})}, "elsewhere")
    store = up.store()
    detectors = Detectors(Series(store, [early, late]), History(store, up.world.tip or ""))
    questions = [Question(patch, origin(), up.world.tip or "") for patch in (early, late)]
    assert detectors.gather_all(questions) == [[], []]
    store.repo.close()


def test_heads_of_pull_requests_come_also_where_some_are_gone(up: Upstream) -> None:
    heads = {number: up.world.commit({"b.c": text({number: "x"})}, "head", parent=up.base) for number in (3, 5, 8)}
    for number, oid in heads.items():
        git("-C", up.world.upstream, "update-ref", f"refs/pull/{number}/head", oid)
    store = up.store()
    assert store.pull_heads([8, 3, 4, 5, 9]) == heads
    assert store.pull_heads([9]) == {}
    assert store.pull_heads([]) == {}
    store.repo.close()
