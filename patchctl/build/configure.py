"""Runs CMake."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from patchctl import process
from patchctl.build import fileapi
from patchctl.build.cuda import advice
from patchctl.build.diagnosis import cmake_fault, environment_error
from patchctl.errors import Code, PatchctlError
from patchctl.sandbox import wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from patchctl.build.toolchain import Tool, Toolchain
    from patchctl.sandbox import Sandbox

NVCC_SAID = re.compile(r"nvcc fatal\s*:\s*(.+)")


def configure(
    toolchain: Toolchain,
    *,
    source: Path,
    build: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    sandbox: Sandbox | None = None,
) -> float:
    """Configure ``build`` for ``source``, in the ``sandbox`` if there is one, and return the seconds it took.

    Raises PatchctlError: exit code 5 with CMake's first error and the log, 9 without CMake or with a full disk.
    """
    fileapi.ask(build)
    log.unlink(missing_ok=True)
    command = [_path(toolchain.cmake, "cmake"), "-G", "Ninja", "-S", source, "-B", build, *arguments]
    command = wrapped(sandbox, command, env=environment, cwd=build)
    done = process.run(command, log=log, cwd=build, env=environment)
    if done.status != 0:
        raise _failure(log, toolchain)
    return done.seconds


def _path(tool: Tool | None, name: str) -> Path | str:
    return tool.path if tool is not None else name


def _failure(log: Path, toolchain: Toolchain) -> PatchctlError:
    said = log.read_text(encoding="utf-8", errors="replace")
    blocked = environment_error(said, log)
    if blocked:
        return blocked
    fault = cmake_fault(said)
    reason = NVCC_SAID.search(said)
    text = f"nvcc: {reason[1].strip()}" if reason else fault.text
    place = f"{fault.place}: " if fault.place else ""
    hint = advice(said, toolchain.nvcc)
    return PatchctlError(Code.BUILD, "\n".join(filter(None, (f"configure failed: {place}{text}", hint, f"Log: {log}"))))
