"""A tiny decoder with two sets of rotary tables and the model builder's choice between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.tiny_models import HEAD_SIZE, Tiny, save_model, write_package

SWITCH, CONTEXT = 64, 256
LONG_FACTOR = 4.0
# A comparison of the mask's width, and its constant for a switch behind 64 tokens.
COMPARISONS = {"Greater": 64, "GreaterOrEqual": 65, "Less": 65, "LessOrEqual": 64}


def write_longrope(
    folder: Path, tiny: Tiny | None = None, *, comparison: str = "Greater", stored: str = "node"
) -> Path:
    """Write a package that has other tables for sequences of more than `SWITCH` tokens.

    Args:
        folder: where to.
        tiny: what else is special of it.
        comparison: one of `COMPARISONS`.
        stored: its constant: a `node`, an `initializer`, or in the file of `external` data.
    """
    write_package(folder, replace(tiny or Tiny(), context=CONTEXT))
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    graph = model.graph
    for tensor in [tensor for tensor in graph.initializer if tensor.name in {"cos", "sin"}]:
        graph.initializer.remove(tensor)
    long_is_then = comparison.startswith("Greater")
    branches = {
        "then_branch": _tables("then", long=long_is_then),
        "else_branch": _tables("else", long=not long_is_then),
    }
    choice = [
        helper.make_node(comparison, ["total_64", "switch"], ["is_long"], name="is_long"),
        helper.make_node("If", ["is_long"], ["cos", "sin"], name="tables", **branches),
    ]
    constant = numpy_helper.from_array(np.array(COMPARISONS[comparison], np.int64), "switch")
    if stored == "node":
        choice.insert(0, helper.make_node("Constant", [], ["switch"], name="c", value=constant))
    else:
        graph.initializer.append(constant)
    place = next(i for i, node in enumerate(graph.node) if node.op_type == "GroupQueryAttention")
    for node in reversed(choice):
        graph.node.insert(place, node)
    save_model(model, path)
    if stored == "external":
        _store_outside(path)
    return folder


def _tables(name: str, *, long: bool) -> onnx.GraphProto:
    """A branch with the tables of a whole context, or of what is short."""
    steps = 10_000.0 ** -(np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
    factor, length = (LONG_FACTOR, CONTEXT) if long else (1.0, SWITCH)
    angles = np.outer(np.arange(length), steps / factor)
    nodes, outputs = [], []
    for kind, table in {"cos": np.cos(angles), "sin": np.sin(angles)}.items():
        value = numpy_helper.from_array(table.astype(np.float32))
        nodes.append(helper.make_node("Constant", [], [f"{kind}_{name}"], value=value))
        outputs.append(
            helper.make_tensor_value_info(f"{kind}_{name}", TensorProto.FLOAT, table.shape)
        )
    return helper.make_graph(nodes, name, [], outputs)


def _store_outside(path: Path) -> None:
    """Move the switch behind the other weights."""
    model = onnx.load(str(path), load_external_data=False)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "switch")
    data = path.with_name(f"{path.name}.data")
    extent = {"location": data.name, "offset": data.stat().st_size, "length": 8}
    data.write_bytes(data.read_bytes() + tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in extent.items():
        tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
