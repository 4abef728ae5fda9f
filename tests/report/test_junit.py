from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import xmlschema
from hypothesis import given, settings
from hypothesis import strategies as st

from patchctl.report.junit import junit
from tests.report.made import make

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def parsed(content: bytes) -> ET.Element:
    return ET.fromstring(content)  # noqa: S314 - what this test has made


def cases(root: ET.Element, suite: str) -> dict[str, ET.Element]:
    (found,) = [it for it in root.iter("testsuite") if suite in it.get("name", "")]
    return {case.get("name", ""): case for case in found.iter("testcase")}


def test_it_is_what_ci_systems_read(tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_bytes(junit(make(tmp_path / "w")))
    SCHEMA.validate(str(path))


def test_the_schema_is_that_of_what_pytest_writes_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip(reason='r')\ndef test_c(): pass\n"
        "@pytest.fixture\ndef broken(): 1/0\ndef test_d(broken): pass\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "test_x.py"]
    subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    SCHEMA.validate(str(tmp_path / "r.xml"))
    (tmp_path / "wrong.xml").write_text('<testsuites><testsuite name="x"><testcase name="y"/></testsuite></testsuites>')
    assert not SCHEMA.is_valid(str(tmp_path / "wrong.xml"))


def test_failures_skips_logs_and_counts(tmp_path: Path) -> None:
    root = parsed(junit(make(tmp_path)))
    found = cases(root, "cpu on Proc")
    failure = found["known-text"].find("failure")
    assert failure is not None
    assert failure.get("message", "").startswith("status 500, not 200: <script>")
    assert failure.text == "last line"
    assert "the last line" in (found["known-text"].findtext("system-out") or "")
    skipped = found["probe-second-fix"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "needs torch"
    assert found["boots"].findtext("system-out") == "it boots"
    assert (found["boots"].get("time"), root.get("time")) == ("2.500", "2.500")
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "13", "failures": "1", "errors": "0", "skipped": "3",
    }  # fmt: skip


def test_a_variant_that_is_not_proven_is_a_skipped_case(tmp_path: Path) -> None:
    found = cases(parsed(junit(make(tmp_path, failed=False))), "variants proven")
    said = {
        name: skipped.get("message") for name, case in found.items() if (skipped := case.find("skipped")) is not None
    }
    assert said == {"cpu": "unproven: 1 of 4 skipped", "sm_120": "not built"}
    assert set(found) == {"cpu", "sm_89", "sm_120"}


def test_a_limit_that_is_not_kept_is_a_failure(tmp_path: Path) -> None:
    limits = [
        {"variant": "cpu", "model": "m", "limit": f"decode: at least {word}", "result": word, "detail": "0.9"}
        for word in ("pass", "fail", "unknown", "error")
    ]
    found = cases(parsed(junit({**make(tmp_path), "limits": limits})), "limits")
    assert [next((it.tag for it in case), "") for case in found.values()] == ["", "failure", "skipped", "error"]


def test_a_patch_that_does_not_apply_is_a_failure(tmp_path: Path) -> None:
    report = make(tmp_path)
    conflicts = [{"path": "a.c", "upstream_commits": []}]
    report["patches"][1] |= {"outcome": "conflict", "conflicts": conflicts}
    failure = cases(parsed(junit(report)), "patches apply")["second-fix"].find("failure")
    assert failure is not None
    assert failure.get("message") == "conflict a.c"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(categories=None), max_size=40))
def test_whatever_a_test_says_it_stays_xml(text: str) -> None:
    test = {"test": "t", "patch": None, "result": "fail", "detail": text, "log": {"text": text}}
    place: dict[str, Any] = {"hardware": text, "date": "2026-01-01T00:00:00Z", "tests": [test]}
    variant = {"name": "cpu", "state": "unproven", "why": text, "places": [place]}
    limit = {"variant": text, "limit": text, "result": "fail", "detail": text}
    report = {"stack": text, "patches": [], "variants": [variant], "limits": [limit]}
    root = parsed(junit(report))
    assert SCHEMA.is_valid(root)
    assert root.get("failures") == "2"
