"""Which precision each projection of a graph has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

LAYER = re.compile(r"layers\.(\d+)[./](.*)")
ELEMENT_NAMES = {1: "float32", 10: "float16", 16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class Projection:
    """One matrix multiplication with stored weights.

    Attributes:
        layer: number of its layer; None outside the layers (the head).
        name: name within its layer.
        precision: `int4 block 32`, `float16`, ...
        accuracy_level: of MatMulNBits; 4 rounds activations to int8, 0 elsewhere.
        inputs: input width.
        outputs: output width.
    """

    layer: int | None
    name: str
    precision: str
    accuracy_level: int
    inputs: int
    outputs: int


def projections(graph: onnx.GraphProto) -> list[Projection]:
    """Every projection of `graph`, in the graph's order."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    found = []
    for node in graph.node:
        sizes = {attribute.name: int(attribute.i) for attribute in node.attribute}
        layer, name = _place(node.name)
        if node.op_type == "MatMulNBits":
            precision = f"int{sizes.get('bits', 4)} block {sizes['block_size']}"
            level = sizes.get("accuracy_level", 0)
            found.append(Projection(layer, name, precision, level, sizes["K"], sizes["N"]))
        elif node.op_type in {"MatMul", "Gemm"} and node.input[1] in tensors:
            tensor = tensors[node.input[1]]
            kind = ELEMENT_NAMES.get(tensor.data_type, f"type {tensor.data_type}")
            found.append(Projection(layer, name, kind, 0, int(tensor.dims[0]), int(tensor.dims[1])))
    return found


def _place(name: str) -> tuple[int | None, str]:
    """Layer and short name of a node such as `/model/layers.3/attn/qkv_proj/MatMul_Q4`."""
    match = LAYER.search(name)
    rest = match.group(2) if match else name
    short = "/".join(part for part in rest.split("/") if part and not part.startswith("MatMul"))
    return (int(match.group(1)) if match else None), short
