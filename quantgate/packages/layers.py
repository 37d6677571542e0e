"""How the matrices of weights in a graph are stored: bits, block size, zero points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quantgate.packages.attention import int_attribute

if TYPE_CHECKING:
    import onnx

# Operators that multiply by stored weights, and which of their inputs those are.
WEIGHTS: Final[Mapping[str, int]] = {
    "MatMul": 1,
    "Gemm": 1,
    "MatMulNBits": 1,
    "MatMulBnb4": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "MatMulBlockQuantizedFp4Weight": 1,
    "MatMulBlockQuantizedFp8Weight": 1,
    "Attention": 1,  # ONNX Runtime's, which multiplies by those of Q, K and V itself
    "MoE": 2,
    "QMoE": 2,
}
# Of these, K and N say how many weights there are: they are packed and padded to whole blocks.
PACKED: Final = frozenset({"MatMulNBits", "MatMulBnb4"})
LOOKUPS: Final = frozenset({"Gather", "GatherBlockQuantized"})
# What may stand between stored weights and the node that reads them.
BETWEEN: Final = frozenset({"Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose"})
# Attribute that says of how many bits packed weights are, and the input of the zero points.
BITS: Final[Mapping[str, str]] = {
    "MatMulNBits": "bits",
    "GatherBlockQuantized": "bits",
    "QMoE": "expert_weight_bits",
}
ZERO_POINTS: Final[Mapping[str, int]] = {
    "MatMulNBits": 3,
    "GatherBlockQuantized": 3,
    "QMoE": 11,
    "DequantizeLinear": 2,
}
DEFAULT_BITS: Final = 4
# By onnx.TensorProto.DataType; whether integers have a sign says nothing of their precision.
KINDS: Final[Mapping[int, str]] = {
    1: "fp32", 2: "int8", 3: "int8", 10: "fp16", 11: "fp64", 16: "bf16", 17: "fp8", 18: "fp8",
    19: "fp8", 20: "fp8", 21: "int4", 22: "int4", 23: "fp4", 25: "int2", 26: "int2",
}  # fmt: skip
FLOATS: Final = frozenset({"fp16", "fp32", "fp64", "bf16"})  # what products are computed in
BNB4_KINDS: Final[Mapping[int, str]] = {0: "fp4", 1: "nf4"}  # by MatMulBnb4's `quant_type`
_FP4: Final = b"fp4"  # QMoE's `quant_type` ends with it, whatever its bits say
_MOST_STEPS: Final = 8


@dataclass(frozen=True, slots=True)
class Precision:
    """How the weights of one matrix are stored.

    Attributes:
        kind: `int4`, `nf4`, `int8`, `fp16`, ...
        block: how many weights share a scale; 0 where a column does, or the whole matrix, or none.
        asymmetric: whether zero points are stored.
        accuracy_level: of MatMulNBits; 4 rounds activations to int8, 0 leaves it to the runtime.
    """

    kind: str
    block: int = 0
    asymmetric: bool = False
    accuracy_level: int = 0

    @property
    def stored(self) -> tuple[str, int, bool]:
        """What the weights themselves are, however they are multiplied by."""
        return self.kind, self.block, self.asymmetric

    def __str__(self) -> str:
        """`int4 b32 asym acc4`, as much of it as there is."""
        words = [
            self.kind,
            f"b{self.block}" if self.block else "",
            "asym" if self.asymmetric else "",
            f"acc{self.accuracy_level}" if self.accuracy_level else "",
        ]
        return " ".join(filter(None, words))


@dataclass(frozen=True, slots=True)
class Projection:
    """One multiplication by stored weights, or a look-up in them.

    Attributes:
        node: the node that does it.
        weights: name of the stored tensor.
        precision: how it is stored.
        size: how many weights it holds.
    """

    node: onnx.NodeProto
    weights: str
    precision: Precision
    size: int


def projections(graph: onnx.GraphProto) -> list[Projection]:
    """Every multiplication by stored weights of `graph`, in its order; look-ups are none."""
    store = _Store(graph)
    found = (
        store.read(node, WEIGHTS[node.op_type]) for node in graph.node if node.op_type in WEIGHTS
    )
    return [each for each in found if each is not None]


def embedding(graph: onnx.GraphProto, input_ids: str) -> Projection | None:
    """The table in which the input `input_ids` is looked up; None where there is none."""
    store, ids = _Store(graph), {input_ids}
    for node in graph.node:
        if node.op_type in BETWEEN and node.input and node.input[0] in ids:
            ids.update(node.output)
        if node.op_type in LOOKUPS and len(node.input) > 1 and node.input[1] in ids:
            found = store.read(node, 0)
            if found is not None:
                return found
    return None


class _Store:
    """The stored tensors of a graph, and the way from them to who reads them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output if name}

    def read(self, node: onnx.NodeProto, slot: int) -> Projection | None:
        """What `node` reads at its input `slot`; None where that is computed, or no matrix."""
        if len(node.input) <= slot or not any(node.output[:1]):
            return None
        name, dequantizer = self._trace(node.input[slot])
        tensor = self._tensors.get(name)
        if tensor is None:
            return None
        size = math.prod(tensor.dims)
        if node.op_type in PACKED:
            size = int_attribute(node, "K") * int_attribute(node, "N")
        elif size <= max(tensor.dims, default=0):  # a vector, such as the angles of positions
            return None
        return Projection(node, name, _precision(node, tensor, dequantizer), size)

    def _trace(self, name: str) -> tuple[str, onnx.NodeProto | None]:
        """The name that `name` is made from, and the node that dequantizes it on the way."""
        dequantizer = None
        for _ in range(_MOST_STEPS):
            made = self._producers.get(name)
            if name in self._tensors or made is None or made.op_type not in BETWEEN:
                break
            if made.op_type == "DequantizeLinear":
                dequantizer = made
            if not made.input:
                break
            name = made.input[0]
        return name, dequantizer


def _precision(
    node: onnx.NodeProto, tensor: onnx.TensorProto, dequantizer: onnx.NodeProto | None
) -> Precision:
    """How `tensor` is stored, which `node` reads, dequantized by itself or by a node before it."""
    scaled = node if dequantizer is None else dequantizer
    at = ZERO_POINTS.get(scaled.op_type)
    return Precision(
        kind=_kind(node, tensor),
        block=int_attribute(scaled, "block_size"),
        asymmetric=at is not None and any(scaled.input[at : at + 1]),
        accuracy_level=int_attribute(node, "accuracy_level"),
    )


def _kind(node: onnx.NodeProto, tensor: onnx.TensorProto) -> str:
    """Packed weights are bytes, of which only their reader knows what they hold."""
    packed = any(each.name == "quant_type" and each.s.endswith(_FP4) for each in node.attribute)
    if packed or node.op_type == "MatMulBlockQuantizedFp4Weight":
        return "fp4"
    if node.op_type == "MatMulBnb4":
        number = int_attribute(node, "quant_type")
        return BNB4_KINDS.get(number, f"bnb4 type {number}")
    if node.op_type in BITS:
        return f"int{int_attribute(node, BITS[node.op_type], DEFAULT_BITS)}"
    return KINDS.get(tensor.data_type, f"type {tensor.data_type}")
