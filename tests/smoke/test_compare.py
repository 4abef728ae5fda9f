from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.model import Test
from patchctl.smoke.kinds import run_kind
from tests.smoke.scripted import make_install, running_below, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from patchctl.smoke.result import Verdict

ASK: dict[str, Any] = {"path": "/completion", "method": "POST", "body": {"prompt": "x"}}
# Answers with its own arguments, so that runs differ where their arguments do.
BY_ARGUMENT = """\
words = sys.argv[1:sys.argv.index("--host")]
asked = []
def answer(c):
    asked.append(head)
    print("drafted" if "--draft" in words else "not drafted", flush=True)
    c.sendall(reply(200, {}))
"""


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Verdict]:
    """Compare runs of a scripted server, whose answer is the expression ``says``; nothing of it is left running."""

    def call(
        says: str, runs: list[dict[str, Any]], timeout: float = 20.0, changes: str = BY_ARGUMENT, **more: Any
    ) -> Verdict:
        changes = changes.replace("reply(200, {})", f"reply(200, {says})")
        named = [{"name": f"run{number}", **run} for number, run in enumerate(runs)]
        definition = {"server": "{server}", "requests": [ASK], "runs": named, "same": ["content"], **more}
        definition = {name: value for name, value in definition.items() if value is not None}
        test = Test.model_validate({"name": "t", "compare": definition})
        verdict = run_kind(
            test, setting(make_install(Path(tempfile.mkdtemp(dir=tmp_path)) / "install", changes), tmp_path, timeout)
        )
        assert running_below(tmp_path) == []
        return verdict

    return call


def test_runs_that_answer_alike_pass_and_say_what(judge: Callable[..., Verdict]) -> None:
    verdict = judge("{'content': 'abc', 'n': len(words)}", [{}, {"args": ["--draft"]}, {"args": ["a", "b"]}])
    assert (verdict.result, verdict.detail) == ("pass", '3 runs alike: "abc"')


def test_the_run_that_differs_is_named_with_where_it_parts(judge: Callable[..., Verdict]) -> None:
    verdict = judge("{'content': 'abX' if '--draft' in words else 'abc'}", [{}, {}, {"args": ["--draft"]}])
    assert verdict.result == "fail"
    assert verdict.detail == 'run run2, request 1: ["abX"], in run run0 ["abc"]; they part at character 3'


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ("{'content': ''}", "run run0: request 1, /completion: content is empty"),
        ("{'content': None}", "run run0: request 1, /completion: content is empty"),
        ("{'text': 'abc'}", 'run run0: request 1, /completion: content is missing from {"text": "abc"}'),
        ("b'abc'", 'run run0: request 1, /completion: the answer is no JSON: "abc"'),
    ],
)
def test_nothing_is_not_the_same_as_nothing(says: str, said: str, judge: Callable[..., Verdict]) -> None:
    verdict = judge(says, [{}, {}])
    assert verdict.result == "fail"
    assert verdict.detail.startswith(said)


@pytest.mark.parametrize("nothing", ["''", "None", "[]", "{}"])
def test_nothing_in_any_place_is_not_the_same_as_nothing(nothing: str, judge: Callable[..., Verdict]) -> None:
    verdict = judge(f"{{'content': 'a', 'n': 0, 'tokens': {nothing}}}", [{}, {}], same=["content", "n", "tokens"])
    assert verdict.detail.startswith("run run0: request 1, /completion: tokens is empty")


def test_several_places_are_compared(judge: Callable[..., Verdict]) -> None:
    says = "{'content': 'a', 'timings': {'draft_n': len(words)}}"
    verdict = judge(says, [{}, {"args": ["one"]}], same=["content", "timings.draft_n"])
    assert (verdict.result, verdict.detail) == ("fail", 'run run1, request 1: ["a", 1], in run run0 ["a", 0]')


def test_what_was_asked_before_is_not_compared_but_was_asked(judge: Callable[..., Verdict]) -> None:
    says = "{'content': str(len(asked))}"
    before = [{"path": "/completion", "method": "POST", "body": {"n": 1}}]
    assert judge(says, [{}, {}]).result == "pass"
    verdict = judge(says, [{}, {"before": before}])
    assert verdict.detail.startswith('run run1, request 1: ["2"], in run run0 ["1"]')


def test_a_run_may_ask_something_else_and_look_elsewhere(judge: Callable[..., Verdict]) -> None:
    says = "{'choices': [{'text': 'abc'}]} if path == '/chat' else {'content': 'abc'}"
    other = {"requests": [{"path": "/chat"}], "same": ["choices.0.text"]}
    assert judge(says, [{}, other]).result == "pass"
    more = {"requests": [{"path": "/chat"}] * 2, "same": ["choices.0.text"]}
    assert judge(says, [{}, more]).detail == "run run1 has 2 requests, run run0 1"


# Answers nobody before all three are there: asked one after the other, the first waits for ever.
GATHER = """\
def answer(c):
    abc = reply(200, {'content': 'abc'})
    for other in [listener.accept()[0] for _ in range(2)] if "--gather" in sys.argv else []:
        other.recv(65536)
        other.sendall(abc)
        other.close()
    c.sendall(abc)
"""


@pytest.mark.parametrize(("at_once", "result"), [(True, "pass"), (False, "fail")])
def test_requests_asked_at_once_are_all_there_at_the_same_time(
    at_once: bool, result: str, judge: Callable[..., Verdict]
) -> None:
    requests = [{"path": f"/{number}"} for number in range(3)]
    run = {"at_once": at_once, "args": ["--gather"]}
    verdict = judge("", [{}, run], changes=GATHER, requests=requests, timeout=5.0 if at_once else 1.0)
    assert verdict.result == result


@pytest.mark.parametrize(
    ("run", "result", "said"),
    [
        ({"args": ["--draft"], "log": ["^drafted"]}, "pass", ""),
        ({"log": ["^drafted"]}, "fail", "run run1: nothing in its log matches ^drafted"),
        ({"no_log": ["^drafted"]}, "pass", ""),
        ({"args": ["--draft"], "no_log": ["^drafted"]}, "fail", "run run1: its log matches ^drafted"),
    ],
)
def test_the_log_of_a_run_is_looked_at_alone(
    run: dict[str, Any], result: str, said: str, judge: Callable[..., Verdict]
) -> None:
    first = {"args": [] if "--draft" in run.get("args", []) else ["--draft"]}  # the other run prints the opposite
    verdict = judge("{'content': 'abc'}", [first, run])
    assert verdict.result == result
    assert verdict.detail.startswith(said)


def test_what_a_server_writes_after_its_answer_counts(judge: Callable[..., Verdict]) -> None:
    late = "def answer(c): c.sendall(HELLO); c.close(); time.sleep(.3); print('late', flush=True)"
    late = late.replace("HELLO", "reply(200, {'content': 'abc'})")
    assert judge("", [{}, {"log": ["^late"]}], changes=late).result == "pass"


def odds(*values: float) -> dict[str, Any]:
    rows = [{"id": number, "logprob": value} for number, value in enumerate(values)]
    return {"completion_probabilities": [{"top_logprobs": rows}]}


@pytest.mark.parametrize(
    ("other", "result", "said"),
    [
        (odds(-1, -2, -3), "pass", "nmse against run0: run1 0"),
        (odds(-1.01, -2, -3), "pass", "nmse against run0: run1 3.3e-05"),
        (odds(-2, -3, -4), "pass", "nmse against run0: run1 0"),
        (odds(-3, -2, -1), "fail", "run run1, request 1: nmse 4 against run run0, over 0.01"),
        (odds(-1, -2), "fail", "run run1, request 1: the likely tokens are others than in run run0"),
        (odds(-1), "fail", "run run1: request 1, /completion: the answer has 1 log-probabilities; ask for more"),
        ({"content": "abc"}, "fail", "run run1: request 1, /completion: the answer has no log-probabilities; ask for"),
        (odds(-1, -2, float("nan")), "fail", "run run1, request 1: nmse nan against run run0, over 0.01"),
    ],
)
def test_log_probabilities_may_differ_by_so_much(
    other: dict[str, Any], result: str, said: str, judge: Callable[..., Verdict]
) -> None:
    first, second = (json.dumps(json.dumps(one)) for one in (odds(-1, -2, -3), other))
    says = f"json.loads({second} if '--draft' in words else {first})"
    verdict = judge(says, [{}, {"args": ["--draft"]}], same=None, nmse=0.01)
    assert verdict.result == result
    assert verdict.detail.startswith(said)


def test_a_run_may_be_held_to_another_bound(judge: Callable[..., Verdict]) -> None:
    rows = "[{'id': 0, 'logprob': -1}, {'id': 1, 'logprob': -2 - .1 * len(words)}]"
    says = "{'completion_probabilities': [{'top_logprobs': " + rows + "}]}"
    runs = [{}, {"args": ["a"]}]
    assert judge(says, runs, same=None, nmse=0.1).result == "pass"
    assert judge(says, [{}, {"args": ["a"], "nmse": 0.001}], same=None, nmse=0.1).result == "fail"


def test_all_servers_share_the_time(judge: Callable[..., Verdict]) -> None:
    verdict = judge("{'content': 'abc'} if not words else time.sleep(60)", [{}, {"args": ["x"]}], timeout=1.0)
    assert verdict.result == "fail"
    assert verdict.detail.startswith("run run1: POST /completion: no answer within")
