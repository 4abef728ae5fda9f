"""The report as JUnit XML, as CI systems read it: suites for patches, variants, each machine's tests, limits."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What XML 1.0 cannot hold, not even written as a reference.
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}
TAGS = {"fail": "failure", "error": "error", "skip": "skipped"}


def junit(report: Mapping[str, Any]) -> bytes:
    """Return the report as JUnit XML: conflicts and failed tests are failures, what could not run is an error.

    A variant that is not proven is a skipped case of its own, so that no summary counts it as one that passed.
    """
    root = ET.Element("testsuites", {"name": _clean(report["stack"])})
    _apply_suite(root, report)
    _variant_suite(root, report)
    for variant in report["variants"]:
        for place in variant["places"]:
            _test_suite(root, report, variant, place)
    _limit_suite(root, report)
    for suite in root:
        for name, value in _counts(suite).items():
            suite.set(name, value)
    for name, value in _counts(root).items():
        root.set(name, value)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _apply_suite(root: ET.Element, report: Mapping[str, Any]) -> None:
    suite = ET.SubElement(root, "testsuite", {"name": _clean(f"{report['stack']}: patches apply")})
    for patch in report["patches"]:
        case = _case(suite, f"{report['stack']}.patches", patch["id"], None)
        if patch["outcome"] in {"conflict", "blocked"}:
            paths = ", ".join(one["path"] for one in patch["conflicts"])
            _outcome(case, "failure", f"{patch['outcome']} {paths}".strip(), patch.get("detail") or "")


def _variant_suite(root: ET.Element, report: Mapping[str, Any]) -> None:
    suite = ET.SubElement(root, "testsuite", {"name": _clean(f"{report['stack']}: variants proven")})
    for variant in report["variants"]:
        case = _case(suite, f"{report['stack']}.variants", variant["name"], None)
        if variant["state"] != "proven":
            _outcome(case, "skipped", f"{variant['state']}{': ' if variant['why'] else ''}{variant['why']}", "")


def _limit_suite(root: ET.Element, report: Mapping[str, Any]) -> None:
    if report["limits"]:
        suite = ET.SubElement(root, "testsuite", {"name": _clean(f"{report['stack']}: limits")})
        for limit in report["limits"]:
            case = _case(suite, f"{report['stack']}.limits.{limit['variant']}", limit["limit"], None)
            if limit["result"] != "pass":
                _outcome(case, TAGS.get(limit["result"], "skipped"), f"{limit['result']}: {limit['detail']}", "")


def _test_suite(
    root: ET.Element, report: Mapping[str, Any], variant: Mapping[str, Any], place: Mapping[str, Any]
) -> None:
    name = f"{report['stack']} {variant['name']} on {place['hardware']}"
    suite = ET.SubElement(root, "testsuite", {"name": _clean(name)})
    if place["date"]:
        suite.set("timestamp", place["date"].removesuffix("Z"))
    for test in place["tests"]:
        case = _case(suite, f"{report['stack']}.{variant['name']}", test["test"], test.get("seconds"))
        if test["result"] in TAGS:
            first, _, rest = test["detail"].partition("\n")
            _outcome(case, TAGS[test["result"]], first, rest)
        if test["log"]:
            ET.SubElement(case, "system-out").text = _clean(test["log"]["text"])


def _case(suite: ET.Element, group: str, name: str, seconds: float | None) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", {"classname": _clean(group), "name": _clean(name), "time": f"{seconds or 0:.3f}"}
    )


def _outcome(case: ET.Element, tag: str, message: str, text: str) -> None:
    ET.SubElement(case, tag, {"message": _clean(message)}).text = _clean(text) or None


def _counts(part: ET.Element) -> dict[str, str]:
    cases = list(part.iter("testcase"))
    seconds = sum(float(case.get("time", "0")) for case in cases)
    counts = {name: str(sum(case.find(tag) is not None for case in cases)) for tag, name in COUNTED.items()}
    return {"tests": str(len(cases)), **counts, "time": f"{seconds:.3f}"}


def _clean(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
