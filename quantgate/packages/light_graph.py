"""Reads an ONNX file and leaves the weights that lie inside it where they are.

A tensor's bytes lie in a file in one piece, so that a graph may point at those in its own file as
it points at external data. A package saved in one file is then handled, and measured, like one
whose weights have a file of their own: none of them is ever copied but by the runtime.

What lies around the weights is read by the rules of protobuf's encoding
(https://protobuf.dev/programming-guides/encoding): a message is a row of fields, each with its
number and, where it holds a message or bytes, their length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import onnx

# Bytes from which on a tensor is left in its file, as in ONNX's own way to save external data:
# shapes and axes, which are read here and by the runtime's optimizer, stay in the graph.
LARGE = 2**10
# How a field is stored: in the lowest bits of its number.
VARINT, EIGHT_BYTES, LENGTH_FIRST, FOUR_BYTES = 0, 1, 2, 5
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
VARINT_BYTES = 10


class _Field(NamedTuple):
    """Bytes [start, stop) of a field, and where its content begins."""

    number: int
    start: int
    content: int
    stop: int


def read_light(path: Path) -> onnx.ModelProto:
    """The model in `path`; its large initializers are external data of `path` itself.

    Raises:
        DecodeError: of protobuf, or ValueError, where the file is no such message.
    """
    import onnx

    model = onnx.ModelProto()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for field in _fields(data, 0, len(data)):
            if field.number == onnx.ModelProto.GRAPH_FIELD_NUMBER:
                _read_graph(model.graph, data, field, path.name)
            else:
                model.MergeFromString(data[field.start : field.stop])
    return model


def _read_graph(graph: onnx.GraphProto, data: mmap.mmap, whole: _Field, name: str) -> None:
    for field in _fields(data, whole.content, whole.stop):
        is_weight = field.number == graph.INITIALIZER_FIELD_NUMBER
        if is_weight and field.stop - field.content >= LARGE:
            _read_tensor(graph.initializer.add(), data, field, name)
        else:
            graph.MergeFromString(data[field.start : field.stop])


def _read_tensor(tensor: onnx.TensorProto, data: mmap.mmap, whole: _Field, name: str) -> None:
    """Read a tensor; where its bytes are `raw_data`, say where they lie in the file `name`."""
    raw: _Field | None = None
    for field in _fields(data, whole.content, whole.stop):
        if field.number == tensor.RAW_DATA_FIELD_NUMBER:
            raw = field
        else:
            tensor.MergeFromString(data[field.start : field.stop])
    if raw is None:
        return
    tensor.data_location = tensor.EXTERNAL
    del tensor.external_data[:]
    extent = {"location": name, "offset": raw.content, "length": raw.stop - raw.content}
    for key, value in extent.items():
        tensor.external_data.add(key=key, value=str(value))


def _fields(data: mmap.mmap, start: int, stop: int) -> Iterator[_Field]:
    """The fields of the message in bytes [start, stop)."""
    while start < stop:
        key, content = _varint(data, start, stop)
        kind = key & 7
        if kind == LENGTH_FIRST:
            length, content = _varint(data, content, stop)
            end = content + length
        elif kind == VARINT:
            _, end = _varint(data, content, stop)
        elif kind in FIXED:
            end = content + FIXED[kind]
        else:
            raise ValueError(f"a field of the unknown kind {kind} at byte {start}")
        if end > stop:
            raise ValueError(f"a field at byte {start} that ends behind its message")
        yield _Field(key >> 3, start, content, end)
        start = end


def _varint(data: mmap.mmap, start: int, stop: int) -> tuple[int, int]:
    """The number at `start`, seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(data[start : min(stop, start + VARINT_BYTES)]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, start + place + 1
    raise ValueError(f"no number at byte {start}")
