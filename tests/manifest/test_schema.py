from __future__ import annotations

import json

import jsonschema
import pytest

from patchctl.document import parse
from patchctl.errors import InvalidError
from patchctl.manifest import schema
from patchctl.manifest.validate import validate
from tests.manifest.make import OID, STACK

TEST = "tests: [{{name: x, {}}}]\n"

GOOD = {
    "stack": [
        STACK,
        STACK.replace("[one, two]", "[]"),
        STACK + "tests: [server-boots]\n",
        STACK + TEST.format("command: {run: [a], exit: 3, output: x, env: {A: b}}"),
        STACK
        + TEST.format("http: {server: s, requests: [{path: /, body: {a: [1]}, answer: {b: null}}]}, timeout: 1.5"),
        STACK + TEST.format("command: {run: [a]}, expect: fail, reason: known, variants: [cpu]"),
        STACK + TEST.format("command: {run: [a]}, http: null"),
        STACK + "policy: {allow: [a/b, ..c]}\n",
        STACK.replace("{cpu: {}}", "{sm_89: {cmake: {A: true, B: 1, C: 1.5, D: x}}}"),
    ],
    "page": [
        "title: x\n",
        f"title: x\nfrom: {{commit: {OID}}}\nissues: [a]\nrequires: [a, b]\n",
        f"title: x\nupstream: {{pr: a/b#1, head: {OID}, commit: null}}\ndrop_when: {{probe: true}}\n",
        "title: x\nreview_after: {build: 1, date: 2026-05-31}\n",
    ],
    "probe": [
        "schema: 1\ncommand: {run: [a]}\n",
        "schema: 1\nhttp: {server: s, requests: [{path: /}]}\ntimeout: 3\n",
    ],
}

BAD = {
    "stack": [
        "a\n",
        "[]\n",
        STACK.replace("schema: 1", "schema: 2"),
        STACK.replace("schema: 1", "schema_version: 1"),
        STACK.replace("release", "relaese"),
        STACK.replace(OID, OID[:9]),
        STACK.replace(OID, "1" * 40),
        STACK.replace("[one, two]", "[One]"),
        STACK.replace("[one, two]", "one"),
        STACK.replace("[one, two]", ""),
        STACK.replace("[one, two]", "[" + "x" * 81 + "]"),
        STACK.replace("[llama-server]", "[]"),
        STACK.replace("{cpu: {}}", "{}"),
        STACK.replace("{cpu: {}}", "{a b: {}}"),
        STACK.replace("{cpu: {}}", "{" + "x" * 81 + ": {}}"),
        STACK.replace("{cpu: {}}", "{cpu: {cmake: {A-B: 1}}}"),
        STACK.replace("{cpu: {}}", "{cpu: {cmake: {A: [1]}}}"),
        STACK.replace("{cpu: {}}", "{cpu: {cmake: {A: }}}"),
        STACK.replace("https://github.com/ggml-org/llama.cpp", "''"),
        STACK + "policy: {allow: [../a]}\n",
        STACK + "policy: {allow: [/a]}\n",
        STACK + "policy: {allow: [a/..]}\n",
        STACK + "retire: []\n",
        STACK + TEST.format("timeout: 3"),
        STACK + TEST.format("command: {run: []}"),
        STACK + TEST.format("command: {run: [a]}, http: {server: s, requests: [{path: /}]}"),
        STACK + TEST.format("command: null, http: null"),
        STACK + TEST.format("command: {run: [a]}, expect: fail"),
        STACK + TEST.format("command: {run: [a]}, expect: fail, reason: ''"),
        STACK + TEST.format("command: {run: [a]}, expect: maybe"),
        STACK + TEST.format("command: {run: [a]}, timeout: 0"),
        STACK + TEST.format("command: {run: [a]}, timeout: 3601"),
        STACK + TEST.format("http: {server: s, requests: []}"),
        STACK + TEST.format("http: {server: s, requests: [{path: x}]}"),
        STACK + TEST.format("http: {server: s, requests: [{path: /, method: PUT}]}"),
        STACK + TEST.format("http: {server: s, requests: [{path: /, body: [1]}]}"),
        STACK + "tests: [5]\n",
    ],
    "page": [
        "titel: x\n",
        "title: ''\n",
        "title: 5\n",
        "title: x\nfrom_: {commit: " + OID + "}\n",
        "title: x\nfrom: {}\n",
        "title: x\nrequires: [A]\n",
        "title: x\nupstream: {pr: 5}\n",
        "title: x\nupstream: {pr: a#5}\n",
        "title: x\ndrop_when: {probe: yes}\n",
        "title: x\nreview_after: {build: 0}\n",
        "title: x\nreview_after: {build: 1.5}\n",
        "title: x\nreview_after: {date: tomorrow}\n",
    ],
    "probe": [
        "schema: 1\n",
        "command: {run: [a]}\n",
        "schema: 1\ncommand: {run: [a]}\nhttp: {server: s, requests: [{path: /}]}\n",
        "schema: 1\ncommand: {run: [a]}\nexpect: fail\n",
    ],
}


def accepted_by_schema(name: str, text: str) -> bool:
    kept = json.loads(schema.schema_path(name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(kept)
    return jsonschema.Draft202012Validator(kept).is_valid(parse(text, "f").data)


def accepted_by_model(name: str, text: str) -> bool:
    try:
        validate(parse(text, "f"), schema.MODELS[name])
    except InvalidError:
        return False
    return True


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_model_and_schema_accept_the_same(name, text):
    assert (accepted_by_model(name, text), accepted_by_schema(name, text)) == (True, True)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_model_and_schema_refuse_the_same(name, text):
    assert (accepted_by_model(name, text), accepted_by_schema(name, text)) == (False, False)


@pytest.mark.parametrize("name", list(schema.MODELS))
def test_the_schemas_in_the_package_are_current(name):
    assert schema.schema_path(name).read_text(encoding="utf-8") == schema.schema_text(name), (
        "run: python -m patchctl.manifest.schema"
    )


def test_only_stale_schemas_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "schema_path", lambda name: tmp_path / f"{name}.schema.json")
    assert [path.name for path in schema.write()] == ["stack.schema.json", "page.schema.json", "probe.schema.json"]
    assert schema.write() == []
    (tmp_path / "page.schema.json").write_text("{}", encoding="utf-8")
    assert [path.name for path in schema.write()] == ["page.schema.json"]
