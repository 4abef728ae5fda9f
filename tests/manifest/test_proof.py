"""What is told from a schema alone, held against what the models say."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from patchctl.document import parse, plain
from patchctl.manifest.proof import proven
from patchctl.manifest.schema import MODELS
from tests.manifest.make import STACK
from tests.manifest.test_schema import BAD, GOOD

RUNS = "[{name: a}, {name: b}]"
ONLY_CODE_KNOWS = f"tests: [{{name: x, compare: {{server: s, requests: [{{path: /}}], runs: {RUNS}, same: [a]}}}}]"
KEYS = st.sampled_from(["x", "timeout", "reason", "from", "a b", "pr", "models"])
ODD = st.sampled_from(
    [
        *["", "\n", "x\n", "a" * 40, "A", "../x", "/x", 0, 1, -1, 1.0, 0.5, 10**400, float("inf"), float("nan")],
        *[True, False, None, [], {}, [1], ["a", "b"], {"a": 1}, {"": {}}, "fail", "pass", "POST"],
        {"name": "x", "expect": "fail"},
    ]
)


def data_of(text: str) -> Any:
    return plain(parse(text, "x").root)


@pytest.mark.parametrize(("shape", "text"), [(shape, text) for shape in GOOD for text in GOOD[shape]])
def test_what_is_good_is_proven_unless_only_code_can_tell(shape: str, text: str) -> None:
    assert proven(shape, data_of(text)) or "compare" in text


@pytest.mark.parametrize(("shape", "text"), [(shape, text) for shape in BAD for text in BAD[shape]])
def test_what_is_bad_is_never_proven(shape: str, text: str) -> None:
    assert not proven(shape, data_of(text))


# What Python takes for equal, or for the end of a text, and the models do not.
NEARLY = [
    ("stack", ("release",), "b9187\n"),
    ("stack", ("patches", 0), "one\n"),
    ("stack", ("upstream", "commit"), "a" * 40 + "\n"),
    ("page", ("review_after",), {"build": True}),
    ("page", ("review_after",), {"build": 1.0}),
    ("page", ("drop_when",), {"probe": 1}),
    ("probe", ("timeout",), True),
    ("probe", ("timeout",), float("nan")),
    ("probe", ("command", "exit"), False),
]


@pytest.mark.parametrize(("shape", "loc", "value"), NEARLY)
def test_what_is_nearly_right_is_not_proven(shape: str, loc: tuple[str | int, ...], value: object) -> None:
    data = copy.deepcopy(data_of(GOOD[shape][0]))
    at = data
    for step in loc[:-1]:
        at = at[step]
    at[loc[-1]] = value
    assert not proven(shape, data)
    with pytest.raises(ValidationError):
        MODELS[shape].model_validate(data)


def test_what_a_schema_cannot_say_is_left_to_the_models() -> None:
    assert not proven("stack", data_of(STACK + ONLY_CODE_KNOWS))


@given(st.data())
def test_whatever_is_proven_the_models_take(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(sorted(GOOD)))
    changed = copy.deepcopy(data_of(data.draw(st.sampled_from(GOOD[shape]))))
    for _ in range(data.draw(st.integers(1, 3))):
        changed = _changed(data, changed)

    if proven(shape, changed):
        MODELS[shape].model_validate(changed)


def _changed(data: st.DataObject, value: Any) -> Any:
    """Return ``value`` with something in it replaced, removed or added."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        key = data.draw(st.sampled_from(sorted(value, key=str)))
        if not data.draw(st.integers(0, 5)):
            return {name: inner for name, inner in value.items() if name != key}
        if not data.draw(st.integers(0, 5)):
            return {**value, data.draw(KEYS): data.draw(ODD)}
        return {**value, key: _changed(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _changed(data, value[at]), *value[at + 1 :]]
    return data.draw(ODD)


def test_judging_needs_no_model() -> None:
    code = "import patchctl.cli.check, sys; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
