"""Where CUDA libraries are found, and what is said when they are not."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from patchctl.build import cuda
from patchctl.build.cuda import advice, find_libraries, unavailable
from patchctl.build.toolchain import Toolchain, find_toolchain
from patchctl.ledger import Ledger
from tests.build.project import program


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit without cuBLAS and driver stub, as NVIDIA's wheels give it."""
    root = tmp_path / "cuda-13.0"
    program(root / "bin" / "nvcc", "echo Cuda compilation tools, release 13.0, V13.0.88")
    (root / "include").mkdir()
    (root / "include" / "cuda.h").write_text(
        "#define cuMemAlloc cuMemAlloc_v2\nCUresult CUDAAPI cuMemAlloc(int);\nCUresult CUDAAPI cuDeviceGet(int);\n"
    )
    monkeypatch.setenv("CUDACXX", str(root / "bin" / "nvcc"))
    monkeypatch.setattr(cuda, "SYSTEM", ())
    return root


@pytest.fixture
def tools(toolkit: Path, tmp_path: Path) -> Toolchain:
    return find_toolchain(Ledger(tmp_path / "ledger.sqlite"))


def wheel(folder: Path) -> Path:
    for name in ("lib/libcublas.so.13", "lib/libcublasLt.so.13", "include/cublas_v2.h"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_wheels_cublas_is_named_to_cmake_with_its_headers(
    tools: Toolchain, toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = wheel(tmp_path / "cu13")
    monkeypatch.setenv("PATCHCTL_CUDA_LIBRARIES", f"{tmp_path}/empty{os.pathsep}{folder}/lib")
    found = find_libraries(tools)
    assert found.missing == ()
    assert found.settings["CUDA_cublas_LIBRARY"] == f"{folder}/lib/libcublas.so.13"
    assert found.settings["CUDA_cublasLt_LIBRARY"] == f"{folder}/lib/libcublasLt.so.13"
    assert found.settings["CMAKE_CUDA_STANDARD_INCLUDE_DIRECTORIES"] == f"{folder}/include"
    assert found.run_paths == (f"{toolkit}/lib64", f"{folder}/lib")
    assert unavailable("sm_89", {"GGML_CUDA": "ON"}, tools) is None


def test_a_complete_toolkit_needs_no_settings(tools: Toolchain, toolkit: Path) -> None:
    for name in ("lib64/libcublas.so", "lib64/libcublasLt.so", "lib64/stubs/libcuda.so", "include/cublas_v2.h"):
        (toolkit / name).parent.mkdir(parents=True, exist_ok=True)
        (toolkit / name).touch()
    found = find_libraries(tools)
    assert (found.settings, found.missing) == ({}, ())


def test_without_a_driver_a_stub_with_its_names_is_made_once(tools: Toolchain) -> None:
    found = find_libraries(tools)
    stub = Path(found.settings["CUDA_cuda_driver_LIBRARY"])
    names = subprocess.run(["nm", "-D", "--defined-only", stub], capture_output=True, text=True, check=True).stdout
    assert {"cuMemAlloc", "cuMemAlloc_v2", "cuDeviceGet"} <= set(names.split())
    made = stub.stat().st_mtime_ns
    assert find_libraries(tools).places["cuda"] == stub
    assert stub.stat().st_mtime_ns == made
    assert sorted(path.name for path in stub.parent.iterdir()) == ["libcuda.so", "libcuda.so.1"]


def test_a_variant_of_ggml_without_cublas_is_not_available(tools: Toolchain) -> None:
    assert find_libraries(tools).missing == ("cublas", "cublasLt")
    assert unavailable("sm_89", {"GGML_CUDA": "ON"}, tools) == (
        "variant sm_89 needs cuBLAS; patchctl doctor says how to get it"
    )
    assert unavailable("own", {"CMAKE_CUDA_ARCHITECTURES": "89"}, tools) is None
    assert unavailable("named", {"GGML_CUDA": "ON", "CUDA_cublas_LIBRARY": "/x"}, tools) is None


def test_without_nvcc_everything_is_missing(tools: Toolchain) -> None:
    assert find_libraries(replace(tools, nvcc=None)).missing == ("cublas", "cublasLt", "cuda")


def test_the_toolkit_is_found_behind_a_wrapper_script(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapper = program(tmp_path / "bin" / "nvcc", f'exec {toolkit}/bin/nvcc "$@"')
    monkeypatch.setenv("CUDACXX", str(wrapper))
    found = find_toolchain(Ledger(tmp_path / "other.sqlite"))
    assert found.nvcc is not None
    assert cuda.toolkit_root(found.nvcc) == toolkit


def test_advice_names_the_wheel_that_fits_and_the_settings(tools: Toolchain) -> None:
    said = advice('Target "ggml-cuda" links to:\n\n    CUDA::cublas\n\n  but the target was not found.', tools.nvcc)
    assert "pip install 'nvidia-cublas==13.0.*'" in said
    assert (
        "-DCUDA_cublas_LIBRARY=FILE -DCUDA_cublasLt_LIBRARY=FILE -DCMAKE_CUDA_STANDARD_INCLUDE_DIRECTORIES=FOLDER"
        in said
    )
    assert "GGML_CUDA_NO_VMM" in advice("CUDA::cuda_driver", tools.nvcc)
    assert "libcublas" in advice("fatal error: cublas_v2.h: No such file or directory", tools.nvcc)
    assert advice("something else", tools.nvcc) == ""
    assert tools.nvcc is not None
    assert cuda.wheel(replace(tools.nvcc, version="release 12.8, V12.8.61")) == "pip install nvidia-cublas-cu12"
