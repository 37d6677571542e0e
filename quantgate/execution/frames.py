"""Frames: a small JSON header and the arrays it describes, over any stream of bytes.

Layout, all little-endian:

    "QGF1" | length of the header, uint32 | header, UTF-8 JSON | arrays, C order, one after another

The header is `{"kind": ..., "values": {...}, "arrays": {name: [dtype, shape], ...}}`. Floating
point numbers travel in arrays, so that they arrive bit for bit, NaN included. Nothing in a frame
is executed, and nothing is allocated before its size was checked.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement

MAGIC = b"QGF1"
MAX_HEADER = 2**20
MAX_ARRAYS = 2**30
DTYPES = frozenset({"bool", "int32", "int64", "float16", "bfloat16", "float32", "float64"})

_PREFIX = struct.Struct("<4sI")
_MAX_DIMENSIONS = 8

Buffer = bytes | memoryview
Decoded = TypeVar("Decoded")


@dataclass(frozen=True, slots=True)
class Frame:
    """A message.

    Attributes:
        kind: what it is.
        values: plain JSON values.
        arrays: of the types in `DTYPES`.
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Readable(Protocol):
    """Where frames come from; an unbuffered file, for example."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read up to `len(buffer)` bytes; 0 at the end."""
        ...


class Writable(Protocol):
    """Where frames go; an unbuffered file, for example."""

    def write(self, data: Buffer, /) -> int | None:
        """Write some of `data` and return how much."""
        ...


def malformed(found: str) -> InvalidMeasurement:
    """The fault of a frame that can't be understood."""
    return InvalidMeasurement(
        "frame-malformed",
        need="frames as quantgate writes them",
        found=found,
        fix="run the same quantgate on both sides",
    )


def decoder(decode: Callable[[Frame], Decoded]) -> Callable[[Frame], Decoded]:
    """Make `decode` raise `frame-malformed` where a part is missing or of another shape."""

    def decoded(frame: Frame) -> Decoded:
        try:
            return decode(frame)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise malformed(f"{frame.kind}: {type(error).__name__}: {error}") from None

    return decoded


def encode(frame: Frame) -> list[Buffer]:
    """The bytes of `frame`; they share the memory of its arrays, which must not change meanwhile.

    Raises:
        InvalidMeasurement: `frame-too-large`.
        TypeError: a value isn't plain JSON, or an array has a type that doesn't travel.
    """
    buffers = [_bytes_of(array) for array in frame.arrays.values()]
    described = {name: [a.dtype.name, list(a.shape)] for name, a in frame.arrays.items()}
    content = {"kind": frame.kind, "values": dict(frame.values), "arrays": described}
    header = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    for what, size, most in (
        ("header", len(header), MAX_HEADER),
        ("arrays", sum(map(len, buffers)), MAX_ARRAYS),
    ):
        if size > most:
            raise InvalidMeasurement(
                "frame-too-large",
                need=f"at most {most} bytes of {what} in one message ({frame.kind})",
                found=f"{size} bytes",
                fix="measure smaller windows, so that a batch has fewer rows",
            )
    return [_PREFIX.pack(MAGIC, len(header)) + header, *(b for b in buffers if len(b))]


def write(stream: Writable, buffers: list[Buffer]) -> None:
    """Write what `encode` made.

    Raises:
        OSError: the other side is gone.
    """
    for buffer in buffers:
        left = memoryview(buffer)
        while left:
            left = left[stream.write(left) or 0 :]


def read(stream: Readable) -> Frame:
    """Read the next frame.

    Raises:
        EOFError: the stream has ended, between frames or within one.
        InvalidMeasurement: `frame-malformed`; nothing more can be read from the stream.
    """
    magic, size = _PREFIX.unpack(_exactly(stream, _PREFIX.size))
    if magic != MAGIC or size > MAX_HEADER:
        raise malformed(f"a frame that begins with {magic!r} and has a header of {size} bytes")
    kind, values, described = _header(_exactly(stream, size))
    arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in described.items()}
    for array in arrays.values():
        _fill(stream, array.reshape(-1).view(np.uint8).data)
    return Frame(kind, values, arrays)


def _header(raw: bytes) -> tuple[str, dict[str, Any], dict[str, tuple[np.dtype[Any], list[int]]]]:
    try:
        content = json.loads(raw)
        kind, values, arrays = content["kind"], content["values"], content["arrays"]
        described = {
            name: (_dtype(dtype), _shape(shape)) for name, (dtype, shape) in arrays.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise malformed(f"a header with {type(error).__name__}: {error}") from None
    if not isinstance(kind, str) or not isinstance(values, dict):
        raise malformed("a header whose kind is no text or whose values are no object")
    size = sum(dtype.itemsize * math.prod(shape) for dtype, shape in described.values())
    if size > MAX_ARRAYS:
        raise malformed(f"{size} bytes of arrays, more than {MAX_ARRAYS}")
    return kind, values, described


def _shape(shape: Any) -> list[int]:
    sizes = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not sizes or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"shape {str(shape)[:80]}")
    return list(shape)


def _dtype(name: Any) -> np.dtype[Any]:
    if name not in DTYPES:
        raise TypeError(f"array type {str(name)[:80]!r}")
    if name == "bfloat16":
        import ml_dtypes  # registers the type; onnx depends on it

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    little: np.dtype[Any] = np.dtype(name).newbyteorder("<")
    return little


def _bytes_of(array: NDArray[Any]) -> memoryview:
    flat = np.ascontiguousarray(array, dtype=_dtype(array.dtype.name)).reshape(-1)
    return flat.view(np.uint8).data


def _exactly(stream: Readable, size: int) -> bytes:
    raw = bytearray(size)
    _fill(stream, memoryview(raw))
    return bytes(raw)


def _fill(stream: Readable, buffer: memoryview) -> None:
    while buffer:
        count = stream.readinto(buffer)
        if not count:
            raise EOFError
        buffer = buffer[count:]
