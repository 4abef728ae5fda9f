"""The header of a GGUF: metadata and the list of tensors, without their data.

Read here and not with the gguf package, which knows no type newer than itself, says nothing useful of a damaged file,
and takes seconds on the vocabulary of a real model. The format: docs/gguf.md of the ggml repository, versions 2 and 3.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, where general.alignment says nothing else
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
LONG = 1024  # entries of an array that is kept; of longer ones only how many there are
DIMENSIONS = 4  # of a tensor, at most: GGML_MAX_DIMS

# Type number: name, values per block, bytes per block. From ggml.h and ggml-common.h at b9187; 42 is upstream's from
# b9913, 64 the one of the patch tbq4-type.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18), 64: ("TBQ4_0", 128, 68),
}  # fmt: skip


class GgufError(Exception):
    """A file that is no GGUF, or a damaged one; says which and how it shows."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: its shape in ggml's order (rows last), the number of its type, where its data begins in the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    start: int

    @property
    def type_name(self) -> str:
        """Return the name of its type, or its number where that is not known here."""
        return TYPES[self.type][0] if self.type in TYPES else f"type {self.type}"

    @property
    def size(self) -> int | None:
        """Return the bytes of its data, None for a type not known here."""
        if self.type not in TYPES:
            return None
        _, values, size = TYPES[self.type]
        return prod(self.shape) // values * size


@dataclass(frozen=True)
class Header:
    """What a GGUF says of itself; an array of more than ``LONG`` entries is kept as their number (``Count``)."""

    version: int
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    size: int


class Count(int):
    """The number of entries of an array that was too long to keep."""


class _Bytes:
    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        """Return where the next ``count`` bytes begin, and go behind them."""
        start = self.at
        if count < 0 or start + count > len(self.data):
            raise GgufError(f"is truncated: its header goes on past its end at {len(self.data)} bytes")
        self.at = start + count
        return start

    def number(self, form: str) -> Any:
        start = self.take(struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{form}", self.data, start)[0]

    def text(self) -> str:
        length = self.number("Q")
        start = self.take(length)
        return self.data[start : start + length].decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        unpack, data, end, at = struct.Struct("<Q").unpack_from, self.data, len(self.data) - 8, self.at
        for _ in range(count):
            if at > end:
                break
            at += 8 + unpack(data, at)[0]
        self.take(at - self.at)


def read_header(path: Path) -> Header:
    """Return the header of the GGUF at ``path``.

    Raises GgufError for what is no GGUF and for one that is truncated or damaged, OSError when it cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            raise GgufError("is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(_Bytes(data))


def _header(source: _Bytes) -> Header:
    start = bytes(source.data[:4])
    if start != MAGIC:
        raise GgufError(f"is no GGUF: it begins with {_shown(start)}, not with GGUF")
    source.take(4)
    version = source.number("I")
    if version not in VERSIONS:
        raise GgufError(f"is a GGUF of version {version}; only {' and '.join(map(str, VERSIONS))} are known")
    count, keys = source.number("Q"), source.number("Q")
    metadata = dict(_pair(source) for _ in range(keys))
    rows = [_row(source) for _ in range(count)]
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise GgufError(f"is damaged: its alignment is {alignment!r}")
    data = -(-source.at // alignment) * alignment
    tensors = tuple(Tensor(name, shape, kind, data + offset) for name, shape, kind, offset in rows)
    _require_data(tensors, len(source.data))
    return Header(version, metadata, tensors, len(source.data))


def _shown(start: bytes) -> str:
    return ascii(start.decode("latin-1"))


def _pair(source: _Bytes) -> tuple[str, Any]:
    name = source.text()
    return name, _value(source, source.number("I"), name)


def _value(source: _Bytes, kind: int, name: str) -> Any:
    if kind == STRING:
        return source.text()
    if kind == ARRAY:
        return _array(source, name)
    if kind not in SCALARS:
        raise GgufError(f"is damaged: the value of {name} has the type {kind}, which there is not")
    return source.number(SCALARS[kind])


def _array(source: _Bytes, name: str) -> Any:
    kind, count = source.number("I"), source.number("Q")
    if kind not in SCALARS and kind != STRING:
        raise GgufError(f"is damaged: the entries of {name} have the type {kind}, which there is not")
    if count <= LONG:
        return [_value(source, kind, name) for _ in range(count)]
    if kind == STRING:
        source.skip_texts(count)
    else:
        source.take(count * struct.calcsize(f"<{SCALARS[kind]}"))
    return Count(count)


def _row(source: _Bytes) -> tuple[str, tuple[int, ...], int, int]:
    name, dimensions = source.text(), source.number("I")
    if dimensions > DIMENSIONS:
        raise GgufError(f"is damaged: {name[:80]!a} has {dimensions} dimensions")
    shape = tuple(source.number("Q") for _ in range(dimensions))
    return name, shape, source.number("I"), source.number("Q")


def _require_data(tensors: tuple[Tensor, ...], size: int) -> None:
    for tensor in tensors:
        end = tensor.start + (tensor.size or 0)
        if end > size:
            raise GgufError(f"is truncated: the data of {tensor.name} ends at {end}, the file at {size} bytes")
