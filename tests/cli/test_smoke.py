from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.install import read_install
from tests.demo.built import BuiltDemo, built_demo
from tests.smoke.scripted import IDENTITY, make_install, running_below

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


PATCHES = ("whole-characters", "fresh-sampler", "request-seed")


def test_every_probe_fails_on_the_unpatched_base_and_passes_with_its_patch_and_what_it_requires(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    ran = patchctl("smoke", "demo", "--probe", "all", "--json", "-q", cwd=workspace.root)
    told = json.loads(ran.stdout)
    assert ran.code == 0, ran
    assert [(it["id"], it["variant"], it["unpatched"], it["patched"], it["result"]) for it in told["probes"]] == [
        (patch, "release", "fail", "pass", "pass") for patch in PATCHES
    ]
    assert read_install(workspace.root / "out" / "demo-base" / "release").identity.startswith("02847c808-")
    evidence = json.loads((workspace.root / "stacks" / "demo.evidence.json").read_bytes())
    assert sorted((it["patch"], it["variant"], it["unpatched"], it["patched"]) for it in evidence["probes"]) == sorted(
        (patch, "release", "fail", "pass") for patch in PATCHES
    )
    assert evidence["variants"]["release"]["proven"] is True
    shown = patchctl("report", "demo", "--format", "markdown", cwd=workspace.root).stdout
    assert shown.count("release: pass (fail without it)") == len(PATCHES)
    seed = json.loads((workspace.root / "out/demo-only-request-seed/release/build-info.json").read_bytes())
    assert [patch["id"] for patch in seed["patches"]] == ["fresh-sampler", "request-seed"]


def test_a_probe_that_passes_without_its_patch_is_exit_10_and_one_that_fails_with_it_exit_6(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    probe = workspace.root / "patches" / "fresh-sampler" / "probe.yaml"
    for command, code, said in (
        ("true", 10, "passes without the patch: the base has what the patch is for"),
        ("false", 6, "it exited with status 1"),
    ):
        probe.write_text(f"schema: 1\ncommand: {{run: [{command!r}]}}\n")
        ran = patchctl("smoke", "demo", "--probe", "fresh-sampler", cwd=workspace.root)
        assert (ran.code, said in ran.stdout) == (code, True), ran


def test_a_probe_that_could_not_be_tried_is_exit_10_when_strict_and_is_not_recorded(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    probe = workspace.root / "patches" / "fresh-sampler" / "probe.yaml"
    probe.write_text("schema: 1\ncommand: {run: [sh, -c, 'echo no torch; exit 125']}\n")
    words = ("smoke", "demo", "--probe", "fresh-sampler")
    ran = patchctl(*words, cwd=workspace.root)
    assert (ran.code, "no torch" in ran.stdout) == (0, True), ran
    assert patchctl(*words, "--strict", cwd=workspace.root).code == 10
    assert "probes" not in json.loads((workspace.root / "stacks" / "demo.evidence.json").read_bytes())


def test_a_probe_for_a_gpu_is_skipped_where_the_variant_has_none_and_nothing_is_said_of_its_patch(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    probe = workspace.root / "patches" / "fresh-sampler" / "probe.yaml"
    probe.write_text("schema: 1\ngpu: true\ncommand: {run: ['true']}\n")
    ran = patchctl("smoke", "demo", "--probe", "fresh-sampler", cwd=workspace.root)
    row = ran.stdout.split("\n")[1].split(maxsplit=4)
    assert (ran.code, row[2:4], row[4].startswith("not run: ")) == (0, ["skip", "skip"], True), ran
    assert patchctl("smoke", "demo", "--probe", "fresh-sampler", "--strict", cwd=workspace.root).code == 10
    assert "probes" not in json.loads((workspace.root / "stacks" / "demo.evidence.json").read_bytes())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--probe", "all", "--vs", "base"), "--probe tries the base anyway"),
        (("--probe", "all", "--only", "request-seed"), "--probe takes each patch with what it requires"),
        (("--bring", "x.json", "--fresh"), "--bring takes nothing but STACK"),
        (("--bring", "x.json", "--without", "request-seed"), "--bring takes nothing but STACK"),
        (("--package", "x.tar.gz", "--only", "request-seed"), "--package goes with --strict only"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    words: tuple[str, ...], said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    name = () if "--package" in words else ("demo",)
    ran = patchctl("smoke", *name, *words, cwd=workspace.root)
    assert (ran.code, said in ran.stderr) == (2, True), ran


@pytest.mark.parametrize(
    ("patch", "code", "said"),
    [
        ("fresh-sampla", 2, "demo has no patch 'fresh-sampla'; did you mean \"fresh-sampler\"?"),
        ("fresh-sampler", 3, "fresh-sampler has no probe; write patches/fresh-sampler/probe.yaml"),
    ],
)
def test_a_probe_that_is_not_there_is_said(
    patch: str, code: int, said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    (workspace.root / "patches" / "fresh-sampler" / "probe.yaml").unlink()
    ran = patchctl("smoke", "demo", "--probe", patch, cwd=workspace.root)
    assert (ran.code, said in ran.stderr) == (code, True), ran


def test_tests_stand_beside_those_of_the_unpatched_base(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    ran = patchctl("smoke", "demo", "--vs", "base", cwd=workspace.root)
    rows = {words[1]: words[2:4] for line in ran.stdout.splitlines() if (words := line.split())[0] == "release"}
    assert ran.code == 0
    assert rows["known-answer"] == ["pass", "pass"]
    assert rows["probe-fresh-sampler"] == ["fail", "pass"]
    told = json.loads(patchctl("smoke", "demo", "--vs", "base", "--json", "-q", cwd=workspace.root).stdout)
    assert told["unpatched"]["proven"] == {"release": False}
    assert told["proven"] == {"release": True}


def test_a_part_is_tested_with_the_probes_of_its_patches_and_leaves_the_evidence_alone(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHCTL_CACHE", str(workspace.cache))
    evidence = workspace.root / "stacks" / "demo.evidence.json"
    before = evidence.read_bytes()
    part = ("--without", "request-seed", "--variant", "release")
    ran = patchctl("smoke", "demo", *part, cwd=workspace.root)
    how = "patchctl build demo --without request-seed --variant release"
    assert (ran.code, f"build it with: {how}" in ran.stderr) == (9, True), ran
    patchctl(*how.split()[1:], cwd=workspace.root)
    told = json.loads(patchctl("smoke", "demo", *part, "--json", cwd=workspace.root).stdout)
    assert (told["stack"], [it["id"] for it in told["probes"]]) == (
        "demo-without-request-seed", ["whole-characters", "fresh-sampler"],
    )  # fmt: skip
    change_stack(workspace, "^the lake ", "^the river ")
    assert patchctl("smoke", "demo", *part, cwd=workspace.root).code == 6
    assert evidence.read_bytes() == before
    only = patchctl("smoke", "demo", "--only", "request-seed", cwd=workspace.root)
    assert (only.code, "patchctl build demo --only request-seed" in only.stderr) == (9, True)


def test_unproven_is_exit_10_when_strict(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> None:
    assert patchctl("smoke", "demo", "--strict", "--variant", "release", cwd=workspace.root).code == 0
    assert patchctl("smoke", "demo", "--strict", cwd=workspace.root).code == 10, "debug is not built"
    change_stack(workspace, '["{bin}/demo-cli", --version]', '[sh, -c, "echo no model; exit 125"]')
    assert patchctl("smoke", "demo", "--strict", "--variant", "release", cwd=workspace.root).code == 10
    assert patchctl("smoke", "demo", cwd=workspace.root).code == 0


def test_a_stack_says_what_it_expects_of_a_test_that_comes_with_patchctl(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    change_stack(workspace, "  - server-boots\n", "  - {name: server-boots, expect: fail, reason: '#9'}\n")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert (ran.code, "passes, but is expected to fail (#9)" in ran.stdout) == (10, True)
    change_stack(workspace, "name: server-boots,", "name: server-bots,")
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert (ran.code, 'there is no test "server-bots"; did you mean "server-boots"?' in ran.stderr) == (3, True)


def replace_server(workspace: BuiltDemo, changes: str) -> None:
    """Put a script in the place of the demo's server, noted as if it had been built."""
    made = make_install(workspace.root / "made", changes, server="demo-server")
    install, real = workspace.install, read_install(workspace.install)
    script = (made.bin / "demo-server").read_text().replace(f"b7-{IDENTITY}", f"b30-{real.identity}")
    path = install / "bin" / "demo-server"
    path.write_text(script)
    info = json.loads((install / "build-info.json").read_bytes())
    for file in info["files"]:
        if file["path"] == "bin/demo-server":
            file.update(size=len(script.encode()), sha256=hashlib.sha256(script.encode()).hexdigest())
    (install / "build-info.json").write_text(json.dumps({**info, "build_key": "scripted"}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("def before(): time.sleep(60)", "the server was not ready after 1 s; GET /health: nobody listens"),
        (
            "def answer(c): c.sendall(b'HTTP/1.1 200 X\\r\\nContent-Length: 99\\r\\n\\r\\n{'); os._exit(7)",
            "the server exited with status 7",
        ),
        ("def answer(c):\n    while True: os.write(1, b'spam ' * 4000)", "printed more than 1 MiB and was stopped"),
        ("def answer(c): c.sendall(b'\\0\\1garbage\\r\\n\\r\\n')", "the answer is no HTTP"),
        ("def answer(c): time.sleep(60)", "POST /completion: no answer within"),
        ("def props(c): c.sendall(reply(200, {'build_info': 'b30-other'}))", "it is not the binary that was built"),
    ],
    ids=["hangs-at-load", "crashes-mid-answer", "floods", "garbage", "never", "another-binary"],
)
def test_a_server_that_misbehaves_is_exit_6_with_a_clear_line_and_nothing_left_running(
    changes: str, said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchctl.smoke.child.LOG_LIMIT", 2**20)
    replace_server(workspace, changes)
    path = workspace.root / "stacks" / "demo.yaml"
    text = path.read_text()
    request = "{path: /completion, method: POST, body: {prompt: a}, answer: {content: hello}}"
    timeout = 1 if "time.sleep" in changes else 20
    test = f'  - {{name: asked, timeout: {timeout}, http: {{server: "{{server}}", requests: [{request}]}}}}\n'
    path.write_text(text[: text.index("  - server-boots")] + test)
    for probe in workspace.root.glob("patches/*/probe.yaml"):
        probe.unlink()
    ran = patchctl("smoke", "demo", cwd=workspace.root)
    assert (ran.code, said in ran.stdout) == (6, True), ran
    assert "unproven: 1 of 1 failed" in ran.stdout
    assert running_below(workspace.root) == []
