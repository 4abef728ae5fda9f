from __future__ import annotations

import pytest

from patchctl.document import parse
from patchctl.errors import InvalidError
from patchctl.manifest.model import Lock, Page, ProbeFile, Stack
from patchctl.manifest.validate import validate
from tests.manifest.make import OID, STACK


def said(text: str, model=Stack) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        validate(parse(text, "f"), model)
    return caught.value.message.splitlines()


def with_line(old: str, new: str) -> str:
    assert old in STACK
    return STACK.replace(old, new)


def test_a_good_stack_is_a_model():
    stack = validate(parse(STACK, "f"), Stack)
    assert stack.release == "b9187"
    assert stack.upstream.commit == OID


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("patches:", "patchs:", 'f:6:1: unknown key "patchs"; did you mean "patches"?'),
        ("  targets", "  retyre: 1\n  targets", 'f:8:3: unknown key "retyre"'),
        ("{cpu: {}}", "{cpu: {cmak: {}}}", 'f:9:20: unknown key "cmak"; did you mean "cmake"?'),
        (f"  commit: {OID}\n", "", 'f:3:1: missing key "commit" in upstream'),
        ("release: b9187\n", "", 'f:1:1: missing key "release"'),
        (OID, OID[:9], "f:5:11: upstream.commit must be all 40 hex digits; this has 9"),
        (OID, OID.upper(), "f:5:11: upstream.commit must be all 40 hex digits, in lower case"),
        (OID, "1" * 40, f'f:5:11: upstream.commit must be text, not {"1" * 40}; as text it is written "{"1" * 40}"'),
        ("release: b9187", "release: 9187", 'f:2:10: release must be text, not 9187; as text it is written "9187"'),
        ("release: b9187", "release:", "f:2:9: release must be text; it has no value"),
        (
            "release: b9187",
            "release: a b",
            'f:2:10: release must be letters, digits, ".", "_", "+" and "-", starting with a letter or digit',
        ),
        ("release: b9187", "release: " + "x" * 81, "f:2:10: release must be at most 80 characters"),
        ("schema: 1", "schema: 2", "f:1:9: schema must be 1"),
        ("schema: 1", "schema: one", "f:1:9: schema must be 1"),
        ("[one, two]", "one", 'f:6:10: patches must be a list, not "one"'),
        ("[one, two]", "{one: two}", "f:6:10: patches must be a list, not a mapping"),
        ("[one, two]", "", "f:6:9: patches must be a list; it has no value"),
        (
            "[one, two]",
            "[one, Two]",
            'f:6:16: patches[1] must be lower-case letters, digits, ".", "_" and "-", starting with a letter or digit',
        ),
        ("[llama-server]", "[]", "f:8:12: build.targets must not be empty"),
        ("{cpu: {}}", "{}", "f:9:13: build.variants must not be empty"),
        (
            "{cpu: {}}",
            "{a b: {}}",
            'f:9:14: the key "a b" must be letters, digits, ".", "_" and "-", starting with a letter or digit',
        ),
        ("{cpu: {}}", "[cpu]", 'f:9:13: build.variants must be a mapping of "key: value", not a list'),
        ("{cpu: {}}", "{cpu: ~}", 'f:9:19: build.variants.cpu must be a mapping of "key: value"; it has no value'),
        (
            "{cpu: {}}",
            "{cpu: {cmake: {A: [1]}}}",
            "f:9:31: build.variants.cpu.cmake.A must be text, a number or true or false, not a list",
        ),
        ("{cpu: {}}", "{cpu: {cmake: {A: .nan}}}", "f:9:31: build.variants.cpu.cmake.A must be a finite number"),
        (
            "{cpu: {}}",
            "{cpu: {cmake: {A-B: 1}}}",
            'f:9:28: the key "A-B" must be letters, digits and "_", as CMake names variables',
        ),
        (
            "build:",
            "policy: {allow: [../x]}\nbuild:",
            'f:7:18: policy.allow[0] must be a path inside the source tree: not starting with "/", without ".."',
        ),
        (
            "build:",
            "tests: [5]\nbuild:",
            'f:7:9: tests[0] must be text or a mapping of "key: value", not 5; as text it is written "5"',
        ),
        ("build:", "tests: [{name: x}]\nbuild:", "f:7:9: a test has exactly one of: command, http, compare"),
        ("build:", "tests: [{name: x, comand: {}}]\nbuild:", 'f:7:19: unknown key "comand"; did you mean "command"?'),
        ("build:", "tests: [{command: {run: [a]}}]\nbuild:", 'f:7:9: missing key "name" in tests[0]'),
        (
            "build:",
            "tests: [{name: x, command: {run: [a, 1]}}]\nbuild:",
            'f:7:38: tests[0].command.run[1] must be text, not 1; as text it is written "1"',
        ),
        (
            "build:",
            "tests: [{name: x, command: {run: [a], exit: '1'}}]\nbuild:",
            'f:7:45: tests[0].command.exit must be a whole number, not "1"',
        ),
        (
            "build:",
            "tests: [{name: x, command: {run: [a], exit: 1.5}}]\nbuild:",
            "f:7:45: tests[0].command.exit must be a whole number, not 1.5",
        ),
        (
            "build:",
            "tests: [{name: x, expect: fial, command: {run: [a]}}]\nbuild:",
            'f:7:27: tests[0].expect must be "pass" or "fail"; did you mean "fail"?',
        ),
        (
            "build:",
            "tests: [{name: x, expect: fail, command: {run: [a]}}]\nbuild:",
            "f:7:9: expect: fail needs a reason",
        ),
        (
            "build:",
            "tests: [{name: x, timeout: 0, command: {run: [a]}}]\nbuild:",
            "f:7:28: tests[0].timeout must be more than 0",
        ),
        (
            "build:",
            "tests: [{name: x, timeout: 9999, command: {run: [a]}}]\nbuild:",
            "f:7:28: tests[0].timeout must be at most 3600",
        ),
        (
            "build:",
            "tests: [{name: x, http: {server: s, requests: [{path: x}]}}]\nbuild:",
            'f:7:55: tests[0].http.requests[0].path must start with "/"',
        ),
        (
            "build:",
            "tests: [{name: x, http: {server: '', requests: [{path: /}]}}]\nbuild:",
            "f:7:34: tests[0].http.server must not be empty",
        ),
    ],
)
def test_each_error_has_its_place_and_plain_words(old, new, expected):
    assert said(with_line(old, new)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: x\nreview_after: {date: 2026-5-1}\n", "f:2:22: review_after.date must be a date like 2026-05-31"),
        ("title: x\nreview_after: {build: 0}\n", "f:2:23: review_after.build must be more than 0"),
        ("title: x\nreview_after: {build: b9}\n", 'f:2:23: review_after.build must be a whole number, not "b9"'),
        ("title: x\nupstream: {pr: '#5'}\n", "f:2:16: upstream.pr must look like owner/repo#123"),
        ("title: x\ndrop_when: {probe: yes}\n", 'f:2:20: drop_when.probe must be true or false, not "yes"'),
        ("title: x\nfrom: {comit: 1}\n", 'f:2:1: missing key "commit" in from'),
        (f"title: x\nfrom_: {{commit: {OID}}}\n", 'f:2:1: unknown key "from_"; did you mean "from"?'),
        ("title: ''\n", "f:1:8: title must not be empty"),
        ("a page\n", 'f:1:1: the file must be a mapping of "key: value", not "a page"'),
        ("- title\n", 'f:1:1: the file must be a mapping of "key: value", not a list'),
        ("", "f:1:1: is empty; it needs title"),
    ],
)
def test_pages_are_told_the_same_way(text, expected):
    assert expected in said(text, Page)


def test_names_that_only_python_uses_are_unknown_keys():
    assert said(with_line("schema: 1", "schema: 1\nschema_version: 1")) == [
        'f:2:1: unknown key "schema_version"; did you mean "schema"?'
    ]
    assert 'f:1:1: unknown key "schema_version"; did you mean "schema"?' in said(
        with_line("schema: 1", "schema_version: 1")
    )


def test_all_errors_of_a_file_come_in_one_run_in_order():
    text = "schema: 2\nrelease: b1\nrelease: b2\nupstream: {repo: '', commit: *x}\npatches: [A, B]\n"
    assert [line.split(" ")[0] for line in said(text)] == [
        "f:1:1:", "f:1:9:", "f:3:1:", "f:4:18:", "f:4:30:", "f:5:11:", "f:5:14:",
    ]  # fmt: skip


def test_what_follows_from_a_refused_alias_is_not_told_twice():
    assert said(with_line("release: b9187", "release: *x")) == [
        "f:2:10: aliases (*x) are not used here; write the value"
    ]


def test_several_missing_keys_are_all_told():
    assert said("release: b1\n") == [
        'f:1:1: missing key "build"', 'f:1:1: missing key "schema"', 'f:1:1: missing key "upstream"',
    ]  # fmt: skip


def test_a_probe_is_one_command_or_one_server():
    assert said("schema: 1\n", ProbeFile) == ["f:1:1: a probe has exactly one of: command, http, compare"]


def test_locks_are_validated_alike():
    assert (
        said("schema: 1\nbase: {commit: 1, build: x, tree: 2}\npatches: []\n", Lock)[0] == 'f:1:1: missing key "result"'
    )


@pytest.mark.parametrize("path", ["conversion/", "a/..b/c", "..a", "a..", ".", "./a", ".github/x", "a//b", "é ü"])
def test_paths_inside_the_tree_are_taken(path):
    stack = validate(parse(with_line("build:", f"policy: {{allow: ['{path}']}}\nbuild:"), "f"), Stack)
    assert stack.policy.allow == [path]


@pytest.mark.parametrize("path", ["/etc", "..", "../a", "a/..", "a/../b", "a/.././b", "/", "", '"a\\nb"'])
def test_paths_out_of_the_tree_are_refused(path):
    text = path if path.startswith('"') else f"'{path}'"
    assert (
        "must be a path inside the source tree" in said(with_line("build:", f"policy: {{allow: [{text}]}}\nbuild:"))[0]
    )
