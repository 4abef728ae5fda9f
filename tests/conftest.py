"""Every test runs apart from the machine: its own home, cache and git configuration; touching the real home fails."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.upstreams.maker import template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
REAL_HOME = Path.home()
HOMES = itertools.count()
WATCHED = [REAL_HOME / ".gitconfig", REAL_HOME / ".config", REAL_HOME / ".cache" / "patchctl"]

# Who starts the tests in the background may have them ignore these; programs that are tested would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes is the machine's doing, not the code's.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

collect_ignore = ["mutants/out"]  # upstream's own tests, in what was built there

# Where compiled modules are not kept, each of the hundreds of programs that are started compiles them all again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers, one more than processors: tests wait for disks and programs much of the time."""
    return 1 + (os.cpu_count() or 1)


def pytest_collection_finish() -> None:
    """Look for garbage among what the tests make, not each time among themselves."""
    gc.freeze()


def _seen() -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in WATCHED if path.exists()}


@pytest.fixture(scope="session", autouse=True)
def _home_stays_untouched() -> Iterator[None]:
    before = _seen()
    yield
    assert _seen() == before, "a test wrote into the home folder"


@pytest.fixture(scope="session", autouse=True)
def _templates_go_with_the_tests() -> Iterator[None]:
    yield
    if template.cache_info().currsize:
        shutil.rmtree(template())


def shared(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the workers of one run of the tests share."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home of its own and return it."""
    home = tmp_path_factory.getbasetemp() / "homes" / str(next(HOMES))
    home.mkdir(parents=True)
    for name in list(os.environ):
        if name.startswith(("GIT_", "GITHUB_", "GH_", "PATCHCTL_", "CCACHE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("PATCHCTL_CACHE", str(home / "cache"))
    monkeypatch.setenv("PATCHCTL_CONFIG", str(home / "config.yaml"))
    monkeypatch.setenv("CCACHE_DIR", str(shared(tmp_path_factory) / "ccache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_COLOR", "1")
    return home


class Ran:
    """How one command line ended."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@pytest.fixture
def patchctl(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command line in process, in a folder; a traceback or a wrong kind of exit fails the test."""
    from patchctl.cli import run_words

    def call(*words: object, cwd: Path) -> Ran:
        monkeypatch.chdir(cwd)
        capfd.readouterr()
        code = run_words([str(word) for word in words])
        out = capfd.readouterr()
        assert "Traceback" not in out.err
        assert code != 1, out.err
        return Ran(int(code), out.out, out.err)

    return call


@pytest.fixture
def patchctl_process() -> Callable[..., Ran]:
    """Run a command line as a process of its own."""

    def call(*words: object, cwd: Path, env: dict[str, str] | None = None, timeout: float = 120) -> Ran:
        command = [sys.executable, "-m", "patchctl", *(str(word) for word in words)]
        merged = {**os.environ, **(env or {})}
        done = subprocess.run(
            command, cwd=cwd, env=merged, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    return call
