"""The demo, really built once for all tests: with its patches, and without the two that fix what its probes see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import filelock

from tests.conftest import ROOT, shared

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


@dataclass(frozen=True)
class BuiltDemo:
    """A workspace with the variant ``release`` built, and the cache it was built with."""

    root: Path
    cache: Path

    @property
    def install(self) -> Path:
        return self.root / "out" / "demo" / "release"

    @property
    def unpatched(self) -> Path:
        (found,) = (self.root / "out").glob("demo-without-*")
        return found / "release"


def built_demo(factory: pytest.TempPathFactory) -> BuiltDemo:
    """Build the demo on the first call of a test run; workers of one run share it."""
    top = shared(factory) / "built-demo"
    demo = BuiltDemo(top / "workspace", top / "cache")
    with filelock.FileLock(top.with_suffix(".lock")):
        if not (top / "done").exists():
            _type(demo, "init", demo.root, cwd=top.parent)
            _type(demo, "build", "demo", "--variant", "release", cwd=demo.root)
            words = [word for patch in ("whole-characters", "fresh-sampler") for word in ("--without", patch)]
            _type(demo, "build", "demo", "--variant", "release", *words, cwd=demo.root)
            (top / "done").touch()
    return demo


def copied_demo(factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, root: Path) -> BuiltDemo:
    """Return a copy of the built demo at ``root``, to be changed at will; the cache is the one it was built with."""
    built = built_demo(factory)
    monkeypatch.setenv("PATCHCTL_CACHE", str(built.cache))
    shutil.copytree(built.root, root, symlinks=True)
    return BuiltDemo(root, built.cache)


def _type(demo: BuiltDemo, *words: object, cwd: Path) -> None:
    environment = {**os.environ, "PATCHCTL_CACHE": str(demo.cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "patchctl", *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
