"""A server that fails over its model: the first line says what is wrong with the model, and nothing is left running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patchctl.manifest.model import Test
from patchctl.smoke import asking
from patchctl.smoke.kinds import run_kind
from patchctl.smoke.models import kept
from patchctl.smoke.server import free_port, is_taken
from tests.smoke.scripted import make_install, running_below, setting

if TYPE_CHECKING:
    from patchctl.smoke.result import Verdict

REFUSES = "def before(): print('exiting due to model loading error', flush=True); sys.exit(1)"
TOLD = "the server exited with status 1 before it was ready; "


def judge(tmp_path: Path, changes: str, args: list[str], answer: dict[str, object] | None = None) -> Verdict:
    http = {"server": "{server}", "args": args, "requests": [{"path": "/x", "answer": answer}]}
    test = Test.model_validate({"name": "t", "http": http})
    verdict = run_kind(test, setting(make_install(tmp_path / "install", changes), tmp_path))
    assert running_below(tmp_path) == []
    return verdict


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"not a model at all"), "x.gguf is no GGUF: it begins with 'not '"),
        (
            lambda path: path.write_bytes(whole()[:5000]),
            "x.gguf is truncated: its header goes on past its end at 5000",
        ),
        (lambda path: path.write_bytes(whole()[:-9]), "x.gguf is truncated: the data of token_embd.weight ends at"),
        (Path.exists, "x.gguf cannot be read: No such file or directory"),
    ],
    ids=["no-gguf", "truncated-header", "truncated-data", "missing"],
)
def test_a_model_that_cannot_be_loaded_is_named(make: object, said: str, tmp_path: Path) -> None:
    make(tmp_path / "x.gguf")  # type: ignore[operator]
    verdict = judge(tmp_path, REFUSES, ["-m", str(tmp_path / "x.gguf")])
    assert verdict.result == "fail"
    assert verdict.detail.startswith(TOLD + said)
    assert verdict.detail.endswith("\n  exiting due to model loading error")


def whole() -> bytes:
    return (kept.ensure(["perm"]) / "perm.gguf").read_bytes()


def test_a_model_without_a_head_is_named_where_drafts_are_missing(tmp_path: Path) -> None:
    folder = kept.ensure(["perm"])
    content = (folder / "perm.gguf").read_bytes().replace(b".nextn.", b".nixda.").replace(b"nextn_pre", b"nixda_pre")
    (tmp_path / "plain.gguf").write_bytes(content)
    args = ["-m", str(tmp_path / "plain.gguf"), "--spec-type", "draft-mtp"]
    verdict = judge(tmp_path, "", args, {"timings": {"draft_n": 47}})
    first = verdict.detail.split("\n")[0]
    assert 'timings is missing from {"content": "hello"}' in first
    assert first.endswith("; plain.gguf: the file has no MTP head: nothing is drafted, acceptance is 0 %")


def test_a_sound_model_is_not_blamed(tmp_path: Path) -> None:
    args = ["-m", str(kept.ensure(["perm"]) / "perm.gguf"), "--spec-type", "draft-mtp"]
    verdict = judge(tmp_path, REFUSES, args)
    assert verdict.detail.split("\n")[0] == TOLD.rstrip("; ")


def other_server(port: int) -> str:
    """Return what makes the scripted server give up its port, as if another program had taken it a moment before."""
    return f"def before():\n    if port == {port}: print('address in use', flush=True); sys.exit(1)"


@pytest.fixture
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Hold a port with another server, and hand it out first ``times`` as free."""
    import contextlib

    from patchctl.smoke.child import Deadline
    from patchctl.smoke.server import serving

    stack = contextlib.ExitStack()
    port = free_port()
    held = make_install(tmp_path / "other", "def props(c): c.sendall(reply(200, {'build_info': 'b1-other'}))")
    words = [str(held.bin / "x-server"), "--port", str(port)]
    stack.enter_context(
        serving(
            words, port=port, ready="/health", log=tmp_path / "other.log", env={"PATH": "/usr/bin:/bin"},
            cwd=tmp_path, deadline=Deadline(10),
        )
    )  # fmt: skip
    given: list[int] = []

    def next_port(times: int) -> None:
        def hand_out() -> int:
            given.append(port if len(given) < times else free_port())
            return given[-1]

        monkeypatch.setattr(asking, "free_port", hand_out)

    yield port, given, next_port
    stack.close()


@pytest.mark.parametrize("stays", [True, False], ids=["cannot-bind", "hangs-instead"])
def test_a_port_that_another_program_took_is_left_to_it(stays: bool, taken: object, tmp_path: Path) -> None:
    port, given, hand_out = taken  # type: ignore[misc]
    hand_out(1)
    changes = other_server(port) if stays else f"def before():\n    if port == {port}: time.sleep(60)"
    test = Test.model_validate({"name": "t", "http": {"server": "{server}", "requests": [{"path": "/x"}]}})
    install = make_install(tmp_path / "install", changes)
    assert run_kind(test, setting(install, tmp_path)).result == "pass"
    assert len(given) == 2
    assert is_taken(port)
    assert running_below(install.folder) == []


def test_when_every_port_is_taken_it_says_so(taken: object, tmp_path: Path) -> None:
    port, given, hand_out = taken  # type: ignore[misc]
    hand_out(99)
    test = Test.model_validate({"name": "t", "http": {"server": "{server}", "requests": [{"path": "/x"}]}})
    verdict = run_kind(test, setting(make_install(tmp_path / "install", other_server(port)), tmp_path))
    said = f"port {port} was free and then taken by another program, 3 times; run the test again"
    assert (verdict.result, verdict.detail, len(given)) == ("fail", said, 3)
