"""Where the CUDA libraries lie that ggml links and that a toolkit may lack: cuBLAS and the driver's stub.

CMake finds those of a complete toolkit by itself. Otherwise they are looked for in the folders of
``PATCHCTL_CUDA_LIBRARIES``, in NVIDIA's wheels in the running Python, and where the driver is installed.
"""

from __future__ import annotations

import os
import re
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build.recipe import falsy, needs_cuda
from patchctl.errors import Code, PatchctlError
from patchctl.files import cache_folder, disk_errors, write_atomic
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from patchctl.build.toolchain import Tool, Toolchain

FOLDERS = "PATCHCTL_CUDA_LIBRARIES"
CUBLAS, CUBLAS_LT, DRIVER = "cublas", "cublasLt", "cuda"
VARIABLE = {CUBLAS: "CUDA_cublas_LIBRARY", CUBLAS_LT: "CUDA_cublasLt_LIBRARY", DRIVER: "CUDA_cuda_driver_LIBRARY"}
HEADERS = "CMAKE_CUDA_STANDARD_INCLUDE_DIRECTORIES"
SYSTEM = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
)
FUNCTION = re.compile(rb"\b(cu[A-Z]\w*)\b")


@dataclass(frozen=True)
class CudaLibraries:
    """What was found: CMake settings for what CMake would miss, folders for the run path, what is nowhere."""

    settings: dict[str, str] = field(default_factory=dict)
    run_paths: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    places: dict[str, Path] = field(default_factory=dict)


def toolkit_root(nvcc: Tool) -> Path:
    """Return the toolkit's folder, through the wrapper script that nvcc may be."""
    real = nvcc.path.resolve()
    if nvcc.script:
        named = re.findall(rb"/[\w./+-]+/nvcc", real.read_bytes())
        real = Path(os.fsdecode(named[-1])).resolve() if named else real
    return real.parent.parent


def find_libraries(toolchain: Toolchain) -> CudaLibraries:
    """Return where cuBLAS and the driver's stub are, and what is missing; makes a stub where there is no driver."""
    if toolchain.nvcc is None:
        return CudaLibraries(missing=(CUBLAS, CUBLAS_LT, DRIVER))
    root = toolkit_root(toolchain.nvcc)
    own = _own_folders(root)
    places: dict[str, Path] = {}
    settings: dict[str, str] = {}
    for name, variable in VARIABLE.items():
        found = _find(name, own, linkable=True)
        if found is None:
            found = _find(name, _other_folders(), linkable=False) or (
                _stub(root, toolchain) if name == DRIVER else None
            )
            if found is not None:
                settings[variable] = str(found)
        if found is not None:
            places[name] = found
    settings |= _headers(root, places)
    run_paths = [str(root / "lib64"), *(str(places[name].parent) for name in (CUBLAS,) if name in places)]
    return CudaLibraries(
        settings, tuple(dict.fromkeys(run_paths)), tuple(sorted(VARIABLE.keys() - places.keys())), places
    )


def _own_folders(root: Path) -> list[Path]:
    parts = ("lib64", "lib", "lib64/stubs", "lib/stubs", "targets/x86_64-linux/lib", "targets/x86_64-linux/lib/stubs")
    return [root / part for part in parts]


def _other_folders() -> list[Path]:
    given = [Path(part) for part in os.environ.get(FOLDERS, "").split(os.pathsep) if part]
    wheels = Path(sysconfig.get_path("purelib")) / "nvidia"
    return [*given, *sorted(wheels.glob("*/lib"), reverse=True), *map(Path, SYSTEM)]


def _find(name: str, folders: Iterable[Path], *, linkable: bool) -> Path | None:
    """Return the library; ``linkable`` takes only ``lib<name>.so``, as CMake's own search does."""
    for folder in folders:
        exact = folder / f"lib{name}.so"
        if exact.exists():
            return exact
        versions = [] if linkable else sorted(folder.glob(f"lib{name}.so.*"), key=lambda path: len(path.name))
        if versions:
            return versions[0]
    return None


def _headers(root: Path, places: dict[str, Path]) -> dict[str, str]:
    """Return where cuBLAS's headers are when the toolkit has none: its wheel brings them."""
    if CUBLAS not in places or any(
        (root / part / "cublas_v2.h").exists() for part in ("include", "targets/x86_64-linux/include")
    ):
        return {}
    beside = places[CUBLAS].parent.parent / "include"
    return {HEADERS: str(beside)} if (beside / "cublas_v2.h").exists() else {}


def _stub(root: Path, toolchain: Toolchain) -> Path | None:
    """Make and return a library with the driver's names that does nothing: enough to link, never loaded."""
    header = root / "include" / "cuda.h"
    if toolchain.cc is None or not header.exists():
        return None
    names = sorted({match.decode() for match in FUNCTION.findall(header.read_bytes())})
    code = "".join(f"int {name}(void) {{ return 999; }}\n" for name in names)
    library = cache_folder() / "stubs" / digest("stub", code, toolchain.cc.stamp)[:16] / "libcuda.so"
    if library.exists():
        return library
    source = library.with_name(f"stub-{os.getpid()}.c")
    made = source.with_suffix(".so")
    with disk_errors():
        write_atomic(source, code.encode())
        done = process.output(
            [toolchain.cc.path, "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", source, "-o", made]
        )
        source.unlink()
        if done is None:
            return None
        # The name that other libraries ask for: the linker follows it when it checks their symbols.
        alias = library.with_name("libcuda.so.1")
        if not alias.is_symlink():
            alias.symlink_to(library.name)
        made.replace(library)
    return library


def unavailable(variant: str, settings: Mapping[str, str], toolchain: Toolchain) -> str | None:
    """Return why ``variant`` cannot be built here and what to do, or None when it can."""
    missing = toolchain.missing(cuda=needs_cuda(settings))
    if not missing and not falsy(settings.get("GGML_CUDA", "")) and VARIABLE[CUBLAS] not in settings:
        missing = ["cuBLAS"] if CUBLAS in find_libraries(toolchain).missing else []
    if not missing:
        return None
    return f"variant {variant} needs {', '.join(missing)}; patchctl doctor says how to get it"


def require(variant: str, settings: Mapping[str, str], toolchain: Toolchain) -> None:
    """Raise PatchctlError (exit code 9) when ``variant`` cannot be built here."""
    reason = unavailable(variant, settings, toolchain)
    if reason:
        raise PatchctlError(Code.ENVIRONMENT, reason)


def wheel(nvcc: Tool | None) -> str:
    """Return the words that install the cuBLAS that fits the toolkit."""
    number = nvcc.number if nvcc else ()
    major = number[0] if number else 13
    if major < 13:
        return f"pip install nvidia-cublas-cu{major}"
    return f"pip install 'nvidia-cublas=={major}.{number[1] if len(number) > 1 else 0}.*'"


def advice(said: str, nvcc: Tool | None) -> str:
    """Return what to do about a configure or compile that failed for lack of a CUDA library, or nothing."""
    if "CUDA::cublas" in said or "cublas_v2.h" in said:
        return (
            f"The CUDA toolkit has no cuBLAS: {wheel(nvcc)} (patchctl finds it there), or name the folder that holds "
            f"libcublas.so* and libcublasLt.so* in {FOLDERS}; by hand: -D{VARIABLE[CUBLAS]}=FILE "
            f"-D{VARIABLE[CUBLAS_LT]}=FILE -D{HEADERS}=FOLDER"
        )
    if "CUDA::cuda_driver" in said:
        return (
            f"The CUDA toolkit has no driver stub: name a folder with libcuda.so in {FOLDERS} (by hand: "
            f"-D{VARIABLE[DRIVER]}=FILE), or set GGML_CUDA_NO_VMM: true in the variant's cmake"
        )
    return ""
