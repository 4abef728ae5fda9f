"""What a build that did not end tells about its sources: nothing when somebody stopped it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from patchctl.bisect.predicate import CommandTest, Predicate, Until
from patchctl.bisect.row import row_of_broken
from patchctl.build.compile import BuildError, Ninja, compile_targets
from patchctl.build.progress import Progress
from patchctl.build.toolchain import find_toolchain
from patchctl.errors import Code, PatchctlError
from patchctl.ledger import Ledger

TESTED: Predicate = CommandTest(("true",), Path())


def broken(folder: Path, command: str) -> BuildError:
    """Return what Ninja's run of one command ends with."""
    (folder / "build.ninja").write_text(f"rule make\n  command = {command}\nbuild out: make\n")
    ledger = Ledger(folder / "ledger.sqlite")
    tool = find_toolchain(ledger).ninja
    ledger.close()
    assert tool is not None
    ninja = Ninja(tool, folder, folder, dict(os.environ))
    with pytest.raises(PatchctlError) as caught:
        compile_targets(ninja, ["out"], log=folder / "log", start=Progress("cpu", "compile"), watch=lambda _: None)
    assert isinstance(caught.value, BuildError)
    return caught.value


@pytest.mark.parametrize("sign", ["INT", "TERM", "KILL"])
def test_a_build_that_was_stopped_is_no_verdict(sign: str, tmp_path: Path) -> None:
    error = broken(tmp_path, f"kill -{sign} $$(ps -o sid= -p $$$$) && sleep 5")
    for predicate in (TESTED, Until("compiles")):
        with pytest.raises(PatchctlError, match="was stopped before it ended") as caught:
            row_of_broken(error, predicate, tmp_path / "log")
        assert caught.value.exit_code == Code.ENVIRONMENT


def test_a_step_that_fails_without_a_word_is_one(tmp_path: Path) -> None:
    error = broken(tmp_path, "exit 3")
    assert row_of_broken(error, TESTED, tmp_path / "log").verdict == "skip"
    assert row_of_broken(error, Until("compiles"), tmp_path / "log").verdict == "bad"


def test_only_the_error_that_matches_is_bad(tmp_path: Path) -> None:
    error = broken(tmp_path, "echo 'a.c:1:2: error: no such thing'; exit 1")
    verdicts = [row_of_broken(error, Until("compiles", text), tmp_path / "log").verdict for text in ("such", "other")]
    assert verdicts == ["bad", "skip"]
