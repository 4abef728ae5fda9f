"""What GPUs spend: the arithmetic, with a driver that tells and ones that do not. The real driver: on a GPU machine."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import pytest

from patchctl.smoke.gpu import metered


class NVMLError(Exception):
    pass


def driver(**calls: Any) -> types.ModuleType:
    """Make a module with the part of NVML that is used: two devices, each drawing 100 W, each in use by 1 GiB."""
    made: Any = types.ModuleType("pynvml")
    start = time.monotonic()
    made.NVMLError = NVMLError
    made.ended = 0
    made.nvmlInit = lambda: None
    made.nvmlDeviceGetCount = lambda: 2
    made.nvmlDeviceGetHandleByIndex = lambda at: at
    made.nvmlDeviceGetMemoryInfo = lambda _: types.SimpleNamespace(used=2**30)
    made.nvmlDeviceGetTotalEnergyConsumption = lambda _: 7_000_000 + 100_000 * (time.monotonic() - start)
    made.nvmlDeviceGetPowerUsage = lambda _: 100_000
    made.nvmlShutdown = lambda: setattr(made, "ended", made.ended + 1)
    for name, call in calls.items():
        setattr(made, name, call)
    return made


def refuse(*_: object) -> None:
    raise NVMLError


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(**calls: Any) -> Any:
        made = driver(**calls)
        monkeypatch.setitem(sys.modules, "pynvml", made)
        return made

    return call


@pytest.mark.parametrize("calls", [{}, {"nvmlDeviceGetTotalEnergyConsumption": refuse}], ids=["energy", "power"])
def test_joules_are_those_of_the_block(calls: dict[str, Any], use: Any) -> None:
    made = use(**calls)
    with metered() as spent:
        time.sleep(0.2)
    assert spent is not None
    assert spent.joules == pytest.approx(200 * spent.seconds, rel=0.1)
    assert 0.2 <= spent.seconds < 2
    assert made.ended == 1


def test_memory_is_the_peak_above_what_was_in_use(use: Any) -> None:
    used = {0: 2**30, 1: 2**30}
    use(nvmlDeviceGetMemoryInfo=lambda at: types.SimpleNamespace(used=used[at]))
    with metered() as spent:
        used[1] += 300 * 2**20
        time.sleep(0.2)
        used[1] -= 300 * 2**20
        time.sleep(0.1)
    assert spent is not None
    assert spent.memory_mib == 300


def test_a_driver_that_tells_nothing_gives_nothing(use: Any) -> None:
    use(nvmlDeviceGetTotalEnergyConsumption=refuse, nvmlDeviceGetPowerUsage=refuse, nvmlDeviceGetMemoryInfo=refuse)
    with metered() as spent:
        pass
    assert spent is not None
    assert (spent.memory_mib, spent.joules) == (0, None)


def test_without_library_or_driver_nothing_is_measured(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    use(nvmlInit=refuse)
    with metered() as spent:
        assert spent is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with metered() as spent:
        assert spent is None


def test_an_error_inside_ends_the_measuring(use: Any) -> None:
    made = use()
    with pytest.raises(KeyboardInterrupt), metered():
        raise KeyboardInterrupt
    assert made.ended == 1
