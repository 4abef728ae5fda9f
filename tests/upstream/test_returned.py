"""A patch that retired, and an upstream that takes back what it had landed: nobody has the change then."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code
from patchctl.git import COUNTER
from tests.cli.test_status import OTHERS, OURS, PR, Fork, revert
from tests.cli.test_status import fork as fork  # noqa: PLC0414 - a fixture
from tests.series.world import text

if TYPE_CHECKING:
    from pathlib import Path

TITLE = "land it (#7)"


class Rolling(Fork):
    """A stack that followed upstream to the landing of one of its two patches, which retired."""

    def __init__(self, fork: Fork, *front: str, landing: str = TITLE) -> None:
        vars(self).update(vars(fork))
        self.page(*front)
        self.world.patch("other", {"b.c": text({3: "x"})}, on=self.base, base=self.base)
        self.stack.write_text(self.stack.read_text().replace("[ours]", "[ours, other]"))
        self.landed = self.world.commit({"a.c": text(OURS)}, landing)
        ran = self.repin()
        assert (ran.code, "[other]" in self.stack.read_text()) == (0, True), ran

    @property
    def readme(self) -> Path:
        return self.world.patches("ours") / "README.md"

    def repin(self, *more: str) -> Any:
        words = ("repin", "s", "--to", self.world.tip, "--in-place", "--no-build", *more)
        return self.call(*words, cwd=self.world.workspace)

    def take_back(self) -> str:
        return revert(self, self.landed, TITLE, {"a.c": text()})

    def said(self, onto: str | None = None) -> dict[str, dict[str, Any]]:
        """Return what status says of each patch on upstream's tip, or another commit."""
        words = ("status", "s", "--onto", onto or self.world.tip, "--json")
        ran = self.call(*words, cwd=self.world.workspace)
        assert ran.code == 0, ran
        return {row["id"]: row for row in json.loads(ran.stdout)["stacks"][0]["patches"]}


@pytest.fixture
def rolling(fork: Fork) -> Rolling:
    return Rolling(fork, f"upstream: {{pr: {PR}}}")


def test_what_retired_says_which_commit_brought_it(rolling: Rolling) -> None:
    reason = f'"landed as {rolling.landed[:9]} in b2, squash of #7, same tree"'
    assert f"retired: {{build: 2, commit: {rolling.landed}, reason: {reason}}}" in rolling.readme.read_text()
    assert rolling.call("lint", cwd=rolling.world.workspace).code == 0


def test_a_revert_after_the_repin_wants_the_patch_back(rolling: Rolling) -> None:
    undone = rolling.take_back()
    row = rolling.said()["ours"]
    why = f"retired, but {rolling.landed[:9]} in b2 was taken back by {undone[:9]} in b3: put it back"
    assert (row["verdict"], row["reason"]) == ("review", why)
    assert row["evidence"][0] == {"kind": "taken back", "commit": rolling.landed, "build": 3, "detail": why}
    onto = ("--onto", rolling.world.tip)
    ran = rolling.call("status", *onto, "--exit-code", cwd=rolling.world.workspace)
    assert (ran.code, "1 keep, 1 review" in ran.stdout) == (Code.ATTENTION, True)
    assert f"  ours   review  {why}" in ran.stdout


def test_a_repin_warns_each_time_and_goes_on(rolling: Rolling) -> None:
    rolling.take_back()
    before = rolling.stack.read_text()
    assert (rolling.repin("--dry-run").code, rolling.stack.read_text()) == (Code.ATTENTION, before)
    for _ in range(2):
        ran = rolling.repin()
        assert ran.code == Code.ATTENTION
        assert "1 of 1 patch stays" in ran.stdout
        assert "warning: ours is neither in the base nor in s: it retired, and upstream took it back" in ran.stderr
        assert rolling.world.tip in rolling.stack.read_text()
        said = json.loads(rolling.repin("--json").stdout)["patches"]
        assert [(it["id"], it["action"]) for it in said] == [("other", "carry"), ("ours", "put back")]


def test_once_it_is_put_back_it_is_judged_like_any_other(rolling: Rolling) -> None:
    rolling.take_back()
    rolling.stack.write_text(rolling.stack.read_text().replace("[other]", "[ours, other]"))
    said = rolling.said()
    assert list(said) == ["ours", "other"]
    assert said["ours"]["verdict"] == "keep"
    assert "was reverted by" in said["ours"]["reason"]
    assert rolling.repin().code == 0


def test_on_a_base_that_has_it_nothing_is_said(rolling: Rolling) -> None:
    rolling.take_back()
    assert list(rolling.said(rolling.landed)) == ["other"]
    assert list(rolling.said(rolling.base)) == ["other"], "a base before it needs a stack that still names it"


@pytest.mark.parametrize("how", ["reverted again", "landed again", "made again by somebody else"])
def test_what_is_in_the_base_again_is_not_missed(rolling: Rolling, how: str) -> None:
    undone = rolling.take_back()
    assert "ours" in rolling.said()
    if how == "reverted again":
        revert(rolling, undone, f'Revert "{TITLE}"', {"a.c": text(OURS)})
    else:
        rolling.world.commit({"a.c": text(OURS)}, "land it (#11)" if "landed" in how else "something (#12)")
    assert list(rolling.said()) == ["other"]


def test_what_comes_back_in_other_words_wants_a_look(rolling: Rolling) -> None:
    rolling.take_back()
    again = rolling.world.commit({"a.c": text(OTHERS)}, "land it (#11)")
    row = rolling.said()["ours"]
    assert row["verdict"] == "review"
    assert row["reason"].startswith("retired, but ")
    assert f"landed as {again[:9]} in b4, under the title of {rolling.landed[:9]}" in row["reason"]


def test_without_words_in_the_page_the_commit_of_its_retirement_counts(fork: Fork) -> None:
    rolling = Rolling(fork, landing="the same, from somebody else (#30)")
    assert f"commit: {rolling.landed}" in rolling.readme.read_text()
    revert(rolling, rolling.landed, "the same, from somebody else (#30)", {"a.c": text()})
    assert rolling.said()["ours"]["verdict"] == "review"


def test_what_landed_again_counts_though_it_was_edited_since(fork: Fork) -> None:
    title = "the same, from somebody else"
    rolling = Rolling(fork, landing=f"{title} (#30)")
    revert(rolling, rolling.landed, f"{title} (#30)", {"a.c": text()})
    rolling.world.commit({"a.c": text(OURS)}, f"{title} (#31)")
    rolling.world.commit({"a.c": text({10: "all", 11: "new", 12: "again"})}, "rewrite (#32)")
    assert list(rolling.said()) == ["other"]


@pytest.mark.parametrize("front", ["title: no front", "retired: {build: 2}"])
def test_a_page_that_cannot_be_read_is_for_lint(rolling: Rolling, front: str) -> None:
    rolling.readme.write_text(f"---\n{front}\n---\n")
    assert list(rolling.said()) == ["other"]


@pytest.mark.parametrize("front", [f"upstream: {{pr: {PR}}}", "drop_when: {commit: LANDED}", "from: {commit: LANDED}"])
def test_an_entry_without_a_commit_is_followed_by_what_the_page_names(rolling: Rolling, front: str) -> None:
    page = rolling.readme.read_text().replace(f"commit: {rolling.landed}, ", "")
    assert "commit" not in page
    rolling.readme.write_text(page.replace(f"upstream: {{pr: {PR}}}", front.replace("LANDED", rolling.landed)))
    assert list(rolling.said()) == ["other"]
    rolling.take_back()
    assert rolling.said()["ours"]["verdict"] == "review"


def test_a_revert_before_it_retired_is_no_news(fork: Fork) -> None:
    """Its probe said that it can go, or a person did, and upstream's own landing had been taken back before."""
    rolling = Rolling(fork, f"upstream: {{pr: {PR}}}")
    rolling.take_back()
    page = rolling.readme.read_text().replace("build: 2, ", "build: 3, ").replace(f"commit: {rolling.landed}, ", "")
    rolling.readme.write_text(page)
    assert list(rolling.said()) == ["other"]


def test_what_retired_from_another_upstream_is_not_asked_about(rolling: Rolling) -> None:
    rolling.take_back()
    page = rolling.readme.read_text().replace(rolling.landed, "ab" * 20).replace(f"pr: {PR}", "pr: else/where#7")
    rolling.readme.write_text(page)
    assert list(rolling.said()) == ["other"]


def test_a_patch_whose_files_are_gone_is_missed_all_the_same(rolling: Rolling) -> None:
    rolling.take_back()
    (rolling.world.patches("ours") / "b1.patch").unlink()
    assert rolling.said()["ours"]["verdict"] == "review"


def test_asking_again_starts_no_process(rolling: Rolling) -> None:
    rolling.said()
    before = COUNTER.processes
    rolling.said()
    assert COUNTER.processes == before
