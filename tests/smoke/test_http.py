from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.model import Test
from patchctl.smoke import asking
from patchctl.smoke import child as child_module
from patchctl.smoke.kinds import run_kind
from tests.conftest import ROOT
from tests.smoke.scripted import is_free, make_install, running_below, setting

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.result import Verdict

CLOSED = "the connection was closed without an answer"
DRIP = "def answer(c):\n    c.sendall({start})\n    while True:\n        c.sendall(b'x'); time.sleep(.1)"
HELLO: dict[str, Any] = {"path": "/x", "answer": {"content": "hello"}}


def http(*requests: dict[str, Any], **more: Any) -> Test:
    definition = {"server": "{server}", "requests": list(requests) or [HELLO], **more}
    return Test.model_validate({"name": "t", "http": definition})


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note each port that is handed to a server."""
    handed: list[int] = []
    free = asking.free_port

    def noted() -> int:
        handed.append(free())
        return handed[-1]

    monkeypatch.setattr(asking, "free_port", noted)
    return handed


@pytest.fixture
def judge(tmp_path: Path, ports: list[int]) -> Any:
    """Run a test on a scripted server; afterwards its port is free and no process of it is left."""

    def call(changes: str = "", test: Test | None = None, timeout: float = 10.0) -> Verdict:
        install = make_install(tmp_path / "install", changes)
        verdict = run_kind(test or http(), setting(install, tmp_path, timeout))
        assert all(is_free(port) for port in ports)
        assert running_below(tmp_path) == []
        return verdict

    return call


def test_a_good_server_passes_and_is_gone_afterwards(judge: Any, ports: list[int]) -> None:
    assert judge().result == "pass"
    assert len(ports) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            "def before(): print('no model'); sys.exit(3)",
            "the server exited with status 3 before it was ready\n  no model",
        ),
        ("def before(): os.kill(os.getpid(), signal.SIGSEGV)", "the server was killed by SIGSEGV before it was ready"),
        ("def props(c): os._exit(4)", f"GET /props: {CLOSED}; the server exited with status 4\n  listening"),
        (
            "def answer(c): print('assertion failed', flush=True); os.kill(os.getpid(), signal.SIGABRT)",
            f"GET /x: {CLOSED}; the server was killed by SIGABRT\n  listening\n  assertion failed",
        ),
    ],
)
def test_a_crash_is_told_with_its_status_and_last_words(changes: str, said: str, judge: Any) -> None:
    verdict = judge(changes)
    assert verdict.result == "fail"
    assert verdict.detail == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("def before(): time.sleep(60)", "the server was not ready after 0.6 s; GET /health: nobody listens"),
        ("def health(c): c.sendall(reply(503, {}))", "the server was not ready after 0.6 s; GET /health answered 503"),
        ("def health(c): time.sleep(60)", "the server was not ready after 0.6 s; GET /health: no answer within"),
        ("def answer(c): time.sleep(60)", "GET /x: no answer within"),
        (DRIP.format(start="b'HTTP/1.1 200 X\\r\\n\\r\\n'"), "GET /x: no answer within"),
        (DRIP.format(start="b''"), "GET /x: no answer within"),
    ],
    ids=["load", "loading", "ready", "answer", "drips", "drips-header"],
)
def test_a_hang_ends_at_the_deadline(changes: str, said: str, judge: Any) -> None:
    start = time.monotonic()
    verdict = judge(changes, timeout=0.6)
    assert time.monotonic() - start < 4
    assert verdict.result == "fail"
    assert verdict.detail.startswith(said)


def test_a_server_that_ignores_the_request_to_stop_is_made_to(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchctl.process.GRACE", 0.3)
    assert judge("def before(): signal.signal(signal.SIGTERM, signal.SIG_IGN)").result == "pass"


def test_children_of_the_server_go_with_it(judge: Any, tmp_path: Path) -> None:
    assert judge(f"def before(): os.fork() or (print('{tmp_path}'), time.sleep(60))").result == "pass"


def test_a_flooding_log_is_cut_off(judge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT", 2**20)
    verdict = judge("def answer(c):\n    while True: os.write(1, b'spam ' * 4000)")
    assert verdict.result == "fail"
    assert "the server printed more than 1 MiB and was stopped" in verdict.detail
    assert len(verdict.detail) < 3000
    assert (tmp_path / "test.log").stat().st_size < 2**30


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("def answer(c): c.sendall(b'\\0\\1\\2garbage\\r\\n\\r\\n')", "GET /x: the answer is no HTTP"),
        ("def answer(c): pass", f"GET /x: {CLOSED}"),
        (
            "def answer(c): c.sendall(reply(200, b'{}').replace(b': 2', b': 9'))",
            "GET /x: the answer ended 7 bytes early",
        ),
        ("def answer(c): c.sendall(reply(200, b'<html>'))", 'request 1, GET /x: the answer is no JSON: "<html>"'),
        ("def answer(c): c.sendall(reply(200, b'[' * 100000))", "request 1, GET /x: the answer is no JSON"),
        ("def answer(c): c.sendall(reply(200, b'\"caf\\xc3\"'))", "request 1, GET /x: the answer is not UTF-8"),
        ("def answer(c): c.sendall(reply(500, {'error': 'oh'}))", "request 1, GET /x: status 500, not 200"),
        ("def answer(c): c.sendall(reply(200, {'content': 1}))", 'request 1, GET /x: content is 1, not "hello"'),
        ("def answer(c): c.sendall(reply(200, b'x' * 5_000_000))", "GET /x: the answer is larger than 4 MiB"),
    ],
)
def test_a_wrong_answer_is_told_as_what_it_is(changes: str, said: str, judge: Any) -> None:
    verdict = judge(changes)
    assert verdict.result == "fail"
    assert verdict.detail.startswith(said)
    assert len(verdict.detail) < 1500


@pytest.mark.parametrize(
    ("props", "said"),
    [
        (
            "{'build_info': 'b6-123456789-abcdefabc'}",
            'the server says it is "b6-123456789-abcdefabc", not b7-123456789-',
        ),
        (
            "{'build_info': 'b7-999999999-abcdefabc'}",
            'the server says it is "b7-999999999-abcdefabc", not b7-123456789-',
        ),
        ("{'other': 1}", "GET /props: the answer has no build_info"),
        ("b'nonsense'", "GET /props: the answer has no build_info"),
    ],
)
def test_another_binary_than_the_built_one_fails_before_it_is_asked(props: str, said: str, judge: Any) -> None:
    verdict = judge(f"def props(c): c.sendall(reply(200, {props}))\ndef answer(c): print('ASKED', flush=True)")
    assert verdict.result == "fail"
    assert verdict.detail.startswith(said)
    assert "ASKED" not in verdict.detail


def test_a_server_without_props_is_not_asked_who_it_is(judge: Any) -> None:
    assert judge("def props(c): c.sendall(reply(404, {}))").result == "pass"


def test_requests_are_asked_in_order_of_one_server_with_their_values_filled_in(judge: Any, tmp_path: Path) -> None:
    changes = "asked = []\ndef answer(c): asked.append(head.decode()); c.sendall(reply(200, {'asked': asked}))"
    first = {"path": "/a/{build}", "text": '"POST /a/7'} | {
        "method": "POST",
        "body": {"id": "{identity}", "raw": "{{id}}"},
    }
    second = {"path": "/b", "text": r"GET /b .*HTTP/1\.1"}
    assert judge(changes, http(first, second, args=["--base", "{base}"])).result == "pass"


def test_the_body_is_sent_as_json(judge: Any) -> None:
    changes = "def answer(c): c.sendall(reply(200, json.loads(head.split(b'\\r\\n\\r\\n')[1])))"
    body = {"prompt": "é {identity} {{x}}", "n": 3, "list": ["{build}"]}
    echoed = {"prompt": "é {identity} {{x}}", "n": 3, "list": ["7"]}
    assert judge(changes, http({"path": "/x", "method": "POST", "body": body, "answer": echoed})).result == "pass"


def test_a_word_that_holds_the_digits_of_the_port_by_chance_does_not_place_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = asking.free_port()
    monkeypatch.setattr(asking, "free_port", lambda: port)
    test = http(HELLO, args=["--tag", f"bench-2b{port}b7"])
    assert run_kind(test, setting(make_install(tmp_path / "install"), tmp_path)).result == "pass"


def test_a_port_in_the_arguments_is_not_added_again(judge: Any, tmp_path: Path) -> None:
    changes = "def answer(c): c.sendall(reply(200, {'words': len(sys.argv)}))"
    test = http({"path": "/x", "answer": {"words": 3}}, args=["--port", "{port}"])
    assert judge(changes, test).result == "pass"


def test_a_server_that_is_not_installed_is_an_error_and_no_pass(tmp_path: Path) -> None:
    install = make_install(tmp_path / "install")
    verdict = run_kind(http(server="y-server"), setting(install, tmp_path))
    assert verdict.result == "error"
    assert verdict.detail == f"there is no server y-server in {install.bin}"


def test_an_exception_inside_stops_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ports: list[int]
) -> None:
    install = make_install(tmp_path / "install")

    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(asking, "_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_kind(http(), setting(install, tmp_path))
    assert is_free(ports[0])
    assert running_below(tmp_path) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_killing_the_runner_leaves_no_server(sign: signal.Signals, tmp_path: Path) -> None:
    make_install(tmp_path / "install", "def answer(c): print(port, 'asked', flush=True); time.sleep(60)")
    code = (
        "import sys; from pathlib import Path; from patchctl.smoke.kinds import run_kind;"
        "from tests.smoke.scripted import setting; from patchctl.smoke.install import read_install;"
        "from patchctl.manifest.model import Test;"
        f"t = Test.model_validate({json.dumps({'name': 't', 'http': {'server': 'x-server', 'requests': [HELLO]}})});"
        f"f = Path({str(tmp_path)!r}); run_kind(t, setting(read_install(f / 'install'), f, 60))"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    log = tmp_path / "test.log"
    port = _wait_for(log, r"(\d+) asked")
    os.kill(runner.pid, sign)
    runner.wait(timeout=20)
    assert running_below(tmp_path / "install", patience=20) == []
    _until(lambda: is_free(int(port)))


def _wait_for(log: Path, pattern: str) -> str:
    _until(lambda: log.exists() and re.search(pattern, log.read_text()) is not None)
    return re.findall(pattern, log.read_text())[0]


def _until(condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
