from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from patchctl.errors import Code
from patchctl.manifest.model import Test
from patchctl.smoke.hardware import Gpu, Hardware, cannot_run, detect
from patchctl.smoke.kinds import KINDS, invalid
from patchctl.smoke.match import difference, nmse, parted, unmatched, value_at
from patchctl.smoke.placeholders import PlaceholderError, fill, fill_pattern
from patchctl.smoke.result import Result, Verdict, exit_code, proven, why_unproven
from patchctl.smoke.runner import expected

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("wanted", "actual", "said"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}], "x": 0}}, None),
        ({"a": 1}, {"b": 2}, 'a is missing from {"b": 2}'),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b is 2, not 1"),
        ({"a": [1, 2]}, {"a": [1]}, "a has 1 entries, not 2"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a[1] is 3, not 2"),
        ({"a": 1}, {"a": True}, "a is true, not 1"),
        ({"a": False}, {"a": 0}, "a is 0, not false"),
        ({"a": 1}, {"a": 1.0}, None),
        ({"a": None}, {"a": None}, None),
        ({"a": "1"}, {"a": 1}, 'a is 1, not "1"'),
        ({"a": {}}, {"a": []}, "a is [], not {}"),
        ({"a": 1}, [1], 'the answer is [1], not {"a": 1}'),
    ],
)
def test_json_matches_as_a_subset(wanted: Any, actual: Any, said: str | None) -> None:
    assert difference(wanted, actual) == said


@QUICK
@given(JSON)
def test_everything_matches_itself(value: Any) -> None:
    assert difference(value, value) is None


@QUICK
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_more_keys_never_hurt_and_fewer_always_do(wanted: dict[str, Any], more: dict[str, Any]) -> None:
    assert difference(wanted, {**more, **wanted}) is None
    for key in wanted:
        assert difference(wanted, {name: value for name, value in wanted.items() if name != key}) is not None


def test_long_values_are_cut_in_messages() -> None:
    assert len(unmatched("^b$", "a" * 10_000) or "") < 200


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{bin}/x", "/b/x"),
        ("{bin}{bin}", "/b/b"),
        ("{{bin}}", "{bin}"),
        ('{"a": {"b": 1}}', '{"a": {"b": 1}}'),
        ("a{3}", "a{3}"),
        ("${HOME} {}", "${HOME} {}"),
    ],
)
def test_only_a_word_in_braces_is_a_placeholder(text: str, filled: str) -> None:
    assert fill(text, {"bin": "/b"}) == filled


def test_values_in_patterns_match_themselves() -> None:
    assert fill_pattern("^{bin}$", {"bin": "a.b+c"}) == r"^a\.b\+c$"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{bim}", 'unknown placeholder {bim}; did you mean "bin"? (there are {bin}; {{bim}} is the word itself)'),
        ("{server}", "{server} stands for nothing: no target of this stack ends in -server"),
        ("{port}", "{port} has no meaning here"),
    ],
)
def test_an_unknown_placeholder_is_named_with_those_there_are(text: str, said: str) -> None:
    with pytest.raises(PlaceholderError) as error:
        fill(text, {"bin": "/b"})
    assert str(error.value) == said


def test_everything_wrong_in_a_test_is_found_before_it_runs() -> None:
    requests = [{"path": "/{x}", "text": "(", "body": {"text": "("}, "answer": {"output": "["}}]
    test = Test.model_validate({"name": "t", "http": {"server": "{server}", "requests": requests}})
    assert [(loc[1:], problem.split(":")[0].split(" (")[0]) for loc, problem in invalid(test, {"bin": "/b"})] == [
        (("server",), "{server} stands for nothing"),
        (("requests", 0, "path"), "unknown placeholder {x}"),
        (("requests", 0, "text"), "text"),
    ]


def test_every_kind_is_a_field_of_a_test() -> None:
    assert set(KINDS) <= set(Test.model_fields)


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        ((), None, True),
        (("sm_89",), "8.9", True),
        (("sm_89",), None, False),
        (("sm_89",), "12.0", False),
        (("sm_86",), "8.9", True),
        (("sm_89",), "8.6", False),
        (("sm_120a",), "12.0", True),
        (("sm_120a",), "12.1", False),
        (("compute_89",), "12.0", True),
        (("compute_120a",), "12.1", False),
        (("sm_89", "sm_120a"), "12.0", True),
        (("sm_90a",), "9.0", True),
        (("nonsense",), "9.0", False),
    ],
)
def test_code_for_a_gpu_needs_one_that_runs_it(
    architectures: tuple[str, ...], capability: str | None, runs: bool
) -> None:
    gpus = (Gpu("GPU", capability),) if capability else ()
    why = cannot_run(architectures, Hardware("x86_64", "cpu", gpus))
    assert (why is None) == runs
    if why:
        assert why.startswith(
            f"built for {', '.join(architectures)}; this machine has {'GPU' if capability else 'no GPU'}"
        )


def test_this_machine_has_a_name_for_its_processor() -> None:
    assert detect().machine
    assert detect().key() == detect().key()


def result(word: Any, *, attention: bool = False) -> Result:
    return Result("t", "v", word, "", 0.0, "", attention=attention)


@pytest.mark.parametrize(
    ("words", "is_proven", "why", "code"),
    [
        ([], False, "it has no test", Code.OK),
        (["pass", "pass"], True, "", Code.OK),
        (["pass", "skip"], False, "1 of 2 skipped", Code.OK),
        (["pass", "error"], False, "1 of 2 could not run", Code.TEST),
        (["fail", "skip", "pass"], False, "1 of 3 failed, 1 of 3 skipped", Code.TEST),
    ],
)
def test_only_tests_that_ran_and_passed_prove(words: list[str], is_proven: bool, why: str, code: Code) -> None:
    results = [result(word) for word in words]
    assert (proven(results), why_unproven(results), exit_code(results)) == (is_proven, why, code)


def test_a_defect_that_is_gone_wants_attention_but_never_hides_a_failure() -> None:
    assert exit_code([result("fail", attention=True)]) == Code.ATTENTION
    assert exit_code([result("fail", attention=True), result("fail")]) == Code.TEST


@pytest.mark.parametrize(
    ("word", "seen", "attention"),
    [("fail", "pass", False), ("pass", "fail", True), ("skip", "skip", False), ("error", "error", False)],
)
def test_a_known_defect(word: Any, seen: str, attention: bool) -> None:
    test = Test.model_validate({"name": "t", "command": {"run": ["x"]}, "expect": "fail", "reason": "known"})
    verdict, wants = expected(test, Verdict(word, "it"))
    assert (verdict.result, wants) == (seen, attention)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({}, "a test has exactly one of: command, http, compare"),
        ({"command": {"run": ["x"]}, "http": {"server": "s", "requests": [{"path": "/"}]}}, "a test has exactly one"),
        ({"expect": "fail"}, "expect: fail needs a reason"),
        ({"expect": "fail", "reason": "#1", "timeout": 9.0}, "is changed by expect and reason only"),
        ({"expect": "fail", "reason": "#1", "models": ["perm"]}, "is changed by expect and reason only"),
    ],
)
def test_a_test_has_one_kind_or_says_what_is_expected_of_a_general_one(definition: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Test.model_validate({"name": "t", **definition})
    assert Test.model_validate({"name": "t", "expect": "fail", "reason": "#1"}).general


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same": []}, "a comparison has exactly one of: same, nmse"),
        ({"nmse": 0.1}, "a comparison has exactly one of: same, nmse"),
        ({"runs": [{"name": "a"}, {"name": "a"}]}, "two runs have the same name"),
        ({"runs": [{"name": "a"}]}, "at least 2"),
        ({"runs": [{"name": "a"}, {"name": "b", "nmse": 0.1}]}, "a run can only replace what the comparison has"),
        ({"nmse": 0.1, "same": [], "runs": [{"name": "a"}, {"name": "b", "same": ["x"]}]}, "a run can only replace"),
        ({"same": ["a b"]}, "pattern"),
    ],
)
def test_a_comparison_that_compares_nothing_is_refused(changes: Any, said: str) -> None:
    whole = {"server": "s", "requests": [{"path": "/"}], "runs": [{"name": "a"}, {"name": "b"}], "same": ["content"]}
    assert Test.model_validate({"name": "t", "compare": whole}).compare
    with pytest.raises(ValueError, match=said):
        Test.model_validate({"name": "t", "compare": {**whole, **changes}})


def test_models_and_log_patterns_are_judged_before_anything_runs() -> None:
    http = {
        "server": "{server}",
        "args": ["{models}"],
        "requests": [{"path": "/{port}"}],
        "log": ["("],
        "no_log": ["["],
    }
    test = Test.model_validate({"name": "t", "http": http, "models": ["perm-mtp-bare", "prem"]})
    found = [(loc[-2:], problem) for loc, problem in invalid(test, {"server": "s"})]
    assert found[0] == (("models", 1), 'there is no test model "prem"; did you mean "perm"?')
    assert [loc for loc, _ in found[1:]] == [("log", 0), ("no_log", 0)]
    alone = Test.model_validate({"name": "t", "http": http})
    assert "{models} has no meaning here" in [problem for _, problem in invalid(alone, {"server": "s"})]


@pytest.mark.parametrize(
    ("place", "found"),
    [("a.b.1", 2), ("a.b", [1, 2]), ("a.c", "a.c"), ("a.b.2", "a.b.2"), ("a.b.1.x", "a.b.1.x"), ("a.b.x", "a.b.x")],
)
def test_a_place_is_found_or_its_first_missing_step_named(place: str, found: Any) -> None:
    value = {"a": {"b": [1, 2]}}
    if isinstance(found, str):
        with pytest.raises(LookupError, match=f"^{found}$"):
            value_at(value, place)
    else:
        assert value_at(value, place) == found


def test_where_texts_part_is_counted_from_1() -> None:
    assert parted("abc", "abd") == "; they part at character 3"
    assert parted(["x", "abc"], ["x", "ab"]) == "; they part at character 3"
    assert parted(["x"], ["x"]) == parted([1], [2]) == parted("a", "a") == ""


@QUICK
@given(
    st.lists(st.floats(-50, 50, width=16), min_size=2, max_size=9, unique=True),
    st.floats(-9, 9, width=16),
    st.floats(0, 4, width=16),
)
def test_nmse_is_no_matter_of_a_shift_and_grows_with_the_square(values: list[float], shift: float, part: float) -> None:
    assert nmse(values, [value + shift for value in values]) == pytest.approx(0, abs=1e-6)
    middle = sum(values) / len(values)
    scaled = [middle + (value - middle) * (1 + part) for value in values]
    assert nmse(values, scaled) == pytest.approx(part**2, rel=1e-6, abs=1e-9)


def test_nmse_of_a_constant_is_infinite() -> None:
    assert nmse([1, 1], [1, 2]) == float("inf")
