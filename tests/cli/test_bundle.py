from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from patchctl.smoke.install import read_install
from tests.demo.built import copied_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran
    from tests.demo.built import BuiltDemo

TOOLS = (
    "cmake",
    "ninja",
    "cc",
    "c++",
    "gcc",
    "g++",
    "ld",
    "as",
    "ar",
    "ranlib",
    "true",
    "env",
    "sh",
    "uname",
    "ccache",
)


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> BuiltDemo:
    return copied_demo(tmp_path_factory, monkeypatch, tmp_path / "w")


@pytest.fixture
def made(workspace: BuiltDemo, patchctl: Callable[..., Ran], tmp_path: Path) -> Path:
    """Give a bundle of the demo, in a folder that is no workspace."""
    path = tmp_path / "elsewhere" / "demo-bundle.tar.gz"
    ran = patchctl("bundle", "demo", "--output", path, "-q", cwd=workspace.root)
    assert ran.code == 0, ran
    return path


@pytest.fixture
def without_git(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a machine that has compilers and no git, with an empty cache and another home."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    assert shutil.which("git", path=str(folder)) is None
    return {"PATH": str(folder), "HOME": str(tmp_path / "other home"), "PATCHCTL_CACHE": str(tmp_path / "other cache")}


def test_a_bundle_builds_where_there_is_no_git_as_the_stack_does(
    workspace: BuiltDemo, made: Path, without_git: dict[str, str], patchctl_process: Callable[..., Ran]
) -> None:
    words = ("build", made.name, "--variant", "release", "--json")
    ran = patchctl_process(*words, cwd=made.parent, env=without_git)
    assert ran.code == 0, ran
    told = json.loads(ran.stdout)
    here, there = read_install(workspace.install), read_install(made.parent / "out" / "demo" / "release")
    assert told["proven"] == {"release": True}
    assert (there.identity, there.build_key) == (here.identity, here.build_key)
    again = json.loads(patchctl_process(*words, cwd=made.parent, env=without_git).stdout)
    assert again["variants"]["release"]["state"] == "up to date"


def test_building_a_bundle_never_loads_gitpython(
    made: Path, without_git: dict[str, str], tmp_path: Path, patchctl_process: Callable[..., Ran]
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for name in ("git", "gitdb"):
        (site / f"{name}.py").write_text("raise SystemExit('loaded')\n")
    env = {**without_git, "PYTHONPATH": os.pathsep.join([str(site), os.environ["PYTHONPATH"]])}
    ran = patchctl_process("build", made.name, "--variant", "release", "-q", cwd=made.parent, env=env)
    assert ran.code == 0, ran
    package = patchctl_process("package", made.name, "--variant", "release", "-q", cwd=made.parent, env=env)
    assert package.code == 0, package
    smoke = patchctl_process("smoke", "--package", "out/demo-release.tar.gz", "-q", cwd=made.parent, env=env)
    assert smoke.code == 0, smoke


def test_another_machine_makes_the_same_bytes(
    workspace: BuiltDemo, made: Path, tmp_path: Path, patchctl_process: Callable[..., Ran]
) -> None:
    shutil.copytree(workspace.root, tmp_path / "else" / "where", symlinks=True)
    for path in (tmp_path / "else" / "where" / "patches").rglob("*"):
        os.utime(path, (1, 1))
    env = {
        "PATCHCTL_CACHE": str(tmp_path / "cold"),
        "TZ": "Asia/Kolkata",
        "LC_ALL": "C",
        "HOME": str(tmp_path / "h"),
        "GIT_AUTHOR_NAME": "somebody",
    }
    words = ("bundle", "demo", "--output", tmp_path / "second.tar.gz", "--json")
    told = json.loads(patchctl_process(*words, cwd=tmp_path / "else" / "where", env=env).stdout)
    tar = gzip.decompress(made.read_bytes())
    assert told["tar_sha256"] == hashlib.sha256(tar).hexdigest()
    assert gzip.decompress((tmp_path / "second.tar.gz").read_bytes()) == tar


def test_a_bundle_holds_the_tree_and_what_people_wrote_and_no_other_revision(
    workspace: BuiltDemo, patchctl: Callable[..., Ran], tmp_path: Path
) -> None:
    patch = workspace.root / "patches" / "fresh-sampler"
    shutil.copy(patch / "b30.patch", patch / "b99.patch")
    (patch / "helper.py").write_text("pass\n")
    (patch / ".secret").write_text("no\n")
    ran = patchctl("bundle", "demo", "--output", tmp_path / "b.tar.gz", "--json", cwd=workspace.root)
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        names = [it.name.partition("/")[2] for it in tar]
        times = {it.mtime for it in tar}
    assert names[0] == "patchctl/manifest.json"
    assert names[-1] == "SHA256SUMS"
    assert names[1:-1] == sorted(names[1:-1])
    assert [name for name in names if name.startswith("patches/fresh")] == [
        f"patches/fresh-sampler/{name}" for name in ("README.md", "b30.patch", "helper.py", "probe.yaml")
    ]
    assert {"stacks/demo.yaml", "stacks/demo.lock.yaml", "src/CMakeLists.txt"} <= set(names)
    assert times == {1762084800}
    assert json.loads(ran.stdout)["left_out"] == []


def test_a_changed_stack_is_locked_again_and_locked_refuses_it(
    workspace: BuiltDemo, patchctl: Callable[..., Ran]
) -> None:
    (workspace.root / "stacks" / "demo.lock.yaml").unlink()
    refused = patchctl("bundle", "demo", "--locked", cwd=workspace.root)
    assert (refused.code, "out of date" in refused.stderr) == (3, True)
    ran = patchctl("bundle", "demo", cwd=workspace.root)
    assert ran.code == 0
    assert ran.stdout.startswith("out/demo-bundle.tar.gz  ")
    assert "locked stacks/demo.yaml" in ran.stderr


# --- another GPU ------------------------------------------------------------------------------------------------


def test_a_variant_that_the_stack_lacks_is_given_on_the_command_line(
    workspace: BuiltDemo, made: Path, patchctl: Callable[..., Ran]
) -> None:
    words = ("--variant", "small", "--cmake", "CMAKE_INSTALL_MESSAGE=NEVER", "--json", "-q")
    told = json.loads(patchctl("build", made, *words, cwd=made.parent).stdout)
    info = json.loads((made.parent / "out" / "demo" / "small" / "build-info.json").read_text())
    assert (info["variant"], info["cmake"]["CMAKE_INSTALL_MESSAGE"]) == ("small", "NEVER")
    assert told["proven"] == {"small": True}
    stack = json.loads(patchctl("build", "demo", *words, cwd=workspace.root).stdout)
    assert stack["variants"]["small"]["build_key"] == info["build_key"]
    assert info["build_key"] != read_install(workspace.install).build_key
    package = patchctl("package", "demo", "--variant", "small", cwd=workspace.root)
    assert (package.code, package.stdout.split("  ")[-1]) == (0, "proven\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--variant", "release", "--cmake", "A=1"), "has a variant 'release' with settings of its own"),
        (("--variant", "x", "--cmake", "A"), "that is no NAME=VALUE"),
        (("--cmake", "A=1"), "name it with --variant"),
        (("--variant", "../x", "--cmake", "A=1"), "cannot name a variant"),
        (("--variant", "sm_90"), "--variant sm_90 --cmake GGML_CUDA=ON --cmake CMAKE_CUDA_ARCHITECTURES=90-real"),
        (("--variant", "relase"), 'did you mean "release"?'),
        (("--without", "request-seed"), "a bundle is one tree"),
    ],
)
def test_what_a_bundle_cannot_build_is_exit_2_with_what_to_type(
    words: tuple[str, ...], said: str, made: Path, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("build", made, *words, cwd=made.parent)
    assert (ran.code, said in ran.stderr) == (2, True), ran


# --- bad input --------------------------------------------------------------------------------------------------


def repacked(path: Path, change: Callable[[Path], None], tmp_path: Path) -> Path:
    """Unpack a bundle, change it, list the checksums of what it is now, and pack it again."""
    folder = tmp_path / "repacked"
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")
    top = folder / "demo-bundle"
    change(top)
    names = sorted(it.relative_to(top).as_posix() for it in top.rglob("*") if it.is_file() and it.name != "SHA256SUMS")
    names.sort(key=lambda name: name != "patchctl/manifest.json")
    lines = [f"{hashlib.sha256((top / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (top / "SHA256SUMS").write_text("".join(lines))
    made = tmp_path / "changed.tar.gz"
    with tarfile.open(made, "w:gz") as tar:
        for name in [*names, "SHA256SUMS"]:
            tar.add(top / name, f"demo-bundle/{name}")
    return made


def edit_manifest(**values: object) -> Callable[[Path], None]:
    def change(top: Path) -> None:
        path = top / "patchctl" / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def evil_source(top: Path) -> None:
    with (top / "src" / "CMakeLists.txt").open("a") as file:
        file.write("# evil\n")


def other_release(top: Path) -> None:
    path = top / "stacks" / "demo.yaml"
    path.write_text(path.read_text().replace("release: demo", "release: other"))


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (evil_source, 3, "does not hold the tree"),
        (other_release, 3, "are not of one release"),
        (lambda top: (top / "src" / "README.md").unlink(), 3, "does not hold the tree"),
        (lambda top: (top / "stacks" / "demo.lock.yaml").unlink(), 3, "lacks stacks/demo.yaml or its lock"),
        (edit_manifest(schema_version=2), 9, "was made by a newer patchctl (format 2); upgrade patchctl"),
        (edit_manifest(stack="../../x.yaml"), 3, "its manifest is wrong at stack"),
        (edit_manifest(kind="package"), 3, "is a package, not a bundle"),
    ],
    ids=["source changed", "other release", "file gone", "lock gone", "newer", "path out", "a package"],
)
def test_a_bundle_that_was_tampered_with_is_refused(
    change: Callable[[Path], None], code: int, said: str, made: Path, tmp_path: Path, patchctl: Callable[..., Ran]
) -> None:
    changed = repacked(made, change, tmp_path)
    ran = patchctl("build", changed, "--variant", "release", cwd=made.parent)
    assert (ran.code, said in ran.stderr, ran.stderr.count("\n")) == (code, True, 1), ran
    assert not (made.parent / "out").exists()


def test_a_bundle_cut_off_or_absent_is_told_in_one_line(made: Path, patchctl: Callable[..., Ran]) -> None:
    content = made.read_bytes()
    made.write_bytes(content[: len(content) // 2])
    ran = patchctl("build", made, cwd=made.parent)
    assert (ran.code, "cut off or damaged" in ran.stderr, ran.stderr.count("\n")) == (3, True, 1)
    assert patchctl("build", "no.tar.gz", cwd=made.parent).code == 2


def test_sources_edited_in_the_cache_are_made_anew(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patchctl: Callable[..., Ran]
) -> None:
    cache = tmp_path / "own cache"
    monkeypatch.setenv("PATCHCTL_CACHE", str(cache))
    words = ("build", made, "--variant", "release", "-q")
    assert patchctl(*words, cwd=made.parent).code == 0
    (source,) = cache.glob("build/*/src/CMakeLists.txt")
    good = source.read_text()
    source.write_text("broken(\n")
    shutil.rmtree(made.parent / "out")
    assert patchctl(*words, cwd=made.parent).code == 0
    assert source.read_text() == good
    assert [it.name for it in (cache / "build").iterdir() if it.name.startswith(".")] == []


def test_an_import_of_the_build_alone_brings_no_git() -> None:
    import subprocess

    code = "import sys, patchctl.cli.build, patchctl.ship.bundle, patchctl.ship.trial; assert 'git' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
