"""Reads an ONNX graph without its weights, after proving that all of them are there.

ONNX Runtime reads weights by name from one folder and refuses links that leave it, so that each is
told as seen from where the graph's file really lies: in the hub's cache, among its blobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quantgate.errors import InvalidMeasurement
from quantgate.packages.light_graph import read_light
from quantgate.packages.paths import contained_file

LFS_POINTER = b"version https://git-lfs"
# Bits per element of ONNX's packed types; all others are whole bytes (onnx.TensorProto.DataType).
PACKED_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}


def read_graph(path: Path) -> tuple[Any, tuple[Path, ...]]:
    """Return the `onnx.ModelProto` in `path`, weights left on disk, and its external files.

    Weights that lie in `path` itself are told as external data as well; it is no external file.

    Raises:
        InvalidMeasurement: `not-onnx`, `lfs-pointer`, `file-missing` or `external-data-short`.
        UsageFault: `path-escapes` for external data that leaves the folder.
    """
    from google.protobuf.message import DecodeError

    refuse_placeholder(path)
    try:
        model = read_light(path)
    except (DecodeError, ValueError, OSError) as error:
        raise _not_onnx(path, f"{type(error).__name__}: {error}") from None
    if not model.graph.node or not model.graph.output:
        raise _not_onnx(path, "a message without graph nodes")
    return model, _external_files(model, path)


def refuse_placeholder(path: Path) -> None:
    """Refuse what stands in for a file: an empty one, a Git LFS pointer, a web page.

    Raises:
        InvalidMeasurement: `lfs-pointer` or `not-onnx`.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(LFS_POINTER):
        raise InvalidMeasurement(
            "lfs-pointer",
            need=f"{path}: the file itself",
            found="a Git LFS pointer",
            fix="run git lfs pull",
        )
    if not head:
        raise _not_onnx(path, "an empty file")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise _not_onnx(path, "an HTML page, as a failed download leaves it")


def _not_onnx(path: Path, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "not-onnx",
        need=f"{path}: an ONNX model",
        found=found,
        fix="copy the package again, or build it again",
    )


def _external_files(model: Any, path: Path) -> tuple[Path, ...]:
    """Check every external tensor's bytes, tell where they are, and return the files.

    `path` itself is none of them.
    """
    from onnx import TensorProto

    home = path.resolve().parent
    files: dict[str, Path] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        location = facts.get("location", "")
        if location not in files:
            what = f"external data of tensor {tensor.name!r}"
            files[location] = contained_file(path.parent, location, what=what)
            refuse_placeholder(files[location])
        _check_extent(tensor, facts, files[location])
        _tell_from(home, tensor, files[location])
    return tuple(file for file in files.values() if file != path)


def _tell_from(home: Path, tensor: Any, file: Path) -> None:
    """Write the location of a tensor's `file` as seen from `home`, if it is there."""
    target = file.resolve()
    for entry in tensor.external_data:
        if entry.key == "location" and target.is_relative_to(home):
            entry.value = target.relative_to(home).as_posix()


def _check_extent(tensor: Any, facts: dict[str, str], file: Path) -> None:
    needed = tensor_bytes(tensor)
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", needed))
    except ValueError as error:
        raise _not_onnx(file, f"the extent of tensor {tensor.name!r}: {error}") from None
    size = file.stat().st_size
    if offset < 0 or length < needed or offset + length > size:
        raise InvalidMeasurement(
            "external-data-short",
            need=f"tensor {tensor.name!r}: {needed} bytes at offset {offset} of {file}",
            found=f"{length} bytes declared, {max(0, size - offset)} bytes there",
            fix="copy the external data again, or build the package again",
        )


def tensor_bytes(tensor: Any) -> int:
    """Bytes that a tensor's elements take by its type and shape."""
    from onnx import helper

    elements: int = math.prod(tensor.dims)
    if tensor.data_type in PACKED_BITS:
        return (elements * PACKED_BITS[tensor.data_type] + 7) // 8
    return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
