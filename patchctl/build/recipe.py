"""How a variant is built, as values: settings, arguments, key. Pure: nothing here looks at the machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl.ledger import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from patchctl.build.toolchain import Toolchain
    from patchctl.manifest.model import Build, CMakeValue
    from patchctl.series.source import Source

# Raise it whenever the same settings would give other bytes: it is part of every build key.
RECIPE_VERSION = 1

FALSE = re.compile(r"(0|OFF|NO|N|FALSE|IGNORE|NOTFOUND|.*-NOTFOUND|)", re.IGNORECASE)

DEFAULTS = {"CMAKE_BUILD_TYPE": "Release"}
ALWAYS = {
    "CMAKE_EXPORT_COMPILE_COMMANDS": "ON",
    # Binaries that find their libraries wherever the folder is moved.
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "CMAKE_INSTALL_RPATH": "$ORIGIN;$ORIGIN/../lib",
    # ggml's own wiring of ccache steps aside for C and C++ only, not for CUDA.
    "GGML_CCACHE": "OFF",
}
IDENTITY = ("LLAMA_BUILD_NUMBER", "LLAMA_BUILD_COMMIT")
# Flags from the environment would change binaries without changing the key; settings belong in the stack.
UNSET = frozenset(
    (
        "CFLAGS",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "CUDAFLAGS",
        "NVCC_PREPEND_FLAGS",
        "NVCC_APPEND_FLAGS",
        "MAKEFLAGS",
        "NINJAFLAGS",
        "DESTDIR",
        "CMAKE_GENERATOR",
        "CMAKE_BUILD_TYPE",
        "CMAKE_TOOLCHAIN_FILE",
        "CMAKE_COLOR_DIAGNOSTICS",
        "CMAKE_BUILD_PARALLEL_LEVEL",
        "CMAKE_CONFIG_TYPE",
        "CMAKE_INSTALL_PREFIX",
        "CMAKE_C_COMPILER_LAUNCHER",
        "CMAKE_CXX_COMPILER_LAUNCHER",
        "CMAKE_CUDA_COMPILER_LAUNCHER",
        "CMAKE_C_LINKER_LAUNCHER",
        "CMAKE_CXX_LINKER_LAUNCHER",
        "CLICOLOR_FORCE",
        "GCC_COLORS",
    )
)


def canonical(value: CMakeValue) -> str:
    """Return a setting as CMake reads it: ON and OFF for booleans, plain text for the rest."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    return str(value)


def falsy(value: str) -> bool:
    """Return whether CMake takes ``value`` as false."""
    return FALSE.fullmatch(value.strip()) is not None


def needs_cuda(settings: Mapping[str, str]) -> bool:
    """Return whether these settings ask for CUDA code."""
    return any(not falsy(settings.get(name, "")) for name in ("GGML_CUDA", "CMAKE_CUDA_ARCHITECTURES"))


def configuration(build: Build, variant: str) -> dict[str, str]:
    """Return the canonical settings of one variant: the same on every machine and for every tree."""
    given = {**build.cmake, **build.variants[variant].cmake}
    merged = DEFAULTS | ALWAYS | {name: canonical(value) for name, value in given.items()}
    return dict(sorted(merged.items()))


def identity_settings(source: Source) -> dict[str, str]:
    """Return the settings by which a binary says which tree it was built from."""
    return dict(zip(IDENTITY, (str(source.build_number), source.identity), strict=True))


def machine_settings(toolchain: Toolchain, *, cuda: bool) -> dict[str, str]:
    """Return where the tools of this machine lie; the stack's own settings win over them, and they are in no key."""
    languages = {"C": toolchain.cc, "CXX": toolchain.cxx, "CUDA": toolchain.nvcc if cuda else None}
    used = {name: tool for name, tool in languages.items() if tool is not None}
    settings = {f"CMAKE_{name}_COMPILER": str(tool.path) for name, tool in used.items()}
    # ggml asks git for a commit and puts it on every compile line; a moved HEAD would rebuild them.
    settings["GIT_EXE"] = str(toolchain.true)
    if toolchain.ninja is not None:
        settings["CMAKE_MAKE_PROGRAM"] = str(toolchain.ninja.path)
    if toolchain.ccache is not None:
        settings |= {f"CMAKE_{name}_COMPILER_LAUNCHER": str(toolchain.ccache.path) for name in ("C", "CXX", "CUDA")}
    return settings


def build_key(
    source: Source,
    settings: Mapping[str, str],
    identity: Mapping[str, str],
    targets: Iterable[str],
    files: Iterable[str],
) -> str:
    """Return the key of a build: tree, who it says it is, canonical settings, compilers, recipe, what is installed."""
    return digest(
        "build",
        RECIPE_VERSION,
        source.tree,
        identity_settings(source),
        dict(settings),
        dict(identity),
        sorted(set(targets)),
        sorted(set(files)),
    )


def arguments(*groups: Mapping[str, str]) -> list[str]:
    """Return the ``-D`` words of the settings, sorted; a later group wins."""
    merged: dict[str, str] = {}
    for group in groups:
        merged.update(group)
    return [f"-D{name}={value}" for name, value in sorted(merged.items())]


def environment(
    inherited: Mapping[str, str], slot: Path, toolchain: Toolchain, *, direct: bool = True
) -> dict[str, str]:
    """Return the environment of CMake and Ninja: no stray flags, English messages, ccache hitting across slots.

    ``direct`` False makes ccache preprocess every file, for trees where a new header may hide another.
    """
    kept = {name: value for name, value in inherited.items() if name not in UNSET}
    kept |= {"LC_ALL": "C.UTF-8", "CCACHE_BASEDIR": str(slot), "CCACHE_NOHASHDIR": "1"}
    compilers = [tool for tool in (toolchain.cc, toolchain.cxx, toolchain.nvcc) if tool is not None]
    if any(tool.script for tool in compilers):
        # ccache looks at time and size of a wrapper script, which say nothing about the compiler it starts.
        kept["CCACHE_COMPILERCHECK"] = f"string:{digest([tool.stamp for tool in compilers])}"
    if not direct:
        kept["CCACHE_NODIRECT"] = "1"
    return kept
