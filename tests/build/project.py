"""A small real CMake project as data, and what the tests do with it."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

from patchctl.build.toolchain import find_toolchain
from patchctl.build.variant import Built, Job, build_variant
from patchctl.ledger import Ledger
from patchctl.manifest.model import Build, Variant
from patchctl.series.source import AppliedPatch, Source

if TYPE_CHECKING:
    from pathlib import Path

    from patchctl.build.progress import Progress

Files = dict[str, str]

MINI: Files = {
    "CMakeLists.txt": """\
cmake_minimum_required(VERSION 3.20)
project(mini C CXX)
option(SHOUT "shout" OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/out)
file(GLOB PARTS parts/*.cpp)
configure_file(info.c.in info.c)
add_library(deep SHARED deep.c)
add_library(greet SHARED greet.cpp ${PARTS})
set_target_properties(greet PROPERTIES VERSION 1.2 SOVERSION 1)
target_link_libraries(greet PRIVATE deep)
target_include_directories(greet PUBLIC include)
if (SHOUT)
  target_compile_definitions(greet PRIVATE SHOUT)
endif()
add_library(plug MODULE plug.c)
add_executable(hello hello.cpp ${CMAKE_BINARY_DIR}/info.c)
target_link_libraries(hello PRIVATE greet)
add_dependencies(hello plug)
add_executable(other other.c)
""",
    "info.c.in": 'const char *info(void) { return "@LLAMA_BUILD_NUMBER@ @LLAMA_BUILD_COMMIT@"; }\n',
    "deep.c": "int deep(void) { return 40; }\n",
    "include/greet.h": "#pragma once\n#define EXTRA 2\nint greet();\nint parts();\n",
    "greet.cpp": """\
#include "greet.h"
extern "C" int deep(void);
int greet() {
#ifdef SHOUT
    return 1000;
#endif
    return deep() + EXTRA + parts();
}
""",
    "parts/one.cpp": "int one() { return 0; }\nint parts() { return one(); }\n",
    "plug.c": "int plug(void) { return 7; }\n",
    "hello.cpp": """\
#include <cstdio>
#include "greet.h"
extern "C" const char *info(void);
int main() { std::printf("%d %s\\n", greet(), info()); }
""",
    "other.c": "int main(void) { return 0; }\n",
    "tools/convert.py": "print('converted')\n",
    "tools/deep/more.py": "more = 1\n",
}


def place(src: Path, files: Files) -> None:
    """Make ``src`` hold exactly ``files`` as a checkout does: only what differs is written, in new files."""
    for path in [path for path in src.rglob("*") if path.is_file() and path.relative_to(src).as_posix() not in files]:
        path.unlink()
    for name, text in files.items():
        path = src / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(path.name + ".new")
            beside.write_text(text)
            beside.replace(path)


def source(files: Files, *, touched: tuple[str, ...] = (), release: str = "b12") -> Source:
    tree = hashlib.sha256("\0".join(sorted(f"{name}\0{text}" for name, text in files.items())).encode()).hexdigest()[
        :40
    ]
    patch = AppliedPatch(id="fix", revision="b12.patch", sha256="5" * 64, outcome="clean")
    return Source("https://example.org/mini", "a" * 40, 12, "c" * 40, tree, release, (patch,), touched)


def stack_build(**settings: bool | str) -> Build:
    variants = {"cpu": Variant(), "loud": Variant(cmake={"SHOUT": True})}
    # GGML_NATIVE is off so that keys do not depend on the processor; -O0 because nobody runs this for long.
    cmake = {"GGML_NATIVE": False, "CMAKE_CXX_FLAGS_RELEASE": "-O0", **settings}
    return Build(targets=["hello"], files=["tools/"], cmake=cmake, variants=variants)


class Bench:
    """One slot, one workspace and one ledger in a folder of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ledger = Ledger(root / "ledger.sqlite")
        self.seen: list[Progress] = []

    def job(self, files: Files, *, variant: str = "cpu", touched: tuple[str, ...] = (), **changes: object) -> Job:
        given: dict[str, object] = {
            "source": source(files, touched=touched),
            "build": stack_build(),
            "variant": variant,
            "slot": self.root / "slot",
            "out": self.root / "out",
            "logs": self.root / "logs",
            "toolchain": find_toolchain(self.ledger),
            "jobs": 2,
        }
        return Job(**{**given, **changes})  # type: ignore[arg-type]

    def build(self, files: Files, **changes: object) -> Built:
        job = self.job(files, **changes)  # type: ignore[arg-type]
        place(job.src, files)
        self.seen.clear()
        return build_variant(job, self.ledger, self.seen.append)

    def steps(self) -> list[str]:
        return list(dict.fromkeys(progress.step for progress in self.seen))

    def compiled(self, step: str = "compile") -> int:
        return max((progress.done for progress in self.seen if progress.step == step), default=0)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Return what is installed: bytes of files, targets of links; the info file's durations differ and are left out."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = str(path.readlink())
        elif path.is_file() and path.name != "build-info.json":
            found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def objects(folder: Path) -> dict[str, bytes]:
    """Return the object files of a build folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.o"))}


def program(path: Path, text: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
