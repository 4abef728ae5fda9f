"""The machine that tests run on: part of a result's key, and the reason why some cannot run."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from patchctl.process import output

ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


@dataclass(frozen=True)
class Gpu:
    """One GPU: its name, its compute capability (``12.0``)."""

    name: str
    capability: str


@dataclass(frozen=True)
class Hardware:
    """What a result depends on: the kind of machine, its processor, its GPUs."""

    machine: str
    processor: str
    gpus: tuple[Gpu, ...]

    def key(self) -> list[str]:
        """Return the part of a test key that stands for this machine."""
        return [self.machine, self.processor, *(f"{gpu.name} {gpu.capability}" for gpu in self.gpus)]


def detect() -> Hardware:
    """Return the hardware of this machine; GPUs as ``nvidia-smi`` lists them, none without it."""
    return Hardware(platform.machine(), _processor(), _gpus())


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else platform.processor()


def _gpus() -> tuple[Gpu, ...]:
    listed = output(["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"], timeout=10)
    rows = [line.rsplit(",", 1) for line in (listed or "").splitlines() if "," in line]
    return tuple(Gpu(name.strip(), capability.strip()) for name, capability in rows)


def cannot_run(architectures: tuple[str, ...], hardware: Hardware) -> str | None:
    """Return why binaries with code for these GPU architectures prove nothing on this machine, or None.

    Without a GPU that fits, a server falls back to the processor, and would pass untested.
    """
    if not architectures or any(_runs(name, gpu.capability) for name in architectures for gpu in hardware.gpus):
        return None
    has = ", ".join(f"{gpu.name} ({gpu.capability})" for gpu in hardware.gpus) or "no GPU"
    return f"built for {', '.join(architectures)}; this machine has {has}"


def _runs(architecture: str, capability: str) -> bool:
    """Machine code runs on its own major version from its minor on, PTX on all later ones, an ``a`` on its own."""
    found, device = ARCHITECTURE.fullmatch(architecture), re.fullmatch(r"(\d+)\.(\d+)", capability)
    if found is None or device is None:
        return False
    made_for, has = (int(found[2]), int(found[3])), (int(device[1]), int(device[2]))
    if found[4] == "a":
        return made_for == has
    return made_for <= has and (made_for[0] == has[0] or (found[1] == "compute" and not found[4]))
