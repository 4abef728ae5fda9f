from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.built import copied_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran
    from tests.demo.built import BuiltDemo

PACKAGE = ("package", "demo", "--variant", "release")


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> BuiltDemo:
    return copied_demo(tmp_path_factory, monkeypatch, tmp_path / "w")


@pytest.fixture
def made(workspace: BuiltDemo, patchctl: Callable[..., Ran]) -> Path:
    """Give the package of the demo."""
    ran = patchctl(*PACKAGE, "-q", cwd=workspace.root)
    assert ran.code == 0, ran
    return workspace.root / "out" / "demo-release.tar.gz"


@pytest.fixture
def elsewhere(made: Path, tmp_path: Path) -> Path:
    """Give the package alone in a folder that is no workspace."""
    (tmp_path / "else").mkdir()
    return shutil.copy(made, tmp_path / "else") and tmp_path / "else" / made.name


def evidence(workspace: BuiltDemo) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace.root / "stacks" / "demo.evidence.json").read_text())
    return found


def change(path: Path, name: str, edit: Callable[[bytes], bytes]) -> None:
    """Change one file of a package, keeping everything else, its list of checksums too."""
    with tarfile.open(path) as old, tarfile.open(path.with_suffix(".new"), "w:gz") as new:
        for info in old:
            content = old.extractfile(info).read() if info.isreg() else b""  # type: ignore[union-attr]
            if info.name.endswith(name):
                content = edit(content)
                info.size = len(content)
            new.addfile(info, io.BytesIO(content))
    path.with_suffix(".new").replace(path)


# --- what a package is --------------------------------------------------------------------------------------------


def test_a_package_lists_every_file_and_lies_beside_its_notes_and_checksums(made: Path, tmp_path: Path) -> None:
    with tarfile.open(made) as tar:
        tar.extractall(tmp_path / "x", filter="data")
    top = tmp_path / "x" / "demo-release"
    listed = dict(reversed(line.split("  ", 1)) for line in (top / "SHA256SUMS").read_text().splitlines())
    files = {it.relative_to(top).as_posix() for it in top.rglob("*") if it.is_file() and not it.is_symlink()}
    assert files - {"SHA256SUMS"} == listed.keys()
    assert all(hashlib.sha256((top / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())
    assert (made.parent / "SHA256SUMS").read_text() == f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made.name}\n"
    assert (made.parent / "demo-release.md").read_text() == (top / "RELEASE-NOTES.md").read_text()
    assert {"bin/demo-server", "build-info.json", "patchctl/stacks/demo.lock.yaml"} <= files
    assert "patchctl/patches/fresh-sampler/probe.yaml" in files


def test_the_notes_say_what_is_in_it_and_what_was_proven_where(made: Path) -> None:
    notes = (made.parent / "demo-release.md").read_text()
    assert "* **whole-characters**: generate : never end an answer inside a character (patchctl/demo#28)" in notes
    assert "at build b30 (`02847c8083ae0abdde1e52db908663402a03b8dd`)\nwith 3 patches." in notes
    assert "This build is **proven**" in notes
    assert "* passed: server-boots, says-what-it-is, reads-a-text, known-answer, probe-whole-characters" in notes
    assert "\n\n\n" not in notes


def test_the_same_build_makes_the_same_bytes(
    made: Path, workspace: BuiltDemo, tmp_path: Path, patchctl: Callable[..., Ran]
) -> None:
    told = json.loads(patchctl(*PACKAGE, "--output", tmp_path / "2.tar.gz", "--json", cwd=workspace.root).stdout)
    assert gzip.decompress((tmp_path / "2.tar.gz").read_bytes()) == gzip.decompress(made.read_bytes())
    assert told["sha256"] == hashlib.sha256(made.read_bytes()).hexdigest()
    assert "libc.so.6" in told["needs"]
    assert "libdemo.so.0" not in told["needs"]


def drop_a_patch(root: Path) -> None:
    path = root / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace("  - request-seed # needs fresh-sampler\n", ""))


def change_settings(root: Path) -> None:
    path = root / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace("CMAKE_BUILD_TYPE: Release", "CMAKE_BUILD_TYPE: MinSizeRel"))


def more_targets(root: Path) -> None:
    path = root / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace("[demo-server, demo-cli]", "[demo-server, demo-cli, demo]"))


def grow_a_file(root: Path) -> None:
    with (root / "out" / "demo" / "release" / "bin" / "demo-cli").open("ab") as file:
        file.write(b"x")


def turn_a_byte(root: Path) -> None:
    path = root / "out" / "demo" / "release" / "bin" / "demo-cli"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (drop_a_patch, 9, "the stack is at "),
        (change_settings, 9, "was built with other settings"),
        (more_targets, 9, "is a part build"),
        (grow_a_file, 9, "lacks bin/demo-cli, or it was changed"),
        (turn_a_byte, 9, "lacks bin/demo-cli, or it was changed"),
        (lambda root: shutil.rmtree(root / "out"), 9, "is not built"),
    ],
)
def test_what_is_stale_or_a_part_is_not_packaged(
    spoil: Callable[[Path], None], code: int, said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    spoil(workspace.root)
    if spoil is drop_a_patch:
        assert patchctl("lock", "demo", cwd=workspace.root).code == 0
    ran = patchctl(*PACKAGE, cwd=workspace.root)
    assert (ran.code, said in ran.stderr) == (code, True), ran
    assert "patchctl build STACK --variant release" in ran.stderr
    assert not list(workspace.root.glob("out/*.tar.gz"))


# --- tried elsewhere, brought home --------------------------------------------------------------------------------


def test_a_package_is_tried_elsewhere_and_its_result_brought_home(
    workspace: BuiltDemo, elsewhere: Path, patchctl: Callable[..., Ran]
) -> None:
    path = workspace.root / "stacks" / "demo.evidence.json"
    path.unlink()
    ran = patchctl("smoke", "--package", elsewhere.name, "--json", cwd=elsewhere.parent)
    told = json.loads(ran.stdout)
    assert (ran.code, told["proven"]) == (0, {"release": True})
    assert {it["id"] for it in told["probes"]} == {"whole-characters", "fresh-sampler", "request-seed"}
    result = elsewhere.with_name("demo-release.tar.gz.result.json")
    home = patchctl("smoke", "demo", "--bring", result, cwd=workspace.root)
    assert home.code == 0, home
    claim = evidence(workspace)["variants"]["release"]
    assert (claim["proven"], claim["tests"]) == (True, [])
    assert claim["elsewhere"][0]["package"] == hashlib.sha256(elsewhere.read_bytes()).hexdigest()
    before = path.read_text()
    assert "unchanged" in patchctl("smoke", "demo", "--bring", result, cwd=workspace.root).stdout
    assert path.read_text() == before
    patchctl("build", "demo", "--variant", "release", "-q", cwd=workspace.root)
    kept = evidence(workspace)["variants"]["release"]
    assert kept["elsewhere"] == claim["elsewhere"]
    assert [it["result"] for it in kept["tests"]] == ["pass"] * 7


def test_a_variant_of_the_command_line_that_was_brought_home_stays_in_the_evidence(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    words = ("--variant", "sm_1", "--cmake", "CMAKE_INSTALL_MESSAGE=NEVER", "-q")
    assert patchctl("build", "demo", *words, cwd=workspace.root).code == 0
    assert patchctl("package", "demo", "--variant", "sm_1", cwd=workspace.root).code == 0
    (workspace.root / "stacks" / "demo.evidence.json").unlink()
    assert patchctl("smoke", "--package", "out/demo-sm_1.tar.gz", cwd=workspace.root).code == 0
    result = "out/demo-sm_1.tar.gz.result.json"
    assert patchctl("smoke", "demo", "--bring", result, cwd=workspace.root).code == 0
    brought = evidence(workspace)["variants"]["sm_1"]
    assert brought["proven"]
    assert patchctl("smoke", "demo", "--variant", "release", cwd=workspace.root).code == 0
    assert patchctl("build", "demo", "--variant", "release", cwd=workspace.root).code == 0
    assert evidence(workspace)["variants"]["sm_1"] == brought


def test_a_package_without_code_for_a_gpu_lacks_no_test_of_one(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    stack = workspace.root / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().rstrip("\n") + "\n  - {name: on-gpu, gpu: true, command: {run: ['true']}}\n")
    assert patchctl("package", "demo", "--variant", "release", cwd=workspace.root).code == 0
    assert patchctl("smoke", "--package", "out/demo-release.tar.gz", cwd=workspace.root).code == 0
    ran = patchctl("smoke", "demo", "--bring", "out/demo-release.tar.gz.result.json", cwd=workspace.root)
    assert (ran.code, "demo release  proven" in ran.stdout) == (0, True), ran


def test_a_package_that_is_not_proven_where_it_is_tried_is_exit_10_when_strict(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    stack = workspace.root / "stacks" / "demo.yaml"
    stack.write_text(stack.read_text().replace('["{bin}/demo-cli", --version]', '[sh, -c, "exit 125"]'))
    assert patchctl("package", "demo", "--variant", "release", cwd=workspace.root).code == 0
    package = ("smoke", "--package", "out/demo-release.tar.gz")
    assert [patchctl(*package, *more, cwd=workspace.root).code for more in ((), ("--strict",))] == [0, 10]


def test_a_failure_elsewhere_makes_a_build_unproven(
    workspace: BuiltDemo, elsewhere: Path, patchctl: Callable[..., Ran]
) -> None:
    patchctl("smoke", "--package", elsewhere, cwd=elsewhere.parent)
    result = elsewhere.with_name("demo-release.tar.gz.result.json")
    data = json.loads(result.read_text())
    data["tests"][0] |= {"result": "fail", "detail": "no answer"}
    data["hardware"]["gpus"] = [{"name": "H9", "capability": "9.0"}]
    result.write_text(json.dumps(data))
    assert patchctl("smoke", "demo", "--bring", result, cwd=workspace.root).code == 0
    claim = evidence(workspace)["variants"]["release"]
    assert (claim["proven"], claim["why"]) == (False, "server-boots: fail")
    patchctl(*PACKAGE, "-q", cwd=workspace.root)
    notes = (workspace.root / "out" / "demo-release.md").read_text()
    assert "**unproven**: server-boots: fail" in notes
    assert "On H9 (9.0), " in notes
    assert "* server-boots: fail, no answer" in notes


@pytest.mark.parametrize(
    ("name", "said"),
    [("bin/demo-cli", "'bin/demo-cli' was changed"), ("RELEASE-NOTES.md", "'RELEASE-NOTES.md' was changed")],
)
def test_a_package_whose_file_was_changed_is_refused(
    name: str, said: str, elsewhere: Path, patchctl: Callable[..., Ran]
) -> None:
    change(elsewhere, name, lambda content: content[:-1] + b"?")
    ran = patchctl("smoke", "--package", elsewhere, cwd=elsewhere.parent)
    assert (ran.code, said in ran.stderr, ran.stderr.count("\n")) == (3, True, 1), ran
    assert not elsewhere.with_name(f"{elsewhere.name}.result.json").exists()


def test_a_package_that_is_not_the_one_listed_beside_it_is_refused(made: Path, patchctl: Callable[..., Ran]) -> None:
    (made.parent / "SHA256SUMS").write_text(f"{'0' * 64}  {made.name}\n")
    ran = patchctl("smoke", "--package", made, cwd=made.parent)
    assert (ran.code, "SHA256SUMS beside it says otherwise" in ran.stderr) == (3, True)


def test_a_newer_package_says_to_upgrade(elsewhere: Path, patchctl: Callable[..., Ran]) -> None:
    change(elsewhere, "manifest.json", lambda content: content.replace(b'"schema_version": 1', b'"schema_version": 7'))
    ran = patchctl("smoke", "--package", elsewhere, cwd=elsewhere.parent)
    assert (ran.code, "newer patchctl (format 7); upgrade patchctl" in ran.stderr) == (9, True)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda data: data["source"].update(tree="1" * 40), "it is of demo 02847c808-111111111; the stack is demo"),
        (lambda data: data["build"].update(build_key="2" * 64), "its build key is not that of release"),
        (lambda data: data["build"]["toolchain"].update(cc="other"), "its build key is not that of release"),
        (lambda data: data["package"].update(sha256="3" * 64), "it is of another demo-release.tar.gz than the one in"),
        (lambda data: data["tests"].pop(), "it lacks these tests as they are now: probe-request-seed"),
        (lambda data: data.update(kind="bundle"), "is a bundle, not a package-result"),
        (lambda data: data.update(tests=5), "its manifest is wrong at tests"),
    ],
    ids=["tree", "build key", "toolchain", "package", "test left out", "kind", "shape"],
)
def test_a_result_of_something_else_is_not_taken(
    edit: Callable[[dict[str, Any]], object],
    said: str,
    workspace: BuiltDemo,
    elsewhere: Path,
    patchctl: Callable[..., Ran],
) -> None:
    patchctl("smoke", "--package", elsewhere, cwd=elsewhere.parent)
    result = elsewhere.with_name("demo-release.tar.gz.result.json")
    data = json.loads(result.read_text())
    edit(data)
    result.write_text(json.dumps(data))
    before = evidence(workspace)
    ran = patchctl("smoke", "demo", "--bring", result, cwd=workspace.root)
    assert (ran.code, said in ran.stderr) == (3, True), ran
    assert evidence(workspace) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [((), "Missing argument 'STACK'"), (("demo", "--package", "x.tar.gz"), "--package goes with --strict only")],
)
def test_smoke_wants_a_stack_or_a_package(
    words: tuple[str, ...], said: str, workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("smoke", *words, cwd=workspace.root)
    assert (ran.code, said in ran.stderr) == (2, True)
