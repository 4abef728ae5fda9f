from __future__ import annotations

import hashlib
import json
import shutil
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import patchctl.cli.part
from tests.bench.scripted import LLAMA_BENCH
from tests.bench.scripted import SERVER as CHANGES
from tests.demo.built import built_demo
from tests.smoke.scripted import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from patchctl.cli.build import Done
    from tests.conftest import Ran

WORDS = ("--model", "4x2x64", "--depth", "0", "--tokens", "4")


@pytest.fixture
def workspace(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the workspace of the built demo; what is installed are scripts whose speed is known."""
    built = built_demo(tmp_path_factory)
    shutil.copytree(built.root, tmp_path / "w", symlinks=True)
    replace(tmp_path / "w" / "out" / "demo" / "release", tmp_path / "journal")
    return tmp_path / "w"


def replace(install: Path, journal: Path) -> None:
    info = json.loads((install / "build-info.json").read_text())
    values = {"python": sys.executable, "identity": info["identity"], "journal": str(journal), "name": "demo"}
    changes = CHANGES.format(speed=100.0, **values, accepted=0.5)
    texts = {
        "demo-server": SERVER.format(**values, changes=changes).replace("b7-", f"b{info['build_number']}-"),
        "llama-bench": LLAMA_BENCH.format(kv=["f16"], speed=100.0, before="", **values),
    }
    files = {file["path"]: file for file in info["files"]}
    for name, text in texts.items():
        (install / "bin" / name).write_text(text)
        (install / "bin" / name).chmod(0o755)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        files[f"bin/{name}"] = {"path": f"bin/{name}", "size": len(text.encode()), "sha256": sha256}
    (install / "build-info.json").write_text(json.dumps({**info, "files": list(files.values())}))


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the same scripts into the base, each time that it has really been built."""

    def build_part(*args: Any, **options: Any) -> Done:
        done = part.build_part(*args, **options)
        replace(done.built["release"].path, tmp_path / "journal")
        return done

    part = SimpleNamespace(build_part=patchctl.cli.part.build_part)
    monkeypatch.setattr("patchctl.cli.part.build_part", build_part)


def limits(workspace: Path, text: str) -> None:
    path = workspace / "stacks" / "demo.yaml"
    path.write_text(f"{path.read_text()}\nbench:\n{text}\n")


def test_what_is_built_is_measured_and_written(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    ran = patchctl("bench", "demo", *WORDS, cwd=workspace)
    assert ran.code == 0, ran
    assert ran.stdout.startswith("demo release  4x2x64 on ")
    assert "decode" in ran.stdout
    assert "demo 100" in ran.stdout
    (written,) = (workspace / "out" / "demo" / "bench").glob("*.json")
    assert f"wrote out/demo/bench/{written.name}" in ran.stderr
    assert written.with_suffix(".csv").is_file()
    again = patchctl("bench", "demo", *WORDS, cwd=workspace)
    assert again.code == 0
    assert len(list((workspace / "out" / "demo" / "bench").iterdir())) == 2, "measured again, it takes the old place"


def test_json_and_the_report_say_what_was_measured(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    said = json.loads(patchctl("bench", "demo", *WORDS, "--vs", "demo", "--json", "-q", cwd=workspace).stdout)
    (result,) = said["benches"]
    assert (said["stack"], result["vs"]["name"], result["variant"]) == ("demo", "demo again", "release")
    (decode,) = [row for row in result["rows"] if row["measure"] == "decode"]
    assert [one["name"] for one in decode["series"]] == ["demo again", "demo"]
    assert decode["comparison"]["verdict"] == "same"
    report = json.loads(patchctl("report", "demo", "--json", cwd=workspace).stdout)
    assert report["benches"] == [result]
    assert "tokens per decode" in (workspace / "out" / "demo" / "report.html").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - {measure: decode, least: 1, most: 2}", "exactly one of"),
        ("  - {measure: decode, at: {depth: 0}, leest: 0.98}", 'did you mean "least"?'),
    ],
)
def test_a_mistake_in_a_limit_is_exit_3(text: str, said: str, workspace: Path, patchctl: Callable[..., Ran]) -> None:
    limits(workspace, text)
    ran = patchctl("bench", "demo", *WORDS, cwd=workspace)
    assert (ran.code, said in ran.stderr) == (3, True), ran


@pytest.mark.usefixtures("base")
def test_limits_in_the_manifest_make_it_a_test_against_the_base(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    kept = "  - {measure: decode, at: {depth: 0}, least: 0.98}\n"
    limits(workspace, f"{kept}  - {{measure: decode, least: 1.2}}\n  - {{measure: nonsense, least: 1}}")
    ran = patchctl("bench", "demo", *WORDS, cwd=workspace)
    assert (ran.code, ran.stdout.startswith("demo release against base  4x2x64 on ")) == (6, True), ran
    rows = json.loads((workspace / "stacks" / "demo.evidence.json").read_bytes())["limits"]
    assert {it["limit"]: (it["variant"], it["model"], it["result"]) for it in rows} == {
        "decode, depth 0: at least 0.98": ("release", "4x2x64", "pass"),
        "decode: at least 1.2": ("release", "4x2x64", "fail"),
        "nonsense: at least 1": ("release", "4x2x64", "error"),
    }
    shown = patchctl("report", "demo", "--format", "markdown", cwd=workspace).stdout
    assert "| decode: at least 1.2 | release, 4x2x64 | **fail** |" in shown
    patchctl("report", "demo", cwd=workspace)
    assert "decode: at least 1.2</strong>" in (workspace / "out" / "demo" / "report.html").read_text()
    path = workspace / "stacks" / "demo.yaml"
    path.write_text(path.read_text()[: path.read_text().index(kept)] + kept)
    assert patchctl("bench", "demo", *WORDS, cwd=workspace).code == 0


def test_limits_are_about_the_base_and_no_other_stack(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    limits(workspace, "  - {measure: decode, least: 1.2}")
    ran = patchctl("bench", "demo", *WORDS, "--vs", "demo", "--json", "-q", cwd=workspace)
    assert (ran.code, json.loads(ran.stdout)["benches"][0]["limits"]) == (0, []), ran
    assert "limits" not in json.loads((workspace / "stacks" / "demo.evidence.json").read_bytes())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("demo", "--model", "none.gguf"), 2, "none.gguf is neither a file nor a geometry"),
        (("demo", "--model", "stacks/demo.yaml"), 6, "stacks/demo.yaml is no GGUF"),
        (("demo", "--variant", "debug"), 9, "demo/debug is not built"),
        (("demo", "--variant", "relaese"), 2, 'did you mean "release"?'),
        (("demo", "--vs", "nothing"), 2, "there is no stack nothing"),
        (("demo", "--repetitions", "4"), 2, "4 is not in the range x>=5"),
        (("demo", *WORDS, "--kv", "tbq9"), 2, "demo does not know the KV cache type tbq9"),
        (("demo", "--package", "x.tar.gz"), 2, "--package goes alone"),
        (("--package", "x.tar.gz"), 2, "there is no file"),
        ((), 2, "Missing argument 'STACK'"),
        (("--package", "x.tar.gz", "--only", "request-seed"), 2, "--package goes alone"),
        (("demo", "--without", "request-sead"), 2, 'did you mean "request-seed"?'),
        (("demo-bundle.tar.gz",), 2, "a package is measured with --package, a bundle is sources"),
    ],
)
def test_what_cannot_be_is_said(
    workspace: Path, patchctl: Callable[..., Ran], words: tuple[str, ...], code: int, said: str
) -> None:
    ran = patchctl("bench", *words, cwd=workspace)
    assert ran.code == code, ran
    assert said in ran.stderr


def test_a_changed_binary_is_not_measured(workspace: Path, patchctl: Callable[..., Ran]) -> None:
    with (workspace / "out" / "demo" / "release" / "bin" / "llama-bench").open("a") as file:
        file.write("\n")
    ran = patchctl("bench", "demo", *WORDS, cwd=workspace)
    assert ran.code == 9
    assert "bin/llama-bench in out/demo/release is not as it was built" in ran.stderr


def test_a_package_is_measured_without_a_workspace(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, patchctl: Callable[..., Ran]
) -> None:
    built = built_demo(tmp_path_factory)
    shutil.copytree(built.root, tmp_path / "w", symlinks=True)
    path = tmp_path / "demo-release.tar.gz"
    packed = patchctl("package", "demo", "--variant", "release", "--output", path, cwd=tmp_path / "w")
    assert packed.code == 0, packed
    shutil.rmtree(tmp_path / "w")
    ran = patchctl("bench", "--package", path.name, *WORDS, cwd=tmp_path)
    # The demo's server takes other words than llama-server: measured it cannot be, but it was unpacked and found.
    why = "a bench asks llama-bench or llama-server, and demo has neither among its targets: nothing of it can be"
    assert (ran.code, why in ran.stderr) == (2, True), ran


def test_the_demo_as_it_is_cannot_be_measured_and_says_so(
    tmp_path_factory: pytest.TempPathFactory, patchctl: Callable[..., Ran]
) -> None:
    ran = patchctl("bench", "demo", cwd=built_demo(tmp_path_factory).root)
    assert (ran.code, "demo has neither among its targets: nothing of it can be measured" in ran.stderr) == (2, True)
    assert not (built_demo(tmp_path_factory).root / "out" / "demo" / "bench").exists()


@pytest.mark.usefixtures("base")
def test_a_part_is_measured_and_leaves_the_evidence_alone_whatever_its_limits_say(
    workspace: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, patchctl: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PATCHCTL_CACHE", str(built_demo(tmp_path_factory).cache))
    part = ("--without", "request-seed", "--variant", "release")
    ran = patchctl("bench", "demo", *part, *WORDS, cwd=workspace)
    how = "patchctl build demo --without request-seed --variant release"
    assert (ran.code, ran.stderr.splitlines()[-1].endswith(f"is not built; build it with: {how}")) == (9, True), ran
    assert patchctl(*how.split()[1:], cwd=workspace).code == 0
    replace(workspace / "out" / "demo-without-request-seed" / "release", tmp_path / "journal")
    limits(workspace, "  - {measure: decode, least: 0.5}")
    before = (workspace / "stacks" / "demo.evidence.json").read_bytes()
    for words, name, judged in ((("--vs", "demo"), "demo", 0), ((), "base", 1)):
        told = json.loads(patchctl("bench", "demo", *part, *WORDS, *words, "--json", cwd=workspace).stdout)
        (result,) = told["benches"]
        assert (told["stack"], result["stack"], result["vs"]["name"]) == (*["demo-without-request-seed"] * 2, name)
        assert len(result["limits"]) == judged
    assert (workspace / "stacks" / "demo.evidence.json").read_bytes() == before
    assert list((workspace / "out" / "demo-without-request-seed" / "bench").glob("*.json"))
