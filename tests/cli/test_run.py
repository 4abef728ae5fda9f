from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.install import read_install
from tests.demo.built import BuiltDemo, built_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran

RELEASE = ("run", "demo", "--variant", "release")


@pytest.fixture
def demo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> BuiltDemo:
    built = built_demo(tmp_path_factory)
    monkeypatch.setenv("PATCHCTL_CACHE", str(built.cache))
    return built


def test_what_was_built_is_first_on_the_path(demo: BuiltDemo, patchctl_process: Callable[..., Ran]) -> None:
    ran = patchctl_process(*RELEASE, "--", "demo-cli", "--version", cwd=demo.root)
    assert (ran.code, ran.stdout) == (0, f"version: 30 ({read_install(demo.install).identity})\n")


def test_the_command_knows_what_it_runs_on_and_where_it_was_called(
    demo: BuiltDemo, patchctl_process: Callable[..., Ran]
) -> None:
    script = 'echo "$PATCHCTL_OUT|$PATCHCTL_BIN|$PATCHCTL_IDENTITY|$(pwd)"'
    ran = patchctl_process(*RELEASE, "--", "sh", "-c", script, cwd=demo.root)
    install = read_install(demo.install)
    assert ran.stdout == f"{install.folder}|{install.bin}|{install.identity}|{demo.root}\n"


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", -signal.SIGTERM)])
def test_its_exit_status_is_passed_on(
    script: str, code: int, demo: BuiltDemo, patchctl_process: Callable[..., Ran]
) -> None:
    assert patchctl_process(*RELEASE, "--", "sh", "-c", script, cwd=demo.root).code == code


def test_options_after_the_dashes_belong_to_the_command(demo: BuiltDemo, patchctl_process: Callable[..., Ran]) -> None:
    ran = patchctl_process(*RELEASE, "--", "echo", "--json", "-q", "--", "x", cwd=demo.root)
    assert ran.stdout == "--json -q -- x\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("--variant", "debug", "--", "true"),
            9,
            "demo/debug is not built; build it with: patchctl build demo --variant debug",
        ),
        (("--variant", "debig", "--", "true"), 2, 'demo has no variant "debig"; did you mean "debug"?'),
        (("--", "true"), 2, "demo has several variants; say which: --variant release | debug"),
        (
            ("--variant", "release", "--", "demo-clo"),
            9,
            "there is no program demo-clo; demo has: demo-cli, demo-server",
        ),
    ],
)
def test_what_cannot_be_run_is_told_with_what_to_type(
    words: tuple[str, ...], code: int, said: str, demo: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("run", "demo", *words, cwd=demo.root)
    assert (ran.code, ran.stderr) == (code, f"error: {said}\n")


def test_binaries_of_another_tree_or_unknown_ones_run_with_one_warning(
    demo: BuiltDemo, tmp_path: Path, patchctl_process: Callable[..., Ran]
) -> None:
    shutil.copytree(demo.root, tmp_path / "w", symlinks=True)
    stack = tmp_path / "w" / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().replace("  - request-seed", "  # - request-seed"))
    ran = patchctl_process(*RELEASE, "--", "echo", "x", cwd=tmp_path / "w")
    again = "build it: patchctl build demo --variant release"
    assert (ran.code, ran.stdout) == (0, "x\n")
    assert ran.stderr == f"warning: out/demo/release was built from another tree; {again}\n"
    (tmp_path / "w" / "patches" / "fresh-sampler" / "README.md").unlink()
    ran = patchctl_process(*RELEASE, "--", "echo", "x", cwd=tmp_path / "w")
    assert (ran.code, ran.stdout, ran.stderr.count("\n")) == (0, "x\n", 1)
    assert ran.stderr.startswith("warning: cannot tell whether out/demo/release is of the stack as it is now: ")
