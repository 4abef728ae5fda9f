"""What every command does alike: one clear line for each failure, JSON for errors, colours, pipes, ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from patchctl import __version__
from patchctl.cli import cli, run_words
from patchctl.cli.ui import Ui, outcome, table
from patchctl.errors import Code, InvalidError, PatchctlError, Problem
from patchctl.report.words import duration
from tests.conftest import ROOT
from tests.series.world import World, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Patchctl = Callable[..., Any]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    world.commit({"a.c": text()})
    world.patch("one", {"a.c": text({3: "one"})})
    world.stack("one")
    monkeypatch.setenv("PATCHCTL_MIRROR", world.mirror)
    return world


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let every command fail in this way."""

    def main(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", main)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean \"check\"?"),
        (["check"], "Missing argument 'STACK'."),
        (["check", "--nonsense", "s"], "No such option '--nonsense'."),
        (["check", "nosuch"], "there is no stack nosuch; there are: s"),
        (["check", "t"], "there is no stack t"),
        (["lock"], "Missing argument 'STACK'."),
    ],
)
def test_a_wrong_command_line_is_told(words: list[str], said: str, world: World, patchctl: Patchctl) -> None:
    ran = patchctl(*words, cwd=world.workspace)
    assert (ran.code, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1].startswith(f"error: {said}")


def test_a_folder_without_a_workspace_is_told(tmp_path: Path, patchctl: Patchctl) -> None:
    ran = patchctl("check", "s", cwd=tmp_path)
    assert (ran.code, ran.stderr.count("\n")) == (2, 1)
    assert "start a workspace with: patchctl init" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "nosuch", "--json"], 2),
        (["check", "--json"], 2),
        (["--json", "chekc"], 2),
        (["check", "s", "--onto", "b99", "--json"], 2),
        (["apply", "s", "--abort", "--json"], 2),
    ],
)
def test_an_error_is_one_object_with_json(words: list[str], code: int, world: World, patchctl: Patchctl) -> None:
    ran = patchctl(*words, cwd=world.workspace)
    said = json.loads(ran.stdout)
    assert (ran.code, said["schema_version"], said["error"]["code"]) == (code, 1, code)
    assert said["error"]["message"] in ran.stderr
    assert "error: " not in said["error"]["message"]


def test_problems_are_objects_with_places(world: World, patchctl: Patchctl) -> None:
    (world.workspace / "stacks" / "s.yaml").write_text("schema: 1\nrelase: x\n")
    ran = patchctl("check", "s", "--json", cwd=world.workspace)
    problems = json.loads(ran.stdout)["error"]["problems"]
    assert ran.code == 3
    assert {"path", "line", "column", "message"} == set(problems[0])
    assert len(problems) == len(ran.stderr.splitlines())
    assert [problem["line"] for problem in problems if "relase" in problem["message"]] == [2]


def test_words_for_another_program_do_not_ask_for_json(world: World, patchctl: Patchctl) -> None:
    ran = patchctl("run", "s", "--variant", "nosuch", "--", "prog", "--json", cwd=world.workspace)
    assert ran.code != 0
    assert ran.stdout == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_what_nobody_expected_is_one_line_and_a_log(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, ZeroDivisionError("by zero"))
    assert run_words(["check", *(["--json"] if as_json else [])]) == 1
    out, err = capfd.readouterr()
    found = re.fullmatch(r"error: unexpected: ZeroDivisionError\('by zero'\); the details are in (\S+)\n", err)
    assert found
    with open(found[1], encoding="utf-8") as file:  # noqa: PTH123 - a name from a message
        log = file.read()
    os.unlink(found[1])  # noqa: PTH108
    assert f"patchctl {__version__}, Python " in log
    assert "ZeroDivisionError: by zero" in log
    assert (json.loads(out)["error"]["code"] == 1) if as_json else (out == "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command goes on where this one stopped\n"),
        (click.Abort(), 130, "interrupted; the same command goes on where this one stopped\n"),
        (OSError(28, "No space left on device", "/x/y"), 9, "error: No space left on device: /x/y\n"),
        (PermissionError(13, "Permission denied"), 9, "error: Permission denied\n"),
    ],
)
def test_interruptions_and_disks_have_their_codes(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, error)
    assert run_words(["check"]) == code
    assert capfd.readouterr().err == said


@pytest.mark.parametrize(("words", "code", "said"), [("check s --json", 0, ""), ("check nosuch --json", 2, "error: ")])
def test_nobody_listening_is_no_failure(words: str, code: int, said: str, world: World) -> None:
    """As with ``patchctl … | head``: no traceback, no complaint."""
    script = f"{{ sleep 0.2; {sys.executable} -m patchctl {words}; echo $? >&2; }} | true"
    done = subprocess.run(["sh", "-c", script], cwd=world.workspace, capture_output=True, text=True, check=False)
    *before, last = done.stderr.splitlines()
    assert last == str(code)
    assert "".join(before).startswith(said)
    assert len(before) == bool(said)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_for_terminals_that_want_them(terminal: bool, no_color: bool, world: World) -> None:
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    env |= {"NO_COLOR": "1"} if no_color else {}
    command = [sys.executable, "-m", "patchctl", "check", "s"]
    if terminal:
        said = _on_a_terminal(command, world.workspace, env)
    else:
        said = subprocess.run(command, cwd=world.workspace, env=env, capture_output=True, check=True).stdout
    assert b"clean" in said
    assert (b"\x1b[3" in said) == (terminal and not no_color)


def _on_a_terminal(command: list[str], cwd: Path, env: dict[str, str]) -> bytes:
    import pty

    main, side = pty.openpty()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=side, stderr=subprocess.DEVNULL)
    os.close(side)
    said = b""
    try:
        while part := os.read(main, 4096):
            said += part
    except OSError:
        pass
    process.wait()
    os.close(main)
    return said


def test_the_program_is_there_under_its_name() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "patchctl", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"patchctl, version {__version__}\n"


def test_quiet_says_results_only_and_verbose_says_more(capfd: pytest.CaptureFixture[str]) -> None:
    for ui in (Ui(quiet=True), Ui(verbose=True), Ui(as_json=True)):
        ui.say("result")
        ui.note("note")
        ui.detail("detail")
        ui.warn("careful")
        ui.result({"a": 1})
    out, err = capfd.readouterr()
    assert out == 'result\nresult\n{\n  "schema_version": 1,\n  "a": 1\n}\n'
    assert err.splitlines() == ["warning: careful", "note", "detail", "warning: careful", "note", "warning: careful"]


def test_tables_line_up_whatever_their_colours() -> None:
    rows = [["one", outcome("clean"), "x"], ["three", outcome("conflict")], ["", "", "end"]]
    assert [click.unstyle(line) for line in table(rows)] == [
        "  one    clean     x",
        "  three  conflict",
        "                   end",
    ]
    assert table([]) == []


@pytest.mark.parametrize(
    ("value", "said"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.3, "12 s"), (119, "119 s"), (185, "3 min 05 s")]
)
def test_durations_are_for_people(value: float, said: str) -> None:
    assert duration(value) == said


def test_progress_shows_now_and_then_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("patchctl.cli.ui.time.monotonic", lambda: now[0])
    with Ui().progress("b9187") as show, Ui(quiet=True).progress("silent") as silent:
        for at in range(40):
            now[0] = 100.0 + at
            show(f"file {at}")
            silent("nothing")
    assert capfd.readouterr().err.splitlines() == ["b9187  file 10", "b9187  file 20", "b9187  file 30"]


@pytest.mark.parametrize(("sign", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
def test_a_signal_is_an_interruption_that_cleans_up(sign: str, code: int, tmp_path: Path) -> None:
    script = (
        "import patchctl.cli, patchctl.process as p, pathlib, sys\n"
        "def show(line): print(line, flush=True)\n"
        "def main(**_): p.run(['sh', '-c', 'echo $$; sleep 100'], log=pathlib.Path('log'), line=show)\n"
        "patchctl.cli.cli.main = main\n"
        "patchctl.cli.main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(getattr(signal, f"SIG{sign}"))
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.count(b"\n")) == (code, 1)
    assert said.startswith(b"interrupted; ")
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize("shell", ["{ sleep 0.2; %s; echo $? >&2; } | true", "%s >&-; echo $? >&2"])
@pytest.mark.parametrize(("words", "code"), [("check s", 4), ("check s --json", 4), ("--help", 0), ("check nosuch", 2)])
def test_who_listens_does_not_change_how_a_command_ends(shell: str, words: str, code: int, world: World) -> None:
    world.patch("two", {"a.c": text({3: "two"})})
    world.stack("one", "two")
    done = subprocess.run(
        ["sh", "-c", shell % f"{sys.executable} -m patchctl {words}"],
        cwd=world.workspace, capture_output=True, text=True, check=False,
    )  # fmt: skip
    *before, last = done.stderr.splitlines()
    assert last == str(code), before
    assert len(before) <= 1


def test_errors_show_with_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    Ui(quiet=True).error("error: cpu: a.c:1:2: error: no such thing")
    assert capfd.readouterr().err == "error: cpu: a.c:1:2: error: no such thing\n"


def test_what_others_wrote_cannot_steer_a_terminal_or_a_ci_system(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\n::error::owned\x1b]0;owned\x07"
    ui = Ui()
    for speak in (ui.say, ui.note, ui.warn, ui.error):
        speak(hostile)
    for line in table([[hostile, outcome("clean")]]):
        ui.say(line)
    fail(monkeypatch, PatchctlError(Code.POLICY, hostile))
    assert run_words(["check"]) == 8
    fail(monkeypatch, InvalidError([Problem("f.yaml", 1, 2, hostile), Problem("f.yaml", 3, 1, "other")]))
    assert run_words(["check"]) == 3
    out, err = capfd.readouterr()
    assert not any(line.startswith("::") for line in (out + err).splitlines())
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert err.splitlines()[-2:] == [r"f.yaml:1:2: a\n::error::owned\x1b]0;owned\x07", "f.yaml:3:1: other"]


def test_patchctl_alone_shows_help(tmp_path: Path, patchctl: Patchctl) -> None:
    ran = patchctl(cwd=tmp_path)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("Usage: patchctl")


def test_a_warning_is_said_once_in_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    """Many builds of one run leave the same files out."""
    ui = Ui()
    for what in ("files left out", "files left out", "another thing", "files left out"):
        ui.warn(what)
    assert capfd.readouterr().err == "warning: files left out\nwarning: another thing\n"
