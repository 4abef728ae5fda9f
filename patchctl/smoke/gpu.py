"""What the GPUs of this machine spend while something runs: memory and energy, where the driver tells."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAUSE = 0.05  # seconds between two looks


@dataclass
class Spent:
    """What all GPUs together spent: the peak of memory above what was in use before, in MiB; energy in joules.

    ``joules`` is None where the driver tells neither energy nor power; it counts what the GPUs use idle, too.
    """

    memory_mib: int = 0
    joules: float | None = None
    seconds: float = 0.0


@contextlib.contextmanager
def metered() -> Iterator[Spent | None]:
    """Measure until the block ends, and fill in what is given; None without a GPU or without ``nvidia-ml-py``."""
    nvml = _library()
    if nvml is None:
        yield None
        return
    try:
        devices = [nvml.nvmlDeviceGetHandleByIndex(at) for at in range(nvml.nvmlDeviceGetCount())]
        with _sampled(nvml, devices) as spent:
            yield spent
    finally:
        nvml.nvmlShutdown()


def _library() -> Any | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


@contextlib.contextmanager
def _sampled(nvml: Any, devices: Sequence[Any]) -> Iterator[Spent]:
    spent, done = Spent(), threading.Event()
    before, energy, start = _memory(nvml, devices), _energy(nvml, devices), time.monotonic()
    watts: list[float] = []

    def look() -> None:
        while True:
            spent.memory_mib = max(spent.memory_mib, (_memory(nvml, devices) - before) // 2**20)
            if energy is None:
                watts.extend(_power(nvml, devices))
            if done.wait(PAUSE):
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield spent
    finally:
        done.set()
        thread.join()
        spent.seconds = time.monotonic() - start
        after = _energy(nvml, devices)
        if energy is not None and after is not None:
            spent.joules = after - energy
        elif watts:
            spent.joules = sum(watts) / len(watts) * spent.seconds


def _memory(nvml: Any, devices: Sequence[Any]) -> int:
    """Return the bytes in use on all devices; a device that does not tell counts nothing."""
    total = 0
    for device in devices:
        with contextlib.suppress(nvml.NVMLError):
            total += int(nvml.nvmlDeviceGetMemoryInfo(device).used)
    return total


def _energy(nvml: Any, devices: Sequence[Any]) -> float | None:
    """Return the joules that all devices have used since the driver was loaded, None when one does not tell."""
    try:
        used = [float(nvml.nvmlDeviceGetTotalEnergyConsumption(device)) for device in devices]
    except nvml.NVMLError:
        return None
    return sum(used) / 1000  # the driver counts millijoules


def _power(nvml: Any, devices: Sequence[Any]) -> list[float]:
    """Return the watts that all devices draw now as one number, none when one does not tell."""
    try:
        return [sum(nvml.nvmlDeviceGetPowerUsage(device) for device in devices) / 1000]
    except nvml.NVMLError:
        return []
