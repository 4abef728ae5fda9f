"""The shell of the nightly workflow, run by bash as GitHub runs it: real git, patchctl as a program, a fake gh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_ci import place as place  # noqa: PLC0414 - a fixture
from tests.cli.test_ci import workflows
from tests.series.world import show
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not on this machine")

# What GitHub starts a step of `shell: bash` with.
BASH = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")
GH = """\
#!/bin/sh
printf '%s\\n' "$*" >> {log}
[ "$1 $2" != "pr list" ] || cat {number}
"""


class Runner:
    """A machine of GitHub's: checkouts of one repository, the files that steps write to, programs of its own."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder = folder
        self.jobs = workflows(place)["nightly.yml"]["jobs"]
        self.origin = folder / "origin.git"
        git("clone", "--quiet", "--bare", place, self.origin)
        self.branch = show(self.origin, "symbolic-ref", "--short", "HEAD")
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.program("patchctl", f'#!/bin/sh\nexec {sys.executable} -m patchctl "$@"\n')
        self.number = folder / "number"
        self.number.write_text("")
        self.program("gh", GH.format(log=folder / "gh.log", number=self.number))
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "STACK": "stacks/demo.yaml",
            "BRANCH": "patchctl/repin",
            "BASE": self.branch,
            **{f"GITHUB_{name}": str(folder / name) for name in ("ENV", "OUTPUT", "STEP_SUMMARY")},
        }

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def checkout(self, name: str) -> Path:
        folder = self.folder / name
        git("clone", "--quiet", self.origin, folder)
        return folder

    def written(self, name: str) -> dict[str, str]:
        path = self.folder / name
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def step(self, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment, **self.written("ENV")}
        return subprocess.run([*BASH, script], cwd=folder, env=environment, capture_output=True, text=True, check=False)

    def job(self, name: str, folder: Path) -> None:
        """Run the steps of a job that are shell, but for the installation."""
        for step in self.jobs[name]["steps"]:
            if "run" in step and not step["run"].startswith("pip "):
                done = self.step(step["run"], folder)
                assert done.returncode == 0, (step["run"], done.stdout, done.stderr)

    def asked(self) -> list[str]:
        log = self.folder / "gh.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.split(" --")[0] for line in lines]


@pytest.fixture
def runner(tmp_path: Path, place: Path) -> Runner:
    return Runner(tmp_path, place)


def change(folder: Path) -> None:
    """Make of a checkout what a repin makes of it, and leave something that is none of it."""
    stack = folder / "stacks" / "demo.yaml"
    stack.write_text(f"{stack.read_text()}# moved\n")
    (folder / "patches" / "fresh-sampler" / "b36.patch").write_bytes(b"new \0\n")
    (folder / "elsewhere").write_text("x\n")


def evidence(folder: Path) -> Path:
    (folder / "evidence").mkdir(exist_ok=True)
    (folder / "evidence" / "body.md").write_text("why\n")
    return folder / "evidence"


def script(runner: Runner, job: str, words: str) -> str:
    (found,) = [step["run"] for step in runner.jobs[job]["steps"] if words in step.get("run", "")]
    return str(found)


def test_one_branch_and_one_pull_request_whatever_was_there(runner: Runner) -> None:
    look, propose = runner.checkout("look"), runner.checkout("propose")
    evidence(look)
    changes = script(runner, "look", "changes.patch")
    assert runner.step(changes, look).returncode == 0
    assert runner.written("OUTPUT") == {}, "nothing changed, nothing to propose"
    change(look)
    assert runner.step(changes, look).returncode == 0
    assert runner.written("OUTPUT") == {"proposal": "yes"}
    for number, asked in (("", "pr create"), ("5\n", "pr edit 5")):
        shutil.copytree(look / "evidence", propose / "evidence", dirs_exist_ok=True)
        runner.number.write_text(number)
        runner.job("propose", propose)
        assert runner.asked() == ["auth setup-git", "pr list", asked, "workflow run patches.yml"]
        tip = "refs/heads/patchctl/repin"
        names = show(runner.origin, "diff", "--name-only", f"{runner.branch}..{tip}").splitlines()
        assert names == ["patches/fresh-sampler/b36.patch", "stacks/demo.yaml"]
        assert show(runner.origin, "rev-list", "--count", f"{runner.branch}..{tip}") == "1", "not one on the other"
        assert show(runner.origin, "cat-file", "blob", f"{tip}:patches/fresh-sampler/b36.patch").startswith("new ")
        git("-C", propose, "reset", "--quiet", "--hard", f"origin/{runner.branch}")
        # The next night finds something else.
        change(look)
        assert runner.step(changes, look).returncode == 0


def test_what_is_no_stack_and_no_patch_is_never_proposed(runner: Runner) -> None:
    look, propose = runner.checkout("look"), runner.checkout("propose")
    change(look)
    git("-C", look, "add", "--all")
    content = git("-C", look, "diff", "--cached", "--binary")
    (evidence(propose) / "changes.patch").write_bytes(content)
    runner.job("propose", propose)
    names = show(runner.origin, "diff", "--name-only", f"{runner.branch}..refs/heads/patchctl/repin").splitlines()
    assert "elsewhere" not in names


@pytest.mark.parametrize(("code", "goes_on"), [(0, True), (4, True), (10, True), (1, False), (3, False), (7, False)])
def test_a_conflict_ends_no_night_and_a_failure_does(runner: Runner, code: int, goes_on: bool) -> None:
    runner.program("patchctl", f"#!/bin/sh\nexit {code}\n")
    look = runner.checkout("look")
    evidence(look)
    done = runner.step(script(runner, "look", "patchctl repin"), look)
    assert done.returncode == (0 if goes_on else code)


@pytest.mark.slow
def test_a_night_on_the_demo(runner: Runner, place: Path) -> None:
    """Upstream's newest commit has one patch and breaks another: evidence and an issue's matter, and no proposal."""
    look = runner.checkout("look")
    runner.job("look", look)
    said: dict[str, Any] = {
        name: json.loads((look / "evidence" / f"{name}.json").read_text()) for name in ("status", "forecast", "repin")
    }
    base = said["status"]["stacks"][0]["base"]["commit"]
    assert {base, said["forecast"]["to"]["commit"], said["repin"]["to"]["commit"]} == {base}
    assert runner.written("ENV") == {"TO": base}
    assert said["repin"]["stopped_at"] == "request-seed"
    assert runner.written("OUTPUT") == {}
    body = (look / "evidence" / "body.md").read_text()
    assert "1 keep, 1 retire, 1 review" in body
    assert "request-seed" in (runner.folder / "STEP_SUMMARY").read_text()
    assert "conflict" in body
    stack = place / "stacks" / "demo.yaml"
    assert (look / "stacks" / "demo.yaml").read_bytes() == stack.read_bytes()
