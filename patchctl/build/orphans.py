"""Compilers that a killed patchctl left behind: nothing may write into a build folder while the next run judges it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from patchctl.errors import Code, PatchctlError

PATIENCE = 120.0  # seconds; one compile of the largest file takes less


def wait_for_orphans(build: Path, patience: float = PATIENCE) -> float:
    """Wait until no process of an earlier, killed build works in ``build``; return the seconds waited.

    Raises PatchctlError (exit code 9) naming the process when ``patience`` seconds did not suffice.
    """
    start = time.monotonic()
    while left := _orphans(build):
        waited = time.monotonic() - start
        if waited > patience:
            raise PatchctlError(
                Code.ENVIRONMENT, f"process {left[0]} of a killed build still works in {build}; end it and build again"
            )
        time.sleep(0.05)
    return time.monotonic() - start


def _orphans(build: Path) -> list[int]:
    try:
        here = os.fspath(build.resolve())
        numbers = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    except OSError:
        return []
    return [number for number in numbers if number != os.getpid() and _is_orphan(number, here)]


def _is_orphan(number: int, here: str) -> bool:
    try:
        folder = Path(f"/proc/{number}/cwd").readlink()
        if str(folder) != here:
            return False
        # Builds run in a session of their own, which Ninja or CMake leads; a person's shell standing here does not.
        leader = os.getsid(number)
        command = Path(f"/proc/{leader}/comm")
        return not command.exists() or command.read_text(encoding="utf-8").strip() in {"ninja", "cmake", "ninja-build"}
    except (OSError, ProcessLookupError):
        return False
