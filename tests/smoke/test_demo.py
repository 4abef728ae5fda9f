"""The main path: the demo's real server, with and without its patches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from patchctl.manifest.workspace import Workspace
from patchctl.smoke.install import read_install
from patchctl.smoke.plan import Case, load_probe, stack_cases
from patchctl.smoke.runner import run_tests
from tests.conftest import ROOT
from tests.demo.built import BuiltDemo, built_demo

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.smoke.result import Result


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> BuiltDemo:
    return built_demo(tmp_path_factory)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    space = Workspace(ROOT)
    return stack_cases(space, space.load_stack(ROOT / "stacks" / "demo.yaml"))


def test_all_tests_and_probes_pass_on_the_patched_demo(demo: BuiltDemo, cases: list[Case], tmp_path: Path) -> None:
    results = run_tests(cases, read_install(demo.install), logs=tmp_path)
    assert [(it.test, it.result, it.detail) for it in results] == [(case.test.name, "pass", "") for case in cases]
    assert len(results) == 7


def test_every_probe_fails_without_its_patch(demo: BuiltDemo, tmp_path: Path) -> None:
    space = Workspace(ROOT)
    install = read_install(demo.unpatched)
    probes = [
        probe
        for patch in space.load_stack(ROOT / "stacks" / "demo.yaml").stack.patches
        if (probe := load_probe(space, patch))
    ]
    results: dict[str | None, Result] = {it.patch: it for it in run_tests(probes, install, logs=tmp_path)}
    assert {patch: it.result for patch, it in results.items()} == dict.fromkeys(results, "fail")
    assert len(results) == 3
    assert "request 1, POST /completion: the answer is not UTF-8" in results["whole-characters"].detail
    assert "request 2, POST /completion: content is" in results["fresh-sampler"].detail
    assert "POST /completion" in results["request-seed"].detail


def test_the_demo_of_another_build_is_recognised(demo: BuiltDemo, cases: list[Case], tmp_path: Path) -> None:
    install = read_install(demo.install)
    (result,) = run_tests(cases[:1], replace(install, build_number=29), logs=tmp_path)
    assert result.result == "fail"
    assert result.detail.startswith(f'the server says it is "b30-{install.identity}", not b29-')
