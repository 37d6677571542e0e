"""Nodes that may multiply by stored weights, and that `layers` doesn't understand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from quantgate.packages.layers import BETWEEN, FLOATS, KINDS, WEIGHTS, projections

if TYPE_CHECKING:
    import onnx

# Other operators of ONNX that multiply by matrices. What the rest of ONNX makes of stored tensors
# is as stored as they are; operators of other domains may multiply by whatever they read ...
PRODUCTS: Final = frozenset(
    {"Conv", "ConvInteger", "ConvTranspose", "Einsum", "GRU", "LSTM", "QLinearConv",
     "QLinearMatMul", "RNN"}
)  # fmt: skip
# ... but for these, which read embeddings and the angles of positions.
TABLES: Final = frozenset(
    {"EmbedLayerNormalization", "GatherBlockQuantized", "GemmaRotaryEmbedding",
     "GroupQueryAttention", "MRotaryEmbedding", "MultiHeadAttention", "PagedAttention",
     "RotaryEmbedding", "SparseAttention"}
)  # fmt: skip
_SMALLEST: Final = 1024  # elements; a tensor of fewer is no matrix of weights worth a word
_ONNX: Final = frozenset({"", "ai.onnx"})


@dataclass(frozen=True, slots=True)
class Unread:
    """A node that may multiply by stored weights, and how isn't understood.

    Attributes:
        op_type: of the node; it may be a stranger's.
        size: elements of the largest tensor that it reads.
    """

    op_type: str
    size: int


def unread(graph: onnx.GraphProto) -> list[Unread]:
    """The nodes of `graph`, those of branches included, that `projections` should know and doesn't.

    Norms and biases are no matrices, and look-ups multiply by nothing.
    """
    known = {each.node.output[0] for each in projections(graph)}
    return [
        Unread(node.op_type, size)
        for node, size in _readers(graph, {})
        if known.isdisjoint(node.output)
    ]


def _readers(
    graph: onnx.GraphProto, outer: Mapping[str, int]
) -> Iterator[tuple[onnx.NodeProto, int]]:
    """Nodes that may multiply by what is stored, with its size; `outer` is stored around them."""
    sizes = {**outer, **{tensor.name: _matrix_size(tensor) for tensor in graph.initializer}}
    for node in graph.node:
        for branch in _branches(node):
            yield from _readers(branch, sizes)
        read = [sizes.get(name) for name in node.input if name]
        if _may_multiply(node):
            if size := max((each or 0 for each in read), default=0):
                yield node, size
        elif node.op_type == "Constant":
            value = max((_matrix_size(each.t) for each in node.attribute), default=0)
            sizes.update(dict.fromkeys(node.output, value))
        elif read and None not in read:
            sizes.update(dict.fromkeys(node.output, max(each or 0 for each in read)))


def _branches(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [graph for each in node.attribute for graph in (each.g, *each.graphs) if graph.node]


def _may_multiply(node: onnx.NodeProto) -> bool:
    if node.op_type in BETWEEN | TABLES:
        return False
    return node.op_type in PRODUCTS | WEIGHTS.keys() or node.domain not in _ONNX


def _matrix_size(tensor: onnx.TensorProto) -> int:
    """Elements of `tensor` if it may be a matrix of weights, and 0 if not.

    One in a single line is a norm or a bias; packed weights may be one line of bytes.
    """
    size = math.prod(tensor.dims)
    line = size <= max(tensor.dims, default=0)
    packed = KINDS.get(tensor.data_type, "fp32") not in FLOATS
    return size if size >= _SMALLEST and (packed or not line) else 0
