"""``patchctl status`` with what GitHub says: the fake one executes the real query on the real schema."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_status import OTHERS, OURS, Fork
from tests.series.world import text
from tests.upstream.github.fake import TOKEN, Fake, says
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "https://github.com/acme/up"
PR = "acme/up#7"


class Pulls(Fork):
    """A fork whose upstream is on GitHub."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
        super().__init__(folder, monkeypatch, call)
        self.fake = Fake()
        self.stack.write_text(self.stack.read_text().replace("https://example.invalid/up.git", URL))
        monkeypatch.setenv("PATCHCTL_MIRROR", f"{URL}={self.world.upstream}")
        monkeypatch.setenv("GITHUB_API_URL", self.fake.url)
        monkeypatch.setenv("GITHUB_GRAPHQL_URL", f"{self.fake.url}/graphql")
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        self.page(f"upstream: {{pr: {PR}}}")

    def leave_github(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let upstream be somewhere else."""
        elsewhere = URL.replace("github.com", "example.invalid")
        self.stack.write_text(self.stack.read_text().replace(URL, elsewhere))
        monkeypatch.setenv("PATCHCTL_MIRROR", f"{elsewhere}={self.world.upstream}")

    def head(self, number: int, files: dict[str, str], *, on: str | None = None) -> str:
        """Make a commit the head of a pull request and return it."""
        oid = self.world.commit(files, f"head of {number}", parent=on or self.base)
        git("-C", self.world.upstream, "update-ref", f"refs/pull/{number}/head", oid)
        return oid


@pytest.fixture
def pulls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Callable[..., Any]) -> Iterator[Pulls]:
    pulls = Pulls(tmp_path, monkeypatch, patchctl)
    yield pulls
    pulls.fake.close()


def kinds(row: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in row["evidence"]]


# --- states -----------------------------------------------------------------------------------------------------------


def test_open_says_how_far_it_is(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7, review="CHANGES_REQUESTED", checks="FAILURE")
    row = pulls.status()
    assert (row["verdict"], row["reason"]) == ("keep", "#7 is open, changes requested, checks: failure")
    assert (row["pr"]["state"], row["pr"]["stale"]) == ("open", False)


def test_what_is_still_open_is_never_retired_by_what_the_base_holds(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    pulls.world.commit({"a.c": text(OURS)}, "the same from somebody else (#30)")
    row = pulls.status()
    assert (row["verdict"], row["reason"].endswith("but #7 is open")) == ("review", True)


def test_merged_but_not_in_the_base_keeps_the_patch(pulls: Pulls) -> None:
    later = pulls.world.commit({"a.c": text(OURS)}, "land it (#7)")
    pulls.fake.know("acme/up", 7, state="MERGED", commit=later)
    ran = pulls.call("status", "s", "--json", cwd=pulls.world.workspace)
    row = json.loads(ran.stdout)["stacks"][0]["patches"][0]
    assert row["verdict"] == "keep"
    assert row["reason"] == f"#7 is merged into acme/up master as {later[:9]}, which is not in the base"
    assert pulls.status()["verdict"] == "retire"


def test_a_landing_that_no_subject_names_is_found_by_its_commit(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OURS)}, "landed by hand")
    pulls.fake.know("acme/up", 7, state="MERGED", commit=landed)
    row = pulls.status()
    assert (row["verdict"], row["reason"]) == (
        "retire", f"landed as {landed[:9]} in b2, what #7 was merged as, same tree"
    )  # fmt: skip


def test_merged_into_a_fork_keeps_the_patch_and_its_number_means_nothing_here(pulls: Pulls) -> None:
    pulls.page("upstream: {pr: friend/up#7}")
    pulls.fake.know("friend/up", 7, state="MERGED", commit="c" * 40, branch="main")
    pulls.world.commit({"a.c": text(OTHERS)}, "something else (#7)")
    row = pulls.status()
    assert row["verdict"] == "keep"
    assert "is merged into friend/up main" in row["reason"]


def test_landed_with_changes_shows_the_difference(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OTHERS)}, "land another way (#7)")
    pulls.fake.know("acme/up", 7, state="MERGED", commit=landed)
    row = pulls.status()
    assert row["verdict"] == "review"
    shown = Path(row["difference"]).read_text()
    assert re.search(r"^ +-\+ours a$", shown, re.MULTILINE)
    assert re.search(r"^ +\+\+theirs a$", shown, re.MULTILINE)
    assert "ours c" in shown
    told = pulls.call("status", "s", "--onto", pulls.world.tip, "-v", cwd=pulls.world.workspace)
    assert "++theirs a" in told.stdout


def test_a_part_that_landed_leaves_a_patch_with_the_rest(pulls: Pulls) -> None:
    both = {"a.c": text(OURS), "b.c": text({20: "our other half", 21: "and more of it"})}
    pulls.world.patch("ours", both, on=pulls.base, base=pulls.base, message="ours: both halves")
    pulls.page(f"upstream: {{pr: {PR}}}")
    landed = pulls.world.commit({"a.c": text(OURS)}, "one half (#7)")
    pulls.fake.know("acme/up", 7, state="MERGED", commit=landed)
    row = pulls.status()
    assert (row["verdict"], kinds(row)[0]) == ("review", "partly landed")
    assert row["reason"].endswith("brings 1 of 2 hunks of the patch; left: b.c")
    work = pulls.world.workspace.parent / "work"
    git("clone", "--quiet", "--shared", pulls.world.upstream, work)
    git("-C", work, "checkout", "--quiet", "--detach", landed)
    git("-C", work, "am", "--quiet", row["rest"])
    assert (work / "b.c").read_text() == both["b.c"]
    assert git("-C", work, "diff", "--name-only", "HEAD^").decode().split() == ["b.c"]
    assert git("-C", work, "log", "-1", "--format=%s %an").decode() == "ours: both halves Ada Author\n"
    assert f"base-commit: {landed}" in Path(row["rest"]).read_text()


def test_closed_for_another_that_landed_the_same_retires(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OURS)}, "by another hand (#9)")
    pulls.fake.know("acme/up", 9, state="MERGED", commit=landed)
    pulls.fake.know("acme/up", 7, state="CLOSED", closer="acme/up#9")
    row = pulls.status()
    signs = ["patch-id", "absorbed", "coverage", "reverse-apply"]
    assert (row["verdict"], kinds(row)) == ("retire", ["landed", "superseded", *signs])
    assert "squash of #9, for which #7 was closed" in row["reason"]


def test_closed_for_another_wants_a_review(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 9)
    pulls.fake.know("acme/up", 7, state="CLOSED", duplicate="acme/up#9")
    row = pulls.status()
    assert (row["verdict"], row["reason"]) == ("review", "#7 was closed for #9, which is not merged")


def test_a_trigger_waits_for_its_own_pull_request_not_for_the_one_it_was_closed_for(pulls: Pulls) -> None:
    pulls.page(f"drop_when: {{pr: {PR}}}")
    landed = pulls.world.commit({"a.c": text(OTHERS)}, "by another hand (#9)")
    pulls.fake.know("acme/up", 9, state="MERGED", commit=landed)
    pulls.fake.know("acme/up", 7, state="CLOSED", closer="acme/up#9")
    assert pulls.status()["verdict"] == "review"


def test_landed_elsewhere_is_found_by_who_names_it(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text({**OURS, 28: "and more"})}, "by another hand (#9)")
    pulls.world.commit({"a.c": text({10: "all", 11: "new", 12: "again", 13: "here", 14: "too"})}, "rewrite (#12)")
    pulls.fake.know("acme/up", 9, state="MERGED", commit=landed)
    pulls.fake.know("acme/up", 7, state="CLOSED", mentions=["acme/up#9"])
    row = pulls.status()
    assert (row["verdict"], "squash of #9, which names #7" in row["reason"]) == ("retire", True)


def test_a_mention_alone_says_nothing(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OTHERS)}, "something near (#9)")
    pulls.fake.know("acme/up", 9, state="MERGED", commit=landed)
    pulls.fake.know("acme/up", 7, mentions=["acme/up#9"])
    assert pulls.status()["verdict"] == "keep"


def test_closed_by_a_commit_that_does_it_retires(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OURS)}, "by hand")
    pulls.fake.know("acme/up", 7, state="CLOSED", closer=landed)
    assert "for which #7 was closed, same tree" in pulls.status()["reason"]


def test_closed_without_merging_keeps_the_patch(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7, state="CLOSED", fork=None)
    row = pulls.status()
    assert (row["verdict"], row["reason"]) == ("keep", "#7 was closed without merging")


def test_a_pull_request_that_is_not_there_is_unknown(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 8)
    row = pulls.status("--exit-code")
    assert (row["verdict"], row["code"], row["pr"]["state"]) == ("unknown", 10, "absent")
    assert "there is no pull request acme/up#7" in row["reason"]


def test_a_renamed_repository_is_still_upstream(pulls: Pulls) -> None:
    pulls.page("upstream: {pr: oldname/up#7}")
    pulls.fake.know("acme/up", 7, state="MERGED", commit="c" * 40)
    pulls.fake.renamed["oldname/up"] = "acme/up"
    pulls.world.commit({"a.c": text(OURS)}, "land it (#7)")
    assert pulls.status()["verdict"] == "retire"


# --- heads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["github", "git"])
def test_a_head_that_moved_is_compared_and_wants_a_review(
    pulls: Pulls, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed = pulls.head(7, {"a.c": text(OURS)})
    pulls.page(f"upstream: {{pr: {PR}, head: {reviewed}}}")
    if asked == "git":
        pulls.leave_github(monkeypatch)
    pulls.fake.know("acme/up", 7, head=reviewed)
    assert "head moved" not in kinds(pulls.status("--max-age", "0s"))
    rewritten = pulls.head(7, {"a.c": text({**OURS, 10: "ours again"})})
    pulls.fake.know("acme/up", 7, head=rewritten)
    row = pulls.status("--max-age", "0s")
    assert row["verdict"] == "review"
    assert f"#7 moved from {reviewed[:9]}, which was reviewed, to {rewritten[:9]}: it was rewritten" in row["reason"]
    shown = Path(row["difference"]).read_text()
    assert "-+ours a" in shown
    assert "++ours again" in shown
    assert len(pulls.fake.asked) == (2 if asked == "github" else 0)


def test_commits_on_top_of_a_reviewed_head_are_told_from_a_rewrite(pulls: Pulls) -> None:
    reviewed = pulls.head(7, {"a.c": text(OURS)})
    appended = pulls.head(7, {"b.c": text({1: "x"})}, on=reviewed)
    pulls.page(f"upstream: {{pr: {PR}, head: {reviewed}}}")
    pulls.fake.know("acme/up", 7, head=appended)
    assert "1 commit was appended" in pulls.status()["reason"]


def test_what_was_reviewed_is_kept_when_its_branch_is_gone(pulls: Pulls) -> None:
    reviewed = pulls.head(7, {"a.c": text(OURS)})
    pulls.page(f"upstream: {{pr: {PR}, head: {reviewed}}}")
    pulls.fake.know("acme/up", 7, head="d" * 40)
    row = pulls.status()
    assert (row["verdict"], "ddddddddd cannot be had" in row["reason"]) == ("review", True)
    store = next(Path(os.environ["PATCHCTL_CACHE"]).glob("store/*.git"))
    assert reviewed in git("-C", store, "for-each-ref", "refs/patchctl/pins").decode()


# --- asking -----------------------------------------------------------------------------------------------------------


def test_what_git_settles_is_not_asked_for(pulls: Pulls) -> None:
    pulls.world.commit({"a.c": text(OURS)}, "land it (#7)")
    assert pulls.status()["verdict"] == "retire"
    assert pulls.fake.asked == []


def test_once_an_hour_and_not_at_all_offline(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    for words in ((), (), ("--offline",), ("--offline", "--max-age", "0s"), ("--max-age", "2d")):
        assert pulls.status(*words)["pr"]["state"] == "open"
    assert len(pulls.fake.asked) == 1
    pulls.status("--max-age", "0s")
    assert len(pulls.fake.asked) == 2


def test_what_changed_since_is_judged_anew(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    assert pulls.status()["reason"] == "#7 is open"
    pulls.fake.know("acme/up", 7, state="CLOSED")
    assert pulls.status("--max-age", "0s")["reason"] == "#7 was closed without merging"


def test_offline_without_an_answer_rests_on_git(pulls: Pulls) -> None:
    row = pulls.status("--offline")
    assert (row["verdict"], row["reason"], row["pr"]["state"]) == ("keep", "not in the base", None)
    assert pulls.fake.asked == []


def test_a_limit_ends_with_7_and_the_answer_of_before_with_its_age(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    pulls.status()
    pulls.fake.always = says(429, {"message": "slow down"}, Retry_After="3000")
    ran = pulls.call("status", "s", "--max-age", "0s", cwd=pulls.world.workspace)
    assert ran.code == 7
    assert re.search(r"ours  keep  #7 is open \(GitHub as of \d+ s ago\)", ran.stdout)
    assert "warning: 127.0.0.1: the rate limit is used up for another 50 min" in ran.stderr
    assert TOKEN not in ran.stdout + ran.stderr


def test_a_refused_token_is_no_traceback(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "wrong-token")
    ran = pulls.call("status", "s", "--json", cwd=pulls.world.workspace)
    assert ran.code == 7
    assert json.loads(ran.stdout)["stacks"][0]["patches"][0]["verdict"] == "keep"
    assert "refuses the token" in ran.stderr
    assert "wrong-token" not in ran.stdout + ran.stderr


def test_the_token_is_in_no_file_of_the_cache(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    pulls.status()
    files = [path for path in Path(os.environ["PATCHCTL_CACHE"]).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_an_upstream_that_is_not_on_github_asks_nobody(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls.leave_github(monkeypatch)
    assert pulls.status()["verdict"] == "keep"
    assert pulls.fake.asked == []


def test_what_upstream_writes_steers_neither_terminal_nor_ci(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7, title="\x1b[2J::error::x", branch="\x1b]0;x\x07", state="MERGED", commit="c" * 40)
    ran = pulls.call("status", "s", "--onto", pulls.world.tip, cwd=pulls.world.workspace)
    assert ran.code == 0
    assert "\x1b" not in ran.stdout
    assert "\\x1b]0;x\\x07" in ran.stdout
    told = pulls.call("status", "s", "--onto", pulls.world.tip, "--json", cwd=pulls.world.workspace).stdout
    assert "\\u001b" not in told


def test_markdown_shows_upstreams_text_as_text(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7, branch="a|b<img>`@you [x](y)", state="MERGED", commit="c" * 40)
    ran = pulls.call("status", "s", "--onto", pulls.world.tip, "--markdown", cwd=pulls.world.workspace)
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("### s  on ")
    assert lines[2:4] == ["| patch | verdict | why |", "|---|---|---|"]
    cells = re.split(r"(?<!\\)\|", lines[4])
    assert [cell.strip() for cell in cells[1:3]] == ["ours acme/up#\u200b7", "keep"]
    assert "a\\|b\\<img\\>\\`@\u200byou \\[x\\](y)" in cells[3]


def test_while_github_cannot_be_asked_what_may_be_open_is_not_retired(pulls: Pulls) -> None:
    pulls.fake.know("acme/up", 7)
    pulls.fake.always = says(401)
    tip = pulls.world.commit({"a.c": text(OURS)}, "the same from somebody else (#30)")
    ran = pulls.call("repin", "s", "--to", tip, "--dry-run", "--json", cwd=pulls.world.workspace)
    row = json.loads(ran.stdout)["patches"][0]
    assert (row["verdict"], row["action"]) == ("review", "carry")
    assert row["reason"].endswith("but its pull request is not known to have landed")


def test_what_landed_in_a_fork_alone_is_not_retired_by_what_the_base_holds(pulls: Pulls) -> None:
    pulls.page("upstream: {pr: friend/up#7}")
    pulls.fake.know("friend/up", 7, state="MERGED", commit="c" * 40, branch="main")
    pulls.world.commit({"a.c": text(OURS)}, "the same from somebody else (#30)")
    row = pulls.status()
    assert row["verdict"] == "review"
    assert "is merged into friend/up main" in row["reason"]


# --- repin ------------------------------------------------------------------------------------------------------------


def test_a_repin_knows_what_github_says(pulls: Pulls) -> None:
    landed = pulls.world.commit({"a.c": text(OURS), "b.c": text({3: "more"})}, "landed by hand")
    tip = pulls.world.commit({"a.c": text({10: "all", 11: "new", 12: "again"})}, "rewrite (#9)")
    pulls.fake.know("acme/up", 7, state="MERGED", commit=landed)

    def plan(*words: str) -> dict[str, Any]:
        ran = pulls.call("repin", "s", "--to", tip, "--dry-run", "--json", *words, cwd=pulls.world.workspace)
        found: dict[str, Any] = json.loads(ran.stdout)["patches"][0]
        return found

    assert (plan("--offline")["action"], pulls.fake.asked) == ("solve", []), "git alone sees no more than a conflict"
    told = plan()
    assert told["action"] == "retire"
    assert told["reason"] == f"landed as {landed[:9]} in b2, what #7 was merged as, all of the patch is in it"
    assert plan("--offline")["action"] == "retire", "what GitHub said is remembered"
