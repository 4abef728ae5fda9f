from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from patchctl.manifest.model import Test
from patchctl.report.evidence import bring, evidence_path, held_against, read_evidence, record, record_sightings
from patchctl.series.source import AppliedPatch, Source
from patchctl.smoke.plan import Case
from patchctl.smoke.result import Result, Word
from patchctl.smoke.runner import definition_key

BASE, TREE = "b" * 40, "7" * 40
INFO: dict[str, Any] = {
    "build_key": "k" * 64,
    "toolchain": {"cxx": "g++ 12"},
    "architectures": [],
    "durations": {"compile": 3.0},
}


def source(tree: str = TREE) -> Source:
    patch = AppliedPatch("one", "b9.patch", "5" * 64, "clean")
    return Source("https://example.invalid/up.git", BASE, 9, "c" * 40, tree, "s", (patch,), ("a.c",))


def result(word: Word = "pass", variant: str = "cpu", seconds: float = 1.0) -> Result:
    return Result("boots", variant, word, "", seconds, "/var/log/x", None)


def test_a_claim_says_tree_outcomes_results_and_date(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    assert record(stack, source(), {"cpu": INFO}, [result(), result(variant="other")])
    assert evidence_path(stack) == tmp_path / "s.evidence.json"
    said = read_evidence(stack)
    assert said["schema_version"] == 1
    assert said["identity"] == f"{BASE[:9]}-{TREE[:9]}"
    assert said["base"] == {"commit": BASE, "build": 9}
    assert said["result"] == {"commit": "c" * 40, "tree": TREE}
    assert said["patches"] == [{"id": "one", "revision": "b9.patch", "sha256": "5" * 64, "outcome": "clean"}]
    claim = said["variants"]["cpu"]
    assert (claim["proven"], claim["why"], claim["build_key"]) == (True, "", INFO["build_key"])
    assert [test["result"] for test in claim["tests"]] == ["pass"]
    assert len(claim["date"]) == len("2026-11-20T21:00:00Z")
    assert "/var/log" not in evidence_path(stack).read_text(), "a log is a place on one machine"


def test_the_same_claim_keeps_its_date_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = tmp_path / "s.yaml"
    record(stack, source(), {"cpu": INFO}, [result()])
    text = (
        evidence_path(stack)
        .read_text()
        .replace(read_evidence(stack)["variants"]["cpu"]["date"], "2001-01-01T00:00:00Z")
    )
    evidence_path(stack).write_text(text)
    slower = {**INFO, "durations": {"compile": 99.0}}
    assert not record(stack, source(), {"cpu": slower}, [result(seconds=50)])
    assert read_evidence(stack)["variants"]["cpu"]["date"] == "2001-01-01T00:00:00Z"
    assert record(stack, source(), {"cpu": INFO}, [result("fail")])
    claim = read_evidence(stack)["variants"]["cpu"]
    assert (claim["proven"], claim["why"]) == (False, "1 of 1 failed")
    assert claim["date"] != "2001-01-01T00:00:00Z"


def test_variants_add_up_for_one_tree_and_go_with_another(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    record(stack, source(), {"cpu": INFO}, [result()])
    record(stack, source(), {"sm_89": INFO}, [])
    assert list(read_evidence(stack)["variants"]) == ["cpu", "sm_89"]
    assert read_evidence(stack)["variants"]["sm_89"]["why"] == "it has no test"
    record(stack, source("8" * 40), {"sm_89": INFO}, [])
    assert list(read_evidence(stack)["variants"]) == ["sm_89"]


def test_variants_that_are_gone_and_builds_that_failed_lose_their_claims(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    assert not record(stack, source(), {}, [], failed=["cpu"])
    assert not evidence_path(stack).exists()
    for name in ("cpu", "old", "sm_89"):
        record(stack, source(), {name: INFO}, [])
    assert list(read_evidence(stack)["variants"]) == ["cpu", "old", "sm_89"]
    assert record(stack, source(), {"cpu": INFO}, [result()], known=["cpu", "sm_89"])
    assert list(read_evidence(stack)["variants"]) == ["cpu", "sm_89"]
    assert record(stack, source(), {}, [], known=["cpu", "sm_89"], failed=["cpu"])
    assert list(read_evidence(stack)["variants"]) == ["sm_89"]


def case(name: str, here: Path = Path(), **more: Any) -> Case:
    return Case(Test.model_validate({"name": name, "command": {"run": ["true"]}, **more}), here)


def passed(*cases: Case) -> list[Result]:
    return [replace(result(), test=it.test.name, definition=definition_key(it)) for it in cases]


def test_a_test_that_was_changed_since_counts_as_not_run(tmp_path: Path) -> None:
    stack, script = tmp_path / "s.yaml", tmp_path / "boots.py"
    script.write_text("1")
    boots = case("boots", tmp_path, command={"run": ["{python}", "{here}/boots.py"]})
    record(stack, source(), {"cpu": INFO}, passed(boots, case("says")))
    claim = read_evidence(stack)["variants"]["cpu"]
    assert held_against(claim, "cpu", [boots, case("says")]) == claim
    why = "1 test of the stack, as it is now, never ran on it: "
    assert held_against(claim, "cpu", [boots, case("says", timeout=7)])["why"] == f"{why}says"
    script.write_text("2")
    assert held_against(claim, "cpu", [boots, case("says")])["why"] == f"{why}boots"
    del claim["tests"][1]["definition"]
    script.write_text("1")
    assert held_against(claim, "cpu", [boots, case("says")])["why"] == f"{why}says", "nobody knows what it was"


def test_that_a_test_passed_as_it_was_before_is_left_out(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    failed = replace(passed(case("ran"))[0], result="fail")
    record(stack, source(), {"cpu": INFO}, [*passed(case("boots"), case("says")), failed])
    claim = read_evidence(stack)["variants"]["cpu"]
    claim["elsewhere"] = [{"tests": claim["tests"]}]
    now = held_against(claim, "cpu", [case("boots"), case("says", timeout=7), case("ran", timeout=7)])
    assert [it["test"] for it in now["tests"]] == ["boots", "ran"]
    assert [it["test"] for it in now["elsewhere"][0]["tests"]] == ["boots", "ran"]
    assert now["why"] == "1 of 3 failed"


def test_a_variant_that_failed_elsewhere_says_at_what(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    tests = [{"test": "boots", "definition": "d", "patch": None, "result": "fail", "detail": ""}]
    assert bring(stack, source(), "cpu", INFO, {"hardware": {}, "package": "p", "tests": tests, "date": "now"})
    claim = read_evidence(stack)["variants"]["cpu"]
    assert (claim["proven"], claim["why"]) == (False, "boots: fail")


def test_what_was_proven_before_the_stack_got_another_test_is_not_proven(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    record(stack, source(), {"cpu": INFO}, passed(case("boots")))
    claim = read_evidence(stack)["variants"]["cpu"]
    others = [case("elsewhere", variants=["sm_89"]), case("on-gpu", gpu=True)]
    assert held_against(claim, "cpu", [case("boots"), *others]) == claim
    said = held_against(claim, "cpu", [case("boots"), case("new"), case("more")])
    assert (said["proven"], said["why"]) == (False, "2 tests of the stack, as they are now, never ran on it: more, new")
    assert held_against({**claim, "architectures": ["sm_89"]}, "cpu", [case("boots"), *others])["proven"] is False
    everything = [{"test": it.test, "definition": it.definition} for it in passed(case("boots"), case("new"))]
    brought = {**claim, "elsewhere": [{"tests": everything}]}
    assert held_against(brought, "cpu", [case("boots"), case("new")])["proven"] is True


PROBE = {"patch": "one", "variant": "cpu", "unpatched": "fail", "patched": "pass", "definition": "d"}


def test_sightings_stand_beside_the_claims_of_their_tree_and_go_with_another(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    assert record_sightings(stack, source(), "probes", [PROBE], hardware={"machine": "m"})
    assert record(stack, source(), {"cpu": INFO}, [result()])
    limit = {"variant": "cpu", "limit": "decode: at least 1", "result": "pass", "detail": "1.1"}
    assert record_sightings(stack, source(), "limits", [limit], hardware={})
    said = read_evidence(stack)
    assert [{**row, "date": ""} for row in said["probes"]] == [{**PROBE, "hardware": {"machine": "m"}, "date": ""}]
    assert (said["limits"][0]["result"], said["variants"]["cpu"]["proven"]) == ("pass", True)
    record(stack, source("8" * 40), {"cpu": INFO}, [result()])
    assert not {"probes", "limits"} & set(read_evidence(stack))


def test_a_sighting_takes_the_place_of_the_one_before_and_keeps_its_date_when_it_says_the_same(tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    others = [{**PROBE, "variant": name} for name in ("debug", "sm_89")]
    record_sightings(stack, source(), "probes", [PROBE, *others], hardware={})
    evidence_path(stack).write_text(evidence_path(stack).read_text().replace('"date": "2', '"date": "1'))
    assert not record_sightings(stack, source(), "probes", [PROBE], hardware={"machine": "another"})
    assert record_sightings(stack, source(), "probes", [{**PROBE, "unpatched": "pass"}], hardware={})
    rows = read_evidence(stack)["probes"]
    assert [(it["variant"], it["unpatched"], it["date"][0]) for it in rows] == [
        ("cpu", "pass", "2"), ("debug", "fail", "1"), ("sm_89", "fail", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", "{half", "\xff"])
def test_evidence_that_cannot_be_read_is_none(content: str, tmp_path: Path) -> None:
    stack = tmp_path / "s.yaml"
    assert read_evidence(stack) == {}
    evidence_path(stack).write_text(content, encoding="latin-1")
    assert read_evidence(stack) == {}
    assert record(stack, source(), {"cpu": INFO}, [result()])
    assert json.loads(evidence_path(stack).read_bytes())["release"] == "s"
