from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.demo.built import BuiltDemo, built_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the workspace with the built demo, with the logs of its build."""
    built: BuiltDemo = built_demo(tmp_path_factory)
    shutil.copytree(built.root, tmp_path / "w", symlinks=True)
    shutil.copytree(built.cache / "logs", tmp_path / "cache" / "logs")
    monkeypatch.setenv("PATCHCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "w"


def test_html_goes_beside_what_was_built(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("report", "demo", cwd=workspace)
    assert (ran.code, ran.stdout) == (0, "wrote out/demo/report.html\n"), ran
    text = (workspace / "out" / "demo" / "report.html").read_text()
    for words in ("whole-characters", "probe-request-seed", "Build logs of <strong>release</strong>", "server-boots"):
        assert words in text


def test_other_formats_go_where_they_are_wanted(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    assert patchctl("report", "demo", "--format", "markdown", cwd=workspace).stdout.startswith("# demo\n")
    assert '<testsuites name="demo" tests="12"' in patchctl("report", "demo", "--format", "junit", cwd=workspace).stdout
    assert patchctl("report", "demo", "-o", "r.xml", cwd=workspace).stdout == "wrote r.xml\n"
    assert b"<testsuites" in (workspace / "r.xml").read_bytes()
    assert patchctl("report", "demo", "-o", "-", cwd=workspace).stdout.startswith("<!doctype html>")
    assert json.loads(patchctl("report", "demo", "--format", "json", cwd=workspace).stdout)["stack"] == "demo"


@pytest.mark.parametrize("name", ["r.csv", "r"])
def test_a_name_that_tells_no_format_is_asked_about(name: str, workspace: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("report", "demo", "-o", name, cwd=workspace)
    assert (ran.code, f"the name {name} tells no format" in ran.stderr) == (2, True), ran
    assert not (workspace / name).exists()
    assert patchctl("report", "demo", "-o", name, "--format", "markdown", cwd=workspace).code == 0
    assert (workspace / name).read_text().startswith("# demo\n")


def test_json_is_one_object_with_everything(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("report", "demo", "--json", cwd=workspace)
    said = json.loads(ran.stdout)
    assert said["schema_version"] == 1
    assert said["path"].endswith("out/demo/report.html")
    assert [(it["id"], it["outcome"], it["upstream"]["verdict"]) for it in said["patches"]] == [
        (name, "clean", "keep") for name in ("whole-characters", "fresh-sampler", "request-seed")
    ]
    states = {it["name"]: it["state"] for it in said["variants"]}
    assert states == {"release": "proven", "debug": "not built"}


def test_a_test_that_never_ran_leaves_a_proven_build_unproven_wherever_it_is_spoken_of(
    workspace: Path, patchctl: Callable[..., Ran]
) -> None:
    path = workspace / "stacks" / "demo.yaml"
    path.write_text(f'{path.read_text()}\n  - {{name: new, command: {{run: ["true"]}}}}\n')
    why = "unproven: 1 test of the stack, as it is now, never ran on it: new"
    assert why in patchctl("report", "demo", "--format", "junit", cwd=workspace).stdout
    marked = patchctl("report", "demo", "--format", "markdown", cwd=workspace).stdout
    assert f"| release | {why.replace('unproven', '**unproven**')} |" in marked
    (release, _) = json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)["variants"]
    assert f"{release['state']}: {release['why']}" == why
    assert release["why"] in (workspace / "out" / "demo" / "report.html").read_text()
    assert why in patchctl("package", "demo", "--variant", "release", cwd=workspace).stdout
    (notes,) = workspace.rglob("demo-release*.md")
    assert "This build is **unproven**: 1 test of the stack" in notes.read_text()


def test_nothing_is_built_or_changed_for_it(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    shutil.rmtree(workspace / "out")

    def stacks() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (workspace / "stacks").rglob("*") if path.is_file()}

    before = stacks()
    assert patchctl("report", "demo", cwd=workspace).code == 0
    assert stacks() == before
    assert [path.name for path in (workspace / "out").rglob("*") if path.is_file()] == ["report.html"]


def test_a_patch_that_does_not_apply_is_shown_not_an_error(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    ahead = json.loads(patchctl("forecast", "demo", "--json", cwd=workspace).stdout)
    commit = next(it["commit"] for it in ahead["events"] if it["patch"] and it["after"] == "conflict")
    path = workspace / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace(ahead["base"]["commit"], commit))
    ran = patchctl("report", "demo", "--json", cwd=workspace)
    assert ran.code == 0, ran
    said = json.loads(ran.stdout)
    (broken,) = [it for it in said["patches"] if it["outcome"] == "conflict"]
    assert broken["conflicts"][0]["upstream_commits"][0]["commit"] == commit
    assert said["answers"][0]["answer"] == "no"
    assert said["result"] is None
    assert "another tree" in said["notices"][0]
    assert commit[:9] in (workspace / "out" / "demo" / "report.html").read_text()


def test_an_upstream_that_cannot_be_had_is_a_notice(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    path = workspace / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace("patchctl:demo", f"file://{workspace}/none.git"))
    ran = patchctl("report", "demo", "--json", cwd=workspace)
    assert ran.code == 0, ran
    said = json.loads(ran.stdout)
    assert said["notices"][0].startswith("The patches were not judged")
    assert {it["outcome"] for it in said["patches"]} == {"clean"}


def test_a_forecast_that_was_made_is_in_it(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    assert json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)["forecast"] is None
    assert patchctl("forecast", "demo", cwd=workspace).code == 0
    said = json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)
    assert said["forecast"]["to"]["build"] > 30
    assert {event["after"] for event in said["forecast"]["events"]} & {"absorbed", "conflict"}
    assert "Forecast" in (workspace / "out" / "demo" / "report.html").read_text()


def test_a_bisect_that_found_its_culprit_is_in_it(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    assert json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)["bisects"] == []
    ahead = json.loads(patchctl("forecast", "demo", "--json", cwd=workspace).stdout)
    broke = next(it["commit"] for it in ahead["events"] if it["patch"] and it["after"] == "conflict")
    words = ("--stack", "demo", "--good-base", ahead["base"]["commit"], "--bad-base", broke, "--until", "applies")
    found = patchctl("bisect", *words, "--json", "-q", cwd=workspace)
    assert found.code == 0, found
    (said,) = json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)["bisects"]
    assert said["culprit"] == json.loads(found.stdout)["culprit"]
    assert (said["culprit"]["kind"], len(said["culprit"]["ids"])) == ("interaction", 2)
    shown = ", ".join(said["culprit"]["ids"])
    assert f"interaction</span> {shown}" in (workspace / "out" / "demo" / "report.html").read_text()
    assert f"* **interaction**: {shown}" in patchctl("report", "demo", "--format", "markdown", cwd=workspace).stdout
