"""``patchctl status``: what upstream did to each patch, on real repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code
from tests.demo.built import copied_demo
from tests.series.world import URL, World, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PR = "acme/up#7"
OURS = {10: "ours a", 11: "ours b", 12: "ours c", 13: "ours d", 14: "ours e"}
OTHERS = {10: "theirs a", 11: "theirs b", 12: "ours c", 13: "theirs d", 14: "theirs e"}


class Fork:
    """One patch on a base, and an upstream that goes on."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Any]) -> None:
        self.world = World(folder)
        self.call = call
        monkeypatch.setenv("PATCHCTL_MIRROR", self.world.mirror)
        self.base = self.world.commit({"a.c": text(), "b.c": text()}, "start")
        self.world.patch("ours", {"a.c": text(OURS)})
        self.stack = self.world.stack("ours", base=self.base)

    def page(self, *lines: str) -> None:
        (self.world.patches("ours") / "README.md").write_text("\n".join(["---", "title: ours", *lines, "---", ""]))

    def status(self, *more: str) -> dict[str, Any]:
        onto = self.world.tip
        ran = self.call("status", "s", "--onto", onto, "--json", *more, cwd=self.world.workspace)
        assert ran.code in {0, 10}, ran
        row: dict[str, Any] = json.loads(ran.stdout)["stacks"][0]["patches"][0]
        return {**row, "code": ran.code}


@pytest.fixture
def fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Callable[..., Any]) -> Fork:
    return Fork(tmp_path, monkeypatch, patchctl)


def revert(fork: Fork, oid: str, subject: str, files: dict[str, str]) -> str:
    return fork.world.commit(files, f'Revert "{subject}"\n\nThis reverts commit {oid}.')


def test_an_open_pull_request_keeps_the_patch(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"b.c": text({3: "x"})}, "something else (#8)")
    assert fork.status()["verdict"] == "keep"


def test_a_squash_with_the_same_tree_retires_and_names_the_commit_and_build(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    oid = fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    row = fork.status("--exit-code")
    assert (row["verdict"], row["code"]) == ("retire", 10)
    assert row["reason"] == f"landed as {oid[:9]} in b2, squash of #7, same tree"


def test_a_landing_edited_since_is_still_a_landing(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    fork.world.commit({"a.c": text({10: "all", 11: "new", 12: "again"})}, "rewrite (#9)")
    assert fork.status()["verdict"] == "retire"


def test_a_landing_with_more_in_it_retires_when_all_of_the_patch_is_there(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"a.c": text({**OURS, 25: "more"}), "c.c": text()}, "land it and more (#7)")
    assert fork.status()["verdict"] == "retire"


def test_a_landing_in_other_words_wants_a_review(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"a.c": text(OTHERS)}, "land another way (#7)")
    row = fork.status()
    assert row["verdict"] == "review"
    assert "squash of #7, brings something else" in row["reason"]


def test_a_declared_commit_retires_whatever_the_words(fork: Fork) -> None:
    oid = fork.world.commit({"a.c": text(OTHERS)}, "do it another way (#12)")
    fork.page(f"drop_when: {{commit: {oid}}}")
    assert fork.status()["verdict"] == "retire"


def test_a_declared_commit_after_the_base_keeps_the_patch(fork: Fork) -> None:
    oid = fork.world.commit({"a.c": text(OTHERS)}, "later (#12)")
    fork.page(f"drop_when: {{commit: {oid}}}")
    ran = fork.call("status", "s", "--json", cwd=fork.world.workspace)
    assert json.loads(ran.stdout)["stacks"][0]["patches"][0]["verdict"] == "keep"


def test_a_declared_commit_that_upstream_does_not_have_is_unknown(fork: Fork) -> None:
    fork.page(f"drop_when: {{commit: {'ab' * 20}}}")
    assert fork.status()["verdict"] == "unknown"


def test_a_revert_brings_the_patch_back_and_a_re_landing_retires_it(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    landed = fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    revert(fork, landed, "land it (#7)", {"a.c": text()})
    row = fork.status()
    assert row["verdict"] == "keep"
    assert "was reverted by" in row["reason"]
    fork.world.commit({"a.c": text(OURS)}, "land it again (#11)")
    assert fork.status()["verdict"] == "retire"


def test_a_revert_of_the_revert_is_a_landing(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    landed = fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    back = revert(fork, landed, "land it (#7)", {"a.c": text()})
    revert(fork, back, 'Revert "land it (#7)"', {"a.c": text(OURS)})
    assert fork.status()["verdict"] == "retire"


def test_without_a_declaration_two_signs_retire(fork: Fork) -> None:
    fork.world.commit({"a.c": text(OURS)}, "the same, from somebody else (#30)")
    row = fork.status()
    assert row["verdict"] == "retire"
    assert {one["kind"] for one in row["evidence"]} == {"patch-id", "absorbed", "coverage", "reverse-apply"}


def test_without_a_declaration_one_sign_wants_a_review(fork: Fork) -> None:
    fork.world.commit({"a.c": text(OURS)}, "the same (#30)")
    fork.world.commit({"a.c": text({10: "all", 11: "new", 12: "again"})}, "rewrite (#31)")
    row = fork.status()
    assert row["verdict"] == "review"
    assert [one["kind"] for one in row["evidence"]] == ["patch-id"]


def test_that_it_applies_backwards_is_shown_and_counts_for_nothing(fork: Fork) -> None:
    """What the patch makes of one place stands at another one already, on its own base."""

    def twice(first: str, second: str) -> str:
        places = [f"{text()}a\nb\nc\n{word}\nd\ne\nf\n{text()}" for word in (first, second)]
        return "".join(places)

    base = fork.world.commit({"a.c": twice("old", "new")}, "two alike")
    fork.world.patch("ours", {"a.c": twice("new", "new")}, on=base, base=base)
    fork.world.stack("ours", base=base)
    row = fork.status()
    assert [one["kind"] for one in row["evidence"]] == ["reverse-apply"]
    assert (row["verdict"], row["reason"]) == ("keep", "not in the base")


def test_a_number_in_the_middle_of_a_subject_is_no_landing(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"b.c": text({1: "x"})}, "fix what (#7) broke")
    fork.world.commit({"b.c": text({2: "x"})}, "whisper sync (whisper/7)")
    assert fork.status()["verdict"] == "keep"


def test_the_table_names_every_stack_and_a_summary(fork: Fork) -> None:
    ran = fork.call("status", cwd=fork.world.workspace)
    assert ran.code == 0
    assert ran.stdout.splitlines()[0].endswith("(b1): 1 keep")
    assert "ours  keep  not in the base" in ran.stdout


def test_a_stack_that_cannot_be_asked_about_does_not_hide_the_others(fork: Fork, tmp_path: Path) -> None:
    stacks = fork.world.workspace / "stacks"
    there = next(stacks.glob("*.yaml"))
    elsewhere = there.read_text().replace(URL, f"file://{tmp_path}/nowhere.git")
    (stacks / "gone.yaml").write_text(elsewhere.replace(f"release: {there.stem}", "release: gone"))
    (stacks / "wrong.yaml").write_text("schema: 1\nrelease: wrong\nstep: 2\n")
    ran = fork.call("status", cwd=fork.world.workspace)
    assert ran.code == Code.NETWORK
    assert "ours  keep  not in the base" in ran.stdout
    assert "error: gone: the mirror" in ran.stderr
    assert "stacks/wrong.yaml:3:1: " in ran.stderr
    said = json.loads(fork.call("status", "--json", cwd=fork.world.workspace).stdout)
    assert [stack["stack"] for stack in said["stacks"]] == [there.stem]
    assert [failed["stack"] for failed in said["failed"]] == ["gone", "wrong"]


def test_when_no_stack_can_be_asked_about_all_is_said(fork: Fork, tmp_path: Path) -> None:
    stacks = fork.world.workspace / "stacks"
    there = next(stacks.glob("*.yaml"))
    (stacks / "wrong.yaml").write_text("schema: 1\nrelease: wrong\nstep: 2\n")
    there.write_text(there.read_text().replace(URL, f"file://{tmp_path}/nowhere.git"))
    ran = fork.call("status", cwd=fork.world.workspace)
    assert ran.code == Code.INVALID
    assert (ran.stderr.count("nowhere.git of"), ran.stderr.count("stacks/wrong.yaml:3:1: ")) == (1, 1)


# --- record -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["upstream: {pr: acme/up#7}  # ours", "# end"],
         ["upstream: {pr: acme/up#7}  # ours", "drop_when: {commit: LANDED}", "# end"]),
        (["drop_when: {probe: true} # try", "upstream: {pr: acme/up#7}"],
         ["drop_when: {probe: true, commit: LANDED} # try", "upstream: {pr: acme/up#7}"]),
        (["drop_when:", "  # when", "  pr: acme/up#7", "# end"],
         ["drop_when:", "  # when", "  pr: acme/up#7", "  commit: LANDED", "# end"]),
    ],
)  # fmt: skip
def test_record_writes_a_proved_landing_into_the_page_and_nothing_else(
    fork: Fork, before: list[str], after: list[str]
) -> None:
    fork.page(*before)
    page = fork.world.patches("ours") / "README.md"
    landed = fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    assert fork.status()["verdict"] == "retire"
    assert page.read_text() == "\n".join(["---", "title: ours", *before, "---", ""])
    assert fork.status("--record")["verdict"] == "retire"
    assert page.read_text() == "\n".join(["---", "title: ours", *after, "---", ""]).replace("LANDED", landed)
    fork.world.commit({"a.c": text({10: "all", 11: "new", 12: "again"})}, "rewrite (#9)")
    written = page.read_bytes()
    assert fork.status("--record")["reason"] == f"landed as {landed[:9]} in b2"
    assert page.read_bytes() == written


def test_record_writes_nothing_that_is_not_proved(fork: Fork) -> None:
    fork.page(f"upstream: {{pr: {PR}}}")
    page = fork.world.patches("ours") / "README.md"
    before = page.read_bytes()
    fork.world.commit({"a.c": text(OTHERS)}, "another way (#7)")
    assert fork.status("--record")["verdict"] == "review"
    fork.page()
    fork.world.commit({"a.c": text(OURS)}, "the same (#30)")
    assert fork.status("--record")["verdict"] == "retire"
    fork.page(f"upstream: {{pr: {PR}}}")
    assert page.read_bytes() == before


def test_the_second_time_costs_no_git_process(fork: Fork) -> None:
    from patchctl.git import COUNTER

    fork.page(f"upstream: {{pr: {PR}}}")
    fork.world.commit({"a.c": text(OTHERS)}, "another way (#7)")
    first = fork.status()
    before = COUNTER.processes
    assert fork.status() == first
    assert COUNTER.processes == before


def test_verbose_tells_all_evidence(fork: Fork) -> None:
    fork.world.commit({"a.c": text(OURS)}, "the same (#30)")
    ran = fork.call("status", "s", "--onto", fork.world.tip, "-v", cwd=fork.world.workspace)
    assert "      absorbed: merged with the base it brings nothing" in ran.stdout
    assert "      coverage: the lines it adds stand in the base" in ran.stdout
    assert "      reverse-apply: taken backwards it applies to the base, which proves nothing" in ran.stdout


@pytest.mark.parametrize("age", ["1", "h", "-1h", "1w", "1.5h"])
def test_an_age_needs_its_unit(fork: Fork, age: str) -> None:
    assert fork.call("status", "--max-age", age, cwd=fork.world.workspace).code == 2


# --- probe ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_probe_settles_it_by_experiment(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    patchctl: Callable[..., Any],
) -> None:
    """On the demo's b33 one patch is there and one is not; without their pages' words only the probes can tell."""
    demo = copied_demo(tmp_path_factory, monkeypatch, tmp_path / "demo")
    for patch in ("whole-characters", "fresh-sampler"):
        (demo.root / "patches" / patch / "README.md").write_text(f"---\ntitle: {patch}\n---\n")
    ran = patchctl("status", "demo", "--onto", "b33", "--probe", "--no-sandbox", "--json", cwd=demo.root)
    assert ran.code == 0, ran
    rows = {row["id"]: row for row in json.loads(ran.stdout)["stacks"][0]["patches"]}
    assert rows["whole-characters"]["verdict"] == "retire"
    assert rows["whole-characters"]["reason"] == "its probe passes on the unpatched base"
    assert rows["fresh-sampler"]["verdict"] == "keep"
    assert rows["fresh-sampler"]["reason"].startswith("its probe fails on the unpatched base: ")
    # What a probe has told stays told, until the probe changes.
    again = patchctl("status", "demo", "--onto", "b33", "--json", cwd=demo.root)
    assert {row["id"]: row for row in json.loads(again.stdout)["stacks"][0]["patches"]} == rows
    probe = demo.root / "patches" / "whole-characters" / "probe.yaml"
    before = probe.read_text()
    probe.write_text(f"{before}timeout: 61\n")
    again = patchctl("status", "demo", "--onto", "b33", "--json", cwd=demo.root)
    assert "probe" not in json.loads(again.stdout)["stacks"][0]["patches"][0]["reason"]
    probe.write_text(before)
    ran = patchctl("repin", "demo", "--to", "b33", "--probe", "--no-sandbox", "--dry-run", "--json", cwd=demo.root)
    planned = {row["id"]: row for row in json.loads(ran.stdout)["patches"]}
    assert planned["whole-characters"]["action"] == "retire"
    assert [planned[name]["reason"] for name in rows] == [row["reason"] for row in rows.values()]


def test_a_probe_that_decides_and_was_not_tried_is_named(fork: Fork) -> None:
    fork.page("drop_when: {probe: true}")
    row = fork.status()
    assert (row["verdict"], row["reason"]) == ("keep", "not in the base; its probe was not tried (--probe)")
    fork.page("drop_when: {probe: true}", f"upstream: {{pr: {PR}}}")
    landed = fork.world.commit({"a.c": text(OURS)}, "land it (#7)")
    assert fork.status()["reason"].startswith(f"landed as {landed[:9]}"), "what git settles needs no probe"
    assert "untried" not in [one["kind"] for one in fork.status()["evidence"]]


def test_the_box_is_for_probes_only(fork: Fork) -> None:
    assert fork.call("status", "--no-sandbox", cwd=fork.world.workspace).code == 2
