"""Random weights that are the same bytes on every machine: SplitMix64, no libm."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MUL_A = np.uint64(0xBF58476D1CE4E5B9)
_MUL_B = np.uint64(0x94D049BB133111EB)
_ROOT3 = np.float32(1.7320508)


def _splitmix(start: int, count: int) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z: npt.NDArray[np.uint64] = np.uint64(start) + _GAMMA * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * _MUL_A
        z = (z ^ (z >> np.uint64(27))) * _MUL_B
        mixed: npt.NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed


def uniform(seed: int, name: str, shape: tuple[int, ...], std: float = 1.0) -> Floats:
    """Uniform values with mean 0 and standard deviation `std`, a function of seed and name."""
    start = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    bits = _splitmix(start, int(np.prod(shape))) >> np.uint64(40)
    unit: Floats = bits.astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)
    scaled: Floats = unit * (_ROOT3 * np.float32(std))
    return scaled.reshape(shape)


def nvfp4(seed: int, name: str, rows: int, cols: int) -> Bytes:
    """Return a matrix of random NVFP4 blocks (64 values in 36 bytes: 4 scales, then two E2M1 values a byte).

    Scales differ from one to the next, by up to 2; the values have a standard deviation of about 1/16.
    """
    start = int.from_bytes(hashlib.sha256(f"{seed}/{name}/nvfp4".encode()).digest()[:8], "little")
    values = (_splitmix(start, rows * cols // 2) >> np.uint64(56)).astype(np.uint8).reshape(rows, cols // 64, 32)
    # UE4M3: 1 / 64 to 1.875 / 64
    scales = 0x08 + ((values[..., :4] ^ values[..., 4:8]) & 0x07)
    blocks: Bytes = np.concatenate([scales, values], axis=2).reshape(rows, cols // 64 * 36)
    return blocks


def zeros(*shape: int) -> Floats:
    """Return zeros of this shape."""
    return np.zeros(shape, dtype=np.float32)


def ones(*shape: int) -> Floats:
    """Return ones of this shape."""
    return np.ones(shape, dtype=np.float32)
