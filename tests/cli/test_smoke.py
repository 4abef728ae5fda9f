from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.install import read_install
from tests.demo.built import BuiltDemo, built_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltDemo:
    """Give a copy of the workspace with the built demo: tests may break it."""
    built = built_demo(tmp_path_factory)
    shutil.copytree(built.root, tmp_path / "w", symlinks=True)
    return BuiltDemo(tmp_path / "w", built.cache)


def change_stack(workspace: BuiltDemo, old: str, new: str) -> None:
    path = workspace.root / "stacks" / "demo.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_is_built_is_proven_and_what_is_not_built_is_said(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    identity = read_install(workspace.install).identity
    assert ran.code == 0, ran
    assert ran.stdout.splitlines()[0] == f"demo release  b30-{identity}  proven"
    assert ran.stdout.count(" pass ") == 7
    assert "skipped: demo/debug is not built; build it with: patchctl build demo --variant debug" in ran.stderr


def test_json_says_tests_probes_and_proven(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    first = json.loads(patchctl("smoke", "demo", "--json", "-q", cwd=workspace.root).stdout)
    assert first["schema_version"] == 1
    assert {(it["test"], it["variant"], it["result"]) for it in first["results"]} == {
        (name, "release", "pass") for name in ("server-boots", "says-what-it-is", "reads-a-text", "known-answer")
    }
    assert [(it["id"], it["unpatched"], it["patched"]) for it in first["probes"]] == [
        (patch, None, "pass") for patch in ("whole-characters", "fresh-sampler", "request-seed")
    ]
    assert first["proven"] == {"release": True}


def test_passed_tests_are_remembered_and_run_again_with_fresh(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    def remembered(*words: str) -> set[bool]:
        told = json.loads(patchctl("smoke", "demo", "--json", "-q", *words, cwd=workspace.root).stdout)
        return {it["remembered"] for it in (*told["results"], *told["probes"])}

    assert [remembered(), remembered(), remembered("--fresh")] == [{False}, {True}, {False}]


def test_a_failure_is_exit_6_with_the_reason_and_the_log(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    change_stack(workspace, "^the lake ", "^the river ")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert ran.code == 6
    assert "unproven: 1 of 7 failed" in ran.stdout
    assert "reads-a-text            fail" in ran.stdout
    assert "does not match ^the river" in ran.stdout
    assert "reads-a-text.log" in ran.stdout


def test_a_known_defect_that_is_gone_is_exit_10(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    change_stack(workspace, "  - name: reads-a-text\n", "  - name: reads-a-text\n    expect: fail\n    reason: '#9'\n")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert ran.code == 10
    assert "passes, but is expected to fail (#9)" in ran.stdout


def test_a_skipped_test_leaves_the_variant_unproven(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    change_stack(workspace, '["{bin}/demo-cli", --version]', '[sh, -c, "echo no model; exit 125"]')
    ran = patchctl("smoke", "demo", "--json", cwd=workspace.root)
    told = json.loads(ran.stdout)
    assert ran.code == 0
    assert told["proven"] == {"release": False}
    assert [it["detail"] for it in told["results"] if it["result"] == "skip"] == ["no model"]


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("{out}/models", "{uot}/models", 3, 'test reads-a-text: unknown placeholder {uot}; did you mean "out"?'),
        ("- server-boots", "- server-bots", 3, 'there is no test "server-bots"; did you mean "server-boots"?'),
    ],
)
def test_a_mistake_in_the_stack_is_exit_3(
    old: str, new: str, code: int, said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    change_stack(workspace, old, new)
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert ran.code == code
    assert said in ran.stderr


def test_nothing_built_is_exit_9_with_what_to_type(tmp_path: Path, patchctl: Callable[..., Ran]) -> None:
    patchctl("init", cwd=tmp_path)
    ran = patchctl("smoke", "demo", cwd=tmp_path)
    assert ran.code == 9
    assert "error: nothing of demo is built; build it with: patchctl build demo" in ran.stderr
    named = patchctl("smoke", "demo", "--variant", "debug", cwd=tmp_path)
    assert (named.code, "patchctl build demo --variant debug" in named.stderr) == (9, True)


def test_a_replaced_binary_is_refused_with_what_to_type(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    assert patchctl("smoke", "demo", cwd=workspace.root).code == 0
    path = workspace.install / "bin" / "demo-cli"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert (ran.code, ran.stdout) == (9, "")
    again = "build it: patchctl build demo --variant release"
    assert ran.stderr.splitlines()[-1] == f"error: bin/demo-cli in out/demo/release is not as it was built; {again}"


@pytest.mark.parametrize("names", [(), ("--variant", "release")])
def test_binaries_of_another_tree_are_refused(
    names: tuple[str, ...], workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    change_stack(workspace, "  - request-seed", "  # - request-seed")
    ran = patchctl("smoke", "demo", *names, cwd=workspace.root)
    again = "build it: patchctl build demo --variant release"
    assert (ran.code, ran.stdout) == (9, "")
    assert ran.stderr.splitlines()[-1] == f"error: out/demo/release was built from another tree; {again}"


def test_what_was_seen_is_written_into_the_evidence(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    path = workspace.root / "stacks" / "demo.evidence.json"
    path.unlink()
    patchctl("smoke", "demo", cwd=workspace.root)
    assert json.loads(path.read_bytes())["variants"]["release"]["proven"] is True
    change_stack(workspace, "^the lake ", "^the river ")
    patchctl("smoke", "demo", cwd=workspace.root)
    assert json.loads(path.read_bytes())["variants"]["release"]["proven"] is False


def test_a_build_with_other_settings_is_tested_but_not_written_into_the_evidence(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    path = workspace.root / "stacks" / "demo.evidence.json"
    path.unlink()
    change_stack(workspace, "release: {}", "release: {cmake: {X: 1}}")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert ran.code == 0
    assert "warning: out/demo/release was built with other settings; it is not recorded; build it: " in ran.stderr
    assert not path.exists()
