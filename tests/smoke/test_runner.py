from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from patchctl.errors import Code, InvalidError, PatchctlError
from patchctl.ledger import Ledger
from patchctl.manifest.model import Test
from patchctl.manifest.workspace import Workspace
from patchctl.smoke.hardware import Gpu, Hardware
from patchctl.smoke.install import Install, read_install
from patchctl.smoke.models import kept
from patchctl.smoke.plan import Case, general_names, general_test, load_probe, stack_cases
from patchctl.smoke.runner import run_tests
from tests.smoke.scripted import make_install

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINE = Hardware("x86_64", "a processor", ())
STACK = """\
schema: 1
release: r1
upstream: {repo: "patchctl:demo", commit: 02847c8083ae0abdde1e52db908663402a03b8dd}
patches: [one, two]
build: {targets: [x-server], variants: {cpu: {}, other: {}}}
tests:
"""


@pytest.fixture
def install(tmp_path: Path) -> Install:
    return make_install(tmp_path / "install")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def shell(here: Path, script: str, name: str = "t", **more: Any) -> Case:
    return Case(Test.model_validate({"name": name, "command": {"run": ["sh", "-c", script]}, **more}), here)


def counting(here: Path, end: str = "true") -> Case:
    return shell(here, f"echo x >> {here}/count; {end}")


def runs(here: Path) -> int:
    counted = here / "count"
    return len(counted.read_text().split()) if counted.exists() else 0


def test_each_test_gives_a_result_with_its_log_in_order(install: Install, tmp_path: Path) -> None:
    told: list[str] = []
    cases = [shell(tmp_path, "echo hi; exit 1", "b"), shell(tmp_path, "true", "a")]
    results = run_tests(cases, install, logs=tmp_path / "logs", hardware=MACHINE, tell=lambda it: told.append(it.test))
    assert [(it.test, it.variant, it.result) for it in results] == [("b", "cpu", "fail"), ("a", "cpu", "pass")]
    assert told == ["b", "a"]
    assert (tmp_path / "logs" / "b.log").read_text() == "hi\n"
    assert results[0].log == str(tmp_path / "logs" / "b.log")


def test_who_tests_the_same_build_at_once_reads_a_log_of_its_own(install: Install, tmp_path: Path) -> None:
    logs, here = tmp_path / "logs", tmp_path
    script = f"echo one; : > {here}/began; until [ -e {here}/go ]; do sleep 0.01; done"
    command = {"run": ["sh", "-c", script], "output": "^one$"}
    slow = Case(Test.model_validate({"name": "t", "command": command}), here)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run_tests, [slow], install, logs=logs)
        while not (here / "began").exists():
            time.sleep(0.01)
        (second,) = run_tests([shell(here, "echo two")], install, logs=logs)
        assert Path(second.log).read_text() == "two\n"
        shutil.rmtree(logs)  # as cache --free does
        (here / "go").touch()
        (result,) = first.result()
    assert (result.result, result.detail, Path(result.log).read_text()) == ("pass", "", "one\n")


def test_tests_of_other_variants_are_not_run(install: Install, tmp_path: Path) -> None:
    cases = [shell(tmp_path, "true", "a", variants=["other"]), shell(tmp_path, "true", "b", variants=["cpu"])]
    assert [it.test for it in run_tests(cases, install, logs=tmp_path, hardware=MACHINE)] == ["b"]


def test_a_passed_test_is_not_run_again_unless_asked(install: Install, tmp_path: Path, ledger: Ledger) -> None:
    def run(*, fresh: bool = False) -> bool:
        (result,) = run_tests(
            [counting(tmp_path)], install, logs=tmp_path, ledger=ledger, fresh=fresh, hardware=MACHINE
        )
        assert result.result == "pass"
        return result.remembered

    assert [run(), run(), run(fresh=True), run()] == [False, True, False, True]
    assert runs(tmp_path) == 2


@pytest.mark.parametrize("end", ["false", "exit 125"])
def test_what_did_not_pass_is_run_again(end: str, install: Install, tmp_path: Path, ledger: Ledger) -> None:
    for _ in range(2):
        run_tests([counting(tmp_path, end)], install, logs=tmp_path, ledger=ledger, hardware=MACHINE)
    assert runs(tmp_path) == 2


def test_a_pass_that_became_a_failure_is_forgotten(install: Install, tmp_path: Path, ledger: Ledger) -> None:
    case = counting(tmp_path, f"test ! -e {tmp_path}/broken")
    words = []
    for fresh in (False, True, False):
        (result,) = run_tests([case], install, logs=tmp_path, ledger=ledger, fresh=fresh, hardware=MACHINE)
        words.append(result.result)
        (tmp_path / "broken").touch()
    assert words == ["pass", "fail", "fail"]


def test_another_binary_definition_script_model_or_machine_is_another_test(
    install: Install, tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "probe.sh"
    script.write_text("true")
    named = Test.model_validate({"name": "t", "command": {"run": ["sh", "{here}/probe.sh"]}})

    def remembered(test: Test = named, on: Install = install, machine: Hardware = MACHINE) -> bool:
        return run_tests([Case(test, tmp_path)], on, logs=tmp_path, ledger=ledger, hardware=machine)[0].remembered

    assert not remembered()
    assert remembered()
    assert not remembered(on=replace(install, build_key="another"))
    assert not remembered(machine=replace(MACHINE, processor="another"))
    assert not remembered(test=named.model_copy(update={"timeout": 9.0}))
    with monkeypatch.context() as other:
        other.setattr(kept, "sha256", lambda _: {"perm": "other bytes"})
        assert not remembered()
    script.write_text("true # changed")
    assert not remembered()
    assert remembered()


def test_a_known_defect_that_is_gone_wants_attention(install: Install, tmp_path: Path) -> None:
    cases = [shell(tmp_path, end, end, expect="fail", reason="#7") for end in ("true", "false")]
    gone, there = run_tests(cases, install, logs=tmp_path, hardware=MACHINE)
    assert (gone.result, gone.attention) == ("fail", True)
    assert gone.detail == "passes, but is expected to fail (#7); remove expect: fail if that is right"
    assert (there.result, there.attention) == ("pass", False)
    assert there.detail == "fails as expected: #7\n  it exited with status 1"


def test_what_ran_out_of_time_is_not_taken_for_a_known_defect(install: Install, tmp_path: Path) -> None:
    slow = shell(tmp_path, "sleep 60", expect="fail", reason="#7", timeout=0.3)
    (result,) = run_tests([slow], install, logs=tmp_path, hardware=MACHINE)
    assert (result.result, result.attention) == ("fail", False)
    assert result.detail.startswith("ran out of time, which is not the known defect (#7): it did not end within 0.3 s")


def test_without_the_gpu_it_is_built_for_nothing_runs_and_nothing_passes(install: Install, tmp_path: Path) -> None:
    built = replace(install, architectures=("sm_120a",))
    (result,) = run_tests([counting(tmp_path)], built, logs=tmp_path, hardware=MACHINE)
    assert (result.result, result.detail) == ("skip", "built for sm_120a; this machine has no GPU")
    assert runs(tmp_path) == 0


def test_a_test_of_the_gpu_is_for_variants_with_code_for_one(install: Install, tmp_path: Path) -> None:
    cases = [shell(tmp_path, "true", "a"), shell(tmp_path, "true", "b", gpu=True)]
    assert [it.test for it in run_tests(cases, install, logs=tmp_path, hardware=MACHINE)] == ["a"]
    built = replace(install, architectures=("sm_90",))
    skipped = run_tests(cases, built, logs=tmp_path, hardware=MACHINE)
    assert [(it.test, it.result) for it in skipped] == [("a", "skip"), ("b", "skip")]
    has_one = replace(MACHINE, gpus=(Gpu("H200", "9.0"),))
    assert [it.result for it in run_tests(cases, built, logs=tmp_path, hardware=has_one)] == ["pass", "pass"]


def test_a_bad_placeholder_stops_before_anything_runs(install: Install, tmp_path: Path) -> None:
    with pytest.raises(PatchctlError) as error:
        run_tests([counting(tmp_path), shell(tmp_path, "{bim}", "typo")], install, logs=tmp_path, hardware=MACHINE)
    assert error.value.exit_code == Code.INVALID
    assert error.value.message.startswith('test typo: unknown placeholder {bim}; did you mean "bin"?')
    assert runs(tmp_path) == 0


def test_an_install_that_is_not_there_or_damaged_says_what_to_type(tmp_path: Path) -> None:
    folder = tmp_path / "r1" / "cpu"
    with pytest.raises(PatchctlError, match="r1/cpu is not built; build it with: patchctl build r1") as error:
        read_install(folder, "patchctl build r1")
    assert error.value.exit_code == Code.ENVIRONMENT
    folder.mkdir(parents=True)
    for content in ("{", "[]", "{}", '{"release": 1}'):
        (folder / "build-info.json").write_text(content)
        with pytest.raises(PatchctlError, match=r"cannot be read .* build again with: patchctl build r1"):
            read_install(folder, "patchctl build r1")


def workspace(folder: Path, tests: str, probes: dict[str, str]) -> list[Case]:
    (folder / "stacks").mkdir()
    (folder / "stacks" / "r1.yaml").write_text(STACK + tests)
    for patch, probe in probes.items():
        (folder / "patches" / patch).mkdir(parents=True)
        (folder / "patches" / patch / "probe.yaml").write_text(probe)
    space = Workspace(folder)
    return stack_cases(space, space.load_stack(folder / "stacks" / "r1.yaml"))


def test_a_stack_has_its_own_tests_general_ones_and_the_probes_of_its_patches(tmp_path: Path) -> None:
    tests = "  - {name: own, command: {run: [x]}}\n  - server-boots\n"
    cases = workspace(tmp_path, tests, {"two": "schema: 1\ncommand: {run: [y]}\n"})
    assert [(case.test.name, case.patch) for case in cases] == [
        ("own", None),
        ("server-boots", None),
        ("probe-two", "two"),
    ]
    assert [case.here for case in cases][::2] == [tmp_path / "stacks", tmp_path / "patches" / "two"]


def test_all_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    tests = "  - server-bots\n  - {name: own, command: {run: [x]}}\n  - {name: own, command: {run: [y]}}\n"
    with pytest.raises(InvalidError) as error:
        workspace(tmp_path, tests, {"one": "schema: 1\n", "two": "schema: 1\ncommand: {rum: [y]}\n"})
    lines = error.value.message.splitlines()
    assert 'r1.yaml:7:5: there is no test "server-bots"; did you mean "server-boots"?' in lines[0]
    assert any("one/probe.yaml" in line for line in lines)
    assert any('two/probe.yaml:2:11: unknown key "rum"; did you mean "run"?' in line for line in lines)
    assert 'two tests are called "own"' in lines[-1]


def test_placeholders_and_patterns_are_judged_with_the_stack_each_at_its_place(tmp_path: Path) -> None:
    tests = "  - {name: own, command: {run: [x, \"{bim}\"]}}\n  - {name: two, command: {run: [x], output: '('}}\n"
    with pytest.raises(InvalidError) as error:
        workspace(tmp_path, tests, {"two": "schema: 1\nhttp: {server: '{server}', requests: [{path: '/{prot}'}]}\n"})
    lines = error.value.message.splitlines()
    assert 'r1.yaml:7:36: test own: unknown placeholder {bim}; did you mean "bin"?' in lines[0]
    assert "r1.yaml:8:45: test two: output: ( is no regular expression" in lines[1]
    assert 'two/probe.yaml:2:46: test probe-two: unknown placeholder {prot}; did you mean "port"?' in lines[2]
    assert len(lines) == 3


def test_a_test_of_the_server_needs_a_stack_with_one(tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    path = tmp_path / "stacks" / "r1.yaml"
    path.write_text(STACK.replace("x-server", "x-cli") + "  - server-boots\n")
    space = Workspace(tmp_path)
    with pytest.raises(InvalidError, match=r"r1\.yaml:7:5: test server-boots: \{server\} stands for nothing"):
        stack_cases(space, space.load_stack(path))


@pytest.mark.parametrize("word", ["{bin}/x-cli", "{server}"])
def test_in_a_part_build_a_test_whose_program_is_not_there_is_skipped(
    word: str, install: Install, tmp_path: Path
) -> None:
    part = replace(install, targets=("other",))
    cases = [shell(tmp_path, "true", "a"), shell(tmp_path, f"{word}; true", "b")]
    there, gone = run_tests(cases, part, logs=tmp_path, hardware=MACHINE, part=True)
    assert (there.result, gone.result) == ("pass", "skip")
    assert gone.detail == f"{'x-cli' if 'cli' in word else 'a server'} is not in this part build"


def test_a_patch_without_a_probe_has_no_case(tmp_path: Path) -> None:
    assert load_probe(Workspace(tmp_path), "none") is None


def test_every_general_test_is_valid_and_called_like_its_file() -> None:
    assert "server-boots" in general_names()
    assert [general_test(name).name for name in general_names()] == general_names()
