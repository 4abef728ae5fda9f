from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.manifest.model import Test
from patchctl.smoke import child as child_module
from patchctl.smoke.kinds import run_kind
from tests.smoke.scripted import make_install, running_below, setting

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.result import Verdict


@pytest.fixture
def judge(tmp_path: Path) -> Any:
    def call(*words: str, timeout: float = 10.0, **more: Any) -> Verdict:
        test = Test.model_validate({"name": "t", "command": {"run": list(words), **more}})
        return run_kind(test, setting(make_install(tmp_path / "install"), tmp_path, timeout))

    return call


@pytest.mark.parametrize(
    ("script", "more", "result", "said"),
    [
        ("true", {}, "pass", ""),
        ("exit 4", {"exit": 4}, "pass", ""),
        ("echo one; echo two >&2; exit 4", {}, "fail", "it exited with status 4: two\n  one\n  two"),
        ("true", {"exit": 4}, "fail", "it exited with status 0 (expected 4)"),
        ("echo no model here; exit 125", {}, "skip", "no model here"),
        ("exit 125", {}, "skip", "exit status 125"),
        ("exit 125", {"exit": 125}, "pass", ""),
        ("echo why; exit 4", {}, "fail", "it exited with status 4: why"),
        ("kill -SEGV $$", {}, "fail", "it was killed by SIGSEGV"),
        ("echo a; echo b7", {"output": "^b{build}$"}, "pass", ""),
        ("echo a; echo b8", {"output": "^b{build}$"}, "fail", r'output "a\nb8\n" does not match ^b{build}$'),
        (r"printf 'caf\303'", {"output": "^caf.$"}, "pass", ""),
        ("echo $PATCHCTL_IDENTITY $X", {"output": "^{identity} of 7$", "env": {"X": "of {build}"}}, "pass", ""),
        (
            'test "$PATCHCTL_OUT/bin" = "$PATCHCTL_BIN" && command -v x-server',
            {"output": "^{bin}/x-server$"},
            "pass",
            "",
        ),
        ('echo "a{3} {{bin}} {"', {"output": r"^a\{{3\}} \{{{bin}}\}} |^a.3. .bin. .$"}, "pass", ""),
    ],
)
def test_status_and_output_decide(script: str, more: dict[str, Any], result: str, said: str, judge: Any) -> None:
    verdict = judge("sh", "-c", script, **more)
    assert verdict.result == result
    assert verdict.detail == said.replace("{build}", "7") if "match" in said else verdict.detail == said


def test_a_command_runs_in_an_empty_folder_of_its_own(judge: Any) -> None:
    assert judge("sh", "-c", 'test -z "$(ls -A)" && touch left-behind').result == "pass"


def test_what_a_person_set_for_llama_cpp_changes_no_test(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ARG_CACHE_TYPE_K", "q4_0")
    monkeypatch.setenv("GGML_CUDA_FORCE_CUBLAS", "1")
    script = 'echo "$LLAMA_ARG_CACHE_TYPE_K,$GGML_CUDA_FORCE_CUBLAS,$LLAMA_ARG_SEED"'
    assert judge("sh", "-c", script, env={"LLAMA_ARG_SEED": "7"}, output="^,,7$").detail == ""


def test_a_missing_program_is_an_error(judge: Any) -> None:
    verdict = judge("{bin}/no-such")
    assert (verdict.result, "there is no program" in verdict.detail) == ("error", True)


def test_a_command_that_does_not_end_is_stopped_with_its_children(judge: Any, tmp_path: Path) -> None:
    start = time.monotonic()
    verdict = judge("sh", "-c", f"echo started; sleep 60 {tmp_path} & sleep 60", timeout=0.4)
    assert time.monotonic() - start < 4
    assert verdict.result == "fail"
    assert verdict.detail.startswith("it did not end within 0.4 s\n  started")
    assert running_below(tmp_path) == []


def test_a_flood_is_cut_off(judge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "LOG_LIMIT", 2**20)
    verdict = judge("sh", "-c", "while true; do echo spam spam spam spam spam spam; done")
    assert (verdict.result, verdict.detail) == ("fail", "it printed more than 1 MiB and was stopped")


def test_quoted_log_lines_cannot_move_the_cursor(judge: Any) -> None:
    verdict = judge("sh", "-c", r"printf 'red \033[31m\007 text\n\n.\n'; exit 1")
    assert verdict.detail.splitlines()[1] == r"  red \x1b[31m\x07 text"
