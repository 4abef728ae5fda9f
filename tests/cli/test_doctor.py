"""``patchctl doctor`` says what is here, what is missing and how to get it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from patchctl.build import cuda
from patchctl.sandbox import _tried, this_host
from tests.build.project import program
from tests.test_sandbox import needs_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Ran


STACK = """\
schema: 1
release: one
upstream:
  repo: https://example.org/x
  commit: 0253fb21f595246f54c192fe8332f34173be251b
patches: []
build:
  targets: [x]
  variants:
    cpu: {}
"""
GPU = STACK + "    sm_120: {cmake: {GGML_CUDA: true, CMAKE_CUDA_ARCHITECTURES: 120a-real}}\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "patches").mkdir()
    (tmp_path / "stacks" / "cpu.yaml").write_text(STACK)
    (tmp_path / "stacks" / "gpu.yaml").write_text(GPU)
    return tmp_path


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a toolkit of some version, without libraries, first."""
    monkeypatch.setattr(cuda, "SYSTEM", ())

    def make(version: str) -> None:
        said = f"echo Cuda compilation tools, release {version}, V{version}.1"
        monkeypatch.setenv("CUDACXX", str(program(tmp_path / f"cuda-{version}" / "bin" / "nvcc", said)))

    return make


def checks(ran: Ran) -> dict[str, dict[str, object]]:
    return {check["name"]: check for check in json.loads(ran.stdout)["checks"]}


def test_every_part_of_the_environment_has_a_row(patchctl: Callable[..., Ran], place: Path) -> None:
    ran = patchctl("doctor", "--json", cwd=place)
    assert ran.code == 0
    assert list(checks(ran)) == [
        "git", "C compiler", "C++ compiler", "cmake", "ninja", "ccache", "nvcc", "cuBLAS", "driver stub", "GPU",
        "cuobjdump", "sandbox", "cache folder", "disk space",
    ]  # fmt: skip
    assert checks(ran)["C++ compiler"]["state"] == "ok"
    assert not checks(ran)["nvcc"]["needed"]


def test_a_stack_without_cuda_needs_no_cuda(
    patchctl: Callable[..., Ran], place: Path, toolkit: Callable[[str], None]
) -> None:
    toolkit("13.0")
    assert patchctl("doctor", "stacks/cpu.yaml", cwd=place).code == 0


def test_what_a_stack_needs_and_is_missing_is_exit_9_with_the_way_to_get_it(
    patchctl: Callable[..., Ran], place: Path, toolkit: Callable[[str], None]
) -> None:
    toolkit("13.0")
    ran = patchctl("doctor", "stacks/gpu.yaml", cwd=place)
    assert ran.code == 9
    assert "cuBLAS: pip install 'nvidia-cublas==13.0.*', or name its folder in PATCHCTL_CUDA_LIBRARIES" in ran.stdout
    assert "GGML_CUDA_NO_VMM: true" in ran.stdout
    assert "variant sm_120 needs cuBLAS" in ran.stdout
    said = json.loads(patchctl("doctor", "stacks/gpu.yaml", "--json", cwd=place).stdout)
    assert said["schema_version"] == 1
    assert not said["ok"]
    assert said["variants"] == {
        "cpu": None,
        "sm_120": "variant sm_120 needs cuBLAS; patchctl doctor says how to get it",
    }


def test_a_toolkit_too_old_for_120a_is_old_only_where_120a_is_asked_for(
    patchctl: Callable[..., Ran], place: Path, toolkit: Callable[[str], None]
) -> None:
    toolkit("12.4")
    assert checks(patchctl("doctor", "--json", cwd=place))["nvcc"]["state"] == "ok"
    row = checks(patchctl("doctor", "gpu", "--json", cwd=place))["nvcc"]
    assert row["state"] == "old"
    assert str(row["advice"]).startswith("12.8 or newer is needed")


def test_without_a_compiler_doctor_itself_still_answers(
    patchctl: Callable[..., Ran], place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin" / "git", "echo git version 2.30.1")
    program(tmp_path / "bin" / "nvidia-smi", "echo 'NVIDIA RTX 5090, 12.0'")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    ran = patchctl("doctor", "--json", cwd=place)
    rows = checks(ran)
    assert ran.code == 9
    assert (rows["C compiler"]["state"], rows["git"]["state"]) == ("missing", "old")
    assert "apt install g++" in str(rows["C++ compiler"]["advice"])
    assert rows["GPU"] == {
        "name": "GPU", "state": "ok", "detail": "NVIDIA RTX 5090, 12.0", "advice": "", "needed": False,
    }  # fmt: skip
    assert rows["cmake"]["state"] == "ok"
    assert os.environ["PATH"] == f"{tmp_path}/bin"


def fresh(request: pytest.FixtureRequest) -> None:
    """Forget what this process found out about sandboxes, now and after the test."""
    for cached in (this_host, _tried):
        cached.cache_clear()
        request.addfinalizer(cached.cache_clear)


def test_doctor_says_why_there_can_be_no_sandbox_and_how_to_have_one(
    patchctl: Callable[..., Ran],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    program(tmp_path / "bin" / "bwrap", "echo 'bwrap: setting up uid map: Permission denied'; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    fresh(request)
    ran = patchctl("doctor", "--json", cwd=place)
    row = checks(ran)["sandbox"]
    assert (ran.code, row["state"], row["needed"]) == (0, "missing", False)
    assert str(row["detail"]).startswith("bwrap: setting up uid map: Permission denied")
    assert "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in str(row["advice"])


@needs_sandbox
def test_doctor_tries_the_sandbox_and_says_as_whom_code_runs(patchctl: Callable[..., Ran], place: Path) -> None:
    row = checks(patchctl("doctor", "--json", cwd=place))["sandbox"]
    assert row["state"] == "ok"
    assert str(row["detail"]).endswith("without account" if os.geteuid() == 0 else "user namespace")
