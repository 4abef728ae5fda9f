"""What this machine has of what builds need, and how to get the rest."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build.cuda import CUBLAS, DRIVER, FOLDERS, CudaLibraries, find_libraries, wheel
from patchctl.build.toolchain import Tool, Toolchain, find_toolchain
from patchctl.build.variant import find_cuobjdump
from patchctl.files import cache_folder
from patchctl.git import MINIMUM, version
from patchctl.sandbox import this_host, why_not

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from patchctl.ledger import Ledger

OK, OLD, MISSING, LOW = "ok", "old", "missing", "low"
CMAKE_MINIMUM, NINJA_MINIMUM, CUDA_MINIMUM, BLACKWELL = (3, 20), (1, 11), (11, 8), (12, 8)
SPACE = 20 << 30  # bytes: a checkout, two build folders and a ccache of llama.cpp with CUDA
MODULES = "or load your site's module"


@dataclass(frozen=True)
class Check:
    """One thing looked at: its name, state (ok, old, missing, low), what was found, how to get it, who needs it."""

    name: str
    state: str
    detail: str
    advice: str = ""
    needed: bool = True


def examine(ledger: Ledger, *, cuda: bool, blackwell: bool = False) -> list[Check]:
    """Return every check; those only CUDA variants need are ``needed`` when ``cuda``, 120a when ``blackwell``."""
    toolchain = find_toolchain(ledger)
    libraries = find_libraries(toolchain)
    return [
        _git(),
        *_host(toolchain),
        _nvcc(toolchain.nvcc, cuda=cuda, blackwell=blackwell),
        *_libraries(libraries, toolchain.nvcc, cuda=cuda),
        _gpu(),
        _cuobjdump(toolchain),
        _sandbox(),
        *_cache(cache_folder()),
    ]


def unmet(checks: Sequence[Check]) -> list[Check]:
    """Return the checks that failed and that are needed."""
    return [check for check in checks if check.needed and check.state != OK]


def _git() -> Check:
    advice = "apt install git, conda install git, " + MODULES
    number = version()
    if number is None:
        return Check("git", MISSING, "not installed", advice)
    state = OK if number[:2] >= MINIMUM else OLD
    shown = f"git version {'.'.join(map(str, number))}"
    return Check("git", state, shown, "" if state == OK else f"2.38 or newer is needed: {advice}")


def _host(toolchain: Toolchain) -> list[Check]:
    compiler = "apt install g++, dnf install gcc-c++, conda install cxx-compiler, " + MODULES
    return [
        _tool("C compiler", toolchain.cc, compiler),
        _tool("C++ compiler", toolchain.cxx, compiler),
        _tool("cmake", toolchain.cmake, "pip install cmake", CMAKE_MINIMUM),
        _tool("ninja", toolchain.ninja, "pip install ninja", NINJA_MINIMUM),
        _tool(
            "ccache",
            toolchain.ccache,
            "apt install ccache, conda install ccache (builds repeat in seconds)",
            needed=False,
        ),
    ]


def _tool(name: str, tool: Tool | None, advice: str, minimum: tuple[int, ...] = (), *, needed: bool = True) -> Check:
    if tool is None:
        return Check(name, MISSING, "not found", advice, needed)
    if tool.number < minimum:
        return Check(
            name, OLD, f"{tool.version} ({tool.path})", f"{_dotted(minimum)} or newer is needed: {advice}", needed
        )
    return Check(name, OK, f"{tool.version} ({tool.path})", "", needed)


def _dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))


def _nvcc(tool: Tool | None, *, cuda: bool, blackwell: bool) -> Check:
    advice = (
        "install the CUDA toolkit (developer.nvidia.com/cuda-downloads, conda install cuda-toolkit -c nvidia, "
        f"{MODULES}) and put nvcc on PATH or name it in CUDACXX; sm_120 needs 12.8"
    )
    return _tool("nvcc", tool, advice, BLACKWELL if blackwell else CUDA_MINIMUM, needed=cuda)


def _libraries(libraries: CudaLibraries, nvcc: Tool | None, *, cuda: bool) -> list[Check]:
    rows = (
        ("cuBLAS", CUBLAS, f"{wheel(nvcc)}, or name its folder in {FOLDERS}"),
        (
            "driver stub",
            DRIVER,
            f"name a folder with libcuda.so in {FOLDERS}, or set GGML_CUDA_NO_VMM: true in the variant",
        ),
    )
    return [_library(title, libraries.places.get(name), advice, cuda=cuda) for title, name, advice in rows]


def _library(title: str, place: Path | None, advice: str, *, cuda: bool) -> Check:
    if place is None:
        return Check(title, MISSING, "not found", advice, cuda)
    return Check(title, OK, str(place), "", cuda)


def _gpu() -> Check:
    said = process.output(["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    cards = [line.strip() for line in (said or "").splitlines() if line.strip()]
    if not cards:
        return Check(
            "GPU", MISSING, "nvidia-smi lists none; CUDA variants are built but stay unproven", "", needed=False
        )
    return Check("GPU", OK, "; ".join(cards), "", needed=False)


def _cuobjdump(toolchain: Toolchain) -> Check:
    place = find_cuobjdump(toolchain)
    if place is None:
        detail = "not found; patchctl reads the architectures itself"
        return Check("cuobjdump", MISSING, detail, "pip install nvidia-cuda-cuobjdump", needed=False)
    return Check("cuobjdump", OK, str(place), "", needed=False)


def _sandbox() -> Check:
    """Return what came of making a sandbox and trying its walls."""
    why = why_not()
    if why:
        what, _, advice = why.partition("; ")
        return Check("sandbox", MISSING, f"{what}; nothing runs unattended here", advice, needed=False)
    user = "a user without account" if this_host().root else "you, in a user namespace"
    return Check("sandbox", OK, f"bubblewrap, tried: no network, no home, bounded; code runs as {user}", needed=False)


def _cache(folder: Path) -> list[Check]:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    elsewhere = "set PATCHCTL_CACHE to a folder on another disk"
    return [
        Check("cache folder", OK if writable else MISSING, f"{folder}{'' if writable else ' cannot be written'}",
              "" if writable else elsewhere),
        Check("disk space", OK if free >= SPACE else LOW, f"{free / (1 << 30):.0f} GiB free in {folder}",
              "" if free >= SPACE else f"llama.cpp with CUDA takes 20 GiB: free some, or {elsewhere}", needed=False),
    ]  # fmt: skip
