from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.workspace import Workspace
from patchctl.report.logs import FAILED_LIMIT, LIMIT, read_log
from patchctl.report.model import Findings, check_from_files, make_report
from patchctl.smoke.plan import load_probe
from patchctl.smoke.runner import definition_key
from tests.report.made import CHECK, STATUS, TREE, event, make, make_workspace

if TYPE_CHECKING:
    from pathlib import Path


def answer(report: dict[str, Any], start: str) -> tuple[str, str]:
    (found,) = [it for it in report["answers"] if it["question"].startswith(start)]
    return found["answer"], found["detail"]


def test_variants_say_what_is_known_of_them(tmp_path: Path) -> None:
    variants = {it["name"]: it for it in make(tmp_path)["variants"]}
    assert list(variants) == ["cpu", "sm_89", "sm_120"]
    cpu = variants["cpu"]
    assert (cpu["state"], cpu["why"]) == ("unproven", "1 of 4 failed")
    assert cpu["bytes"] == 3000, "a link is not a second copy"
    assert cpu["durations"] == {"configure": 1.5, "compile": 130.0}
    assert cpu["toolchain"] == {"cc": "cc 12"}
    assert [log["name"] for log in cpu["logs"]] == ["cpu.compile.log"]
    assert (variants["sm_89"]["state"], variants["sm_89"]["bytes"]) == ("proven", None)
    assert (variants["sm_120"]["state"], variants["sm_120"]["places"]) == ("not built", [])


def test_logs_are_those_of_this_machine_only(tmp_path: Path) -> None:
    variants = {it["name"]: it for it in make(tmp_path)["variants"]}
    here, there = variants["cpu"]["places"][0], variants["sm_89"]["places"][0]
    assert [bool(it["log"]) for it in here["tests"]] == [True, True, False, False]
    assert [it["log"] for it in there["tests"]] == [None] * 4
    assert there["hardware"] == "G (8.9), P, x86_64"


def test_probes_are_told_with_their_patch(tmp_path: Path) -> None:
    first, second = make(tmp_path)["patches"]
    assert [(it["variant"], it["patched"]) for it in first["probes"]] == [("cpu", "pass"), ("sm_89", "pass")]
    assert [(it["variant"], it["patched"]) for it in second["probes"]] == [("cpu", "skip"), ("sm_89", "pass")]
    assert first["upstream"]["verdict"] == "review"
    assert first["page"]["drop_when"] == {"probe": True}


def test_probes_say_how_they_ended_without_the_patch_while_they_are_the_same_probes(tmp_path: Path) -> None:
    workspace, cache = make_workspace(tmp_path)
    probe = tmp_path / "patches" / "first-fix" / "probe.yaml"
    probe.write_text("schema: 1\ncommand: {run: ['true', '{here}/x.sh']}\n")
    case = load_probe(workspace, "first-fix")
    assert case
    seen = {"patch": "first-fix", "definition": definition_key(case), "unpatched": "fail", "patched": "pass"}
    rows = [{**seen, "variant": "cpu"}, {**seen, "variant": "sm_120", "unpatched": "pass"}]
    path = tmp_path / "stacks" / "r9.evidence.json"
    # What each machine tried is this probe, too.
    tried = path.read_text().replace('"probe-first-fix"', f'"probe-first-fix", "definition": "{definition_key(case)}"')
    path.write_text(json.dumps({**json.loads(tried), "probes": rows}))

    def told() -> tuple[list[tuple[str, str, str | None]], list[str]]:
        stack = workspace.load_stack(tmp_path / "stacks" / "r9.yaml")
        report = make_report(workspace, stack, Findings(CHECK), cache)
        return [(it["variant"], it["patched"], it["unpatched"]) for it in report["patches"][0]["probes"]], report[
            "notices"
        ]

    assert told() == (
        [("cpu", "pass", "fail"), ("sm_89", "pass", None), ("sm_120", "pass", "pass")],
        ["The probe of first-fix passes without it (sm_120): it shows nothing."],
    )
    (probe.parent / "x.sh").write_text("another script\n")
    assert told() == ([], [])
    probe.write_text("nonsense: [")
    assert told()[0][0] == ("cpu", "pass", None)


def test_evidence_of_another_tree_counts_for_nothing(tmp_path: Path) -> None:
    moved = {**CHECK, "result": {"commit": "c" * 40, "tree": "8" * 40}}
    report = make(tmp_path, check=moved)
    assert {it["state"] for it in report["variants"]} == {"not built"}
    assert report["variants"][0]["why"] == "what is built is of another tree"
    assert "another tree" in report["notices"][0]
    assert answer(report, "Does it work")[0] == "unknown"


def test_a_patch_that_retired_and_is_wanted_back_is_a_notice(tmp_path: Path) -> None:
    gone = {"id": "gone", "verdict": "review", "reason": "retired, but it was taken back: put it back", "evidence": []}
    report = make(tmp_path, status={**STATUS, "patches": [*STATUS["patches"], gone]})
    assert "gone: retired, but it was taken back: put it back" in report["notices"]
    assert "gone" not in {patch["id"] for patch in report["patches"]}
    assert not any("put it back" in said for said in make(tmp_path / "other")["notices"])


def test_what_is_built_but_was_never_recorded_is_unproven(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    (tmp_path / "stacks" / "r9.evidence.json").unlink()
    workspace = Workspace(tmp_path)
    stack = workspace.load_stack(tmp_path / "stacks" / "r9.yaml")
    cpu = make_report(workspace, stack, Findings(CHECK), tmp_path / "cache")["variants"][0]
    assert (cpu["state"], cpu["why"]) == ("unproven", "its tests were never recorded")


def test_without_upstream_the_evidence_says_how_patches_applied(tmp_path: Path) -> None:
    workspace, _ = make_workspace(tmp_path)
    stack = workspace.load_stack(tmp_path / "stacks" / "r9.yaml")
    said = check_from_files(stack)
    assert [it["outcome"] for it in said["patches"]] == ["clean", "clean"]
    assert said["result"]["tree"] == TREE
    (tmp_path / "stacks" / "r9.evidence.json").unlink()
    said = check_from_files(stack)
    assert [it["outcome"] for it in said["patches"]] == ["unknown", "unknown"]
    assert said["result"] is None


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["clean", "offset"], ("yes", "2 patches: 1 clean, 1 offset")),
        (["conflict", "blocked"], ("no", "2 of 2 patches: first-fix, second-fix")),
        (["clean", "unknown"], ("unknown", "nothing says how the patches apply")),
    ],
)
def test_does_it_apply(tmp_path: Path, outcomes: list[str], expected: tuple[str, str]) -> None:
    patches = [{**row, "outcome": word} for row, word in zip(CHECK["patches"], outcomes, strict=True)]
    assert answer(make(tmp_path, check={**CHECK, "patches": patches}), "Does it apply") == expected


def test_the_other_answers(tmp_path: Path) -> None:
    report = make(tmp_path)
    assert answer(report, "Does it build") == ("partly", "cpu, sm_89; not built: sm_120")
    assert answer(report, "Does it work") == ("no", "tests failed: cpu")
    assert answer(report, "Does upstream") == ("partly", "review: first-fix")
    assert answer(report, "What broke") == ("known", f"interaction: first-fix, {'f' * 40}")


def test_the_first_break_ahead_is_named_without_a_bisect(tmp_path: Path) -> None:
    report = make(tmp_path, failed=False, bisects=[])
    assert answer(report, "What broke") == ("ahead", "upstream b34 is the first to break a patch: first-fix")
    events = [event("first-fix", 20, "absorbed")]
    calm = {"events": events, "base": {"build": 9}, "to": {"build": 30}}
    found = [
        it
        for it in make(tmp_path / "calm", failed=False, bisects=[], forecast=calm)["answers"]
        if "broke" in it["question"]
    ]
    assert found[0]["answer"] == "nothing"


def test_what_fails_was_broken_by_something(tmp_path: Path) -> None:
    assert answer(make(tmp_path, bisects=[]), "What broke") == ("unknown", "no bisect has looked for it")
    causes = [{"commit": "9" * 40, "build": build, "subject": "it", "pr": None} for build in (81, 77)]
    conflict = {"outcome": "conflict", "conflicts": [{"path": "a", "upstream_commits": causes}]}
    patches = [CHECK["patches"][0], {**CHECK["patches"][1], **conflict}]
    found = make(tmp_path / "conflict", bisects=[], check={**CHECK, "result": None, "patches": patches})
    assert answer(found, "What broke") == ("known", "upstream b77 is the first that changes what second-fix changes")


def test_skips_leave_a_release_partly_proven(tmp_path: Path) -> None:
    assert answer(make(tmp_path, failed=False), "Does it work")[0] == "partly"


def test_a_report_is_json(tmp_path: Path) -> None:
    report = make(tmp_path)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["schema_version"] == 1


def test_a_log_shows_its_end_in_whole_lines_and_more_of_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {at:06}\n" for at in range(40_000)))
    passed, failed = read_log(path), read_log(path, failed=True)
    assert passed
    assert failed
    assert (passed["cut"], failed["cut"]) == (True, True)
    assert passed["text"].startswith("line ")
    assert passed["text"].endswith("line 039999")
    assert LIMIT - 20 < len(passed["text"]) <= LIMIT
    assert FAILED_LIMIT - 20 < len(failed["text"]) <= FAILED_LIMIT
    assert read_log(tmp_path / "none.log") is None


def test_a_log_gives_no_orders_and_no_passwords(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"::add-mask::x\n\x1b]0;title\x07 https://me:secret@host/x \xff\n")
    log = read_log(path)
    assert log
    assert log["text"].startswith(": :add-mask::x\n")
    assert "\x1b" not in log["text"]
    assert "secret" not in log["text"]
