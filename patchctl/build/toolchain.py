"""The compilers and build tools of this machine, and what they are."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build.recipe import falsy
from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from patchctl.ledger import Ledger

# The line of `--version` that tells two of the same program apart.
VERSION_LINE = {"nvcc": re.compile(r"^Cuda compilation tools.*$", re.MULTILINE)}
FIRST_LINE = re.compile(r"^.*\S.*$", re.MULTILINE)
VERSION = re.compile(r"\d+(?:\.\d+)+")
# A wrapper script is small; what it starts is named in it by an absolute path.
SCRIPT_LIMIT = 16384
NAMED_PATH = re.compile(rb"/[\w./+-]+")


@dataclass(frozen=True)
class Tool:
    """One program: its path, the line it says about its version, and a digest of the files that make it."""

    name: str
    path: Path
    version: str
    stamp: str
    script: bool = False

    @property
    def number(self) -> tuple[int, ...]:
        """Return the version as numbers, ``(12, 2, 0)``; empty when its line holds none."""
        found = VERSION.findall(self.version)
        return tuple(map(int, found[-1].split("."))) if found else ()


@dataclass(frozen=True)
class Toolchain:
    """What was found here; a tool that is not here is None."""

    cc: Tool | None
    cxx: Tool | None
    nvcc: Tool | None
    ccache: Tool | None
    cmake: Tool | None
    ninja: Tool | None
    true: Path = Path("/bin/true")

    def identity(self, *, cuda: bool, native: bool) -> dict[str, str]:
        """Return what here can change the bytes of a build: compilers, toolkit, processor where it counts."""
        tools = (self.cc, self.cxx, self.nvcc if cuda else None)
        known = {tool.name: tool.version for tool in tools if tool is not None}
        known["machine"] = platform.machine()
        if native:
            known["processor"] = _processor()
        return known

    def missing(self, *, cuda: bool) -> list[str]:
        """Return the names of the tools that a build needs and that are not here."""
        wanted = {"a C compiler": self.cc, "a C++ compiler": self.cxx, "cmake": self.cmake, "ninja": self.ninja}
        if cuda:
            wanted["nvcc"] = self.nvcc
        return [name for name, tool in wanted.items() if tool is None]


def find_toolchain(ledger: Ledger) -> Toolchain:
    """Return the tools of this machine; starts no process for one that was asked before and has not changed."""
    return Toolchain(
        cc=_first("cc", [os.environ.get("CC"), "cc", "gcc", "clang"], ledger),
        cxx=_first("cxx", [os.environ.get("CXX"), "c++", "g++", "clang++"], ledger),
        nvcc=_first("nvcc", [os.environ.get("CUDACXX"), "nvcc", *_toolkit_folders()], ledger),
        ccache=_first("ccache", ["ccache"], ledger),
        cmake=_first("cmake", [_wheel("cmake"), "cmake"], ledger),
        ninja=_first("ninja", [_wheel("ninja"), "ninja", "ninja-build"], ledger),
        true=Path(shutil.which("true") or "/bin/true"),
    )


def is_native(settings: Mapping[str, str]) -> bool:
    """Return whether the binaries are made for this very processor: ggml's default unless switched off."""
    return not falsy(settings.get("GGML_NATIVE", "ON"))


def _toolkit_folders() -> list[str]:
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    return [f"{home}/bin/nvcc" for home in homes if home]


def _wheel(name: str) -> str | None:
    """Return the program of the running Python's wheel: the real one, not the script that starts Python first."""
    spec = importlib.util.find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    places = [Path(folder) / "data" / "bin" / name for folder in folders]
    if folders:
        places.append(Path(sysconfig.get_path("scripts")) / name)
    return next((str(place) for place in places if place.is_file()), None)


def _first(name: str, candidates: Iterable[str | None], ledger: Ledger) -> Tool | None:
    for candidate in filter(None, candidates):
        found = shutil.which(candidate)
        tool = _tool(name, Path(found), ledger) if found else None
        if tool is not None:
            return tool
    return None


def _tool(name: str, path: Path, ledger: Ledger) -> Tool | None:
    stamp, script = _stamp(path)
    version = ledger.get("tool", stamp)
    if version is None:
        said = process.output([path, "--version"])
        if said is None:
            return None
        found = VERSION_LINE.get(name, FIRST_LINE).search(said)
        version = found.group().strip() if found else "unknown"
        ledger.put("tool", stamp, version)
    return Tool(name, path, version, stamp, script)


def _stamp(path: Path) -> tuple[str, bool]:
    """Return a digest of (path, time, size) of the program and of what it starts if it is a script."""
    files = [path.resolve()]
    head = _script(files[0])
    files += [Path(os.fsdecode(word)) for word in NAMED_PATH.findall(head)]
    return digest("tool", str(path), [_facts(file) for file in files]), bool(head)


def _script(path: Path) -> bytes:
    if path.stat().st_size > SCRIPT_LIMIT:
        return b""
    content = path.read_bytes()
    return content if content.startswith(b"#!") else b""


def _facts(path: Path) -> tuple[str, int, int]:
    try:
        facts = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), facts.st_mtime_ns, facts.st_size


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    telling = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    return digest(sorted({line for line in lines if line.startswith(telling)}))[:16]
