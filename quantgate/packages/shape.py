"""Shapes that planning and feeding need, read from the graph and not from the configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.cost_model import CostModel
from quantgate.errors import UsageFault
from quantgate.packages.attention import attention_nodes, int_attribute
from quantgate.packages.package import OnnxPackage

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class CacheInput:
    """One past input of the body: `[batch, kv_heads, past, head_size]`."""

    name: str
    kv_heads: int
    head_size: int
    dtype: np.dtype[Any]

    def empty(self, batch: int) -> NDArray[Any]:
        """A cache that holds nothing yet."""
        return np.zeros((batch, self.kv_heads, 0, self.head_size), dtype=self.dtype)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Caches per layer and relative costs."""

    caches: tuple[CacheInput, ...]
    cost: CostModel


def read_shape(package: OnnxPackage, body: onnx.ModelProto) -> ModelShape:
    """Read cache shapes and count the work of `body`.

    Raises:
        UsageFault: `layout-unsupported` where a past input has no plain KV shape.
    """
    inputs = {value.name: value for value in body.graph.input}
    config = package.config
    names = [
        name % i for i in range(config.layers) for name in (config.past_key, config.past_value)
    ]
    caches = tuple(_cache(inputs[name], config.head_size) for name in names if name in inputs)
    linear = sum(_multiply_adds(node, body.graph) for node in body.graph.node)
    pair = sum(_attention_width(node, caches) for node in attention_nodes(package.graph.graph))
    kept = sum(cache.kv_heads * cache.head_size for cache in caches)
    return ModelShape(caches, CostModel(linear=linear, pair=pair, cache=kept))


def _cache(value: onnx.ValueInfoProto, head_size: int) -> CacheInput:
    from onnx import helper

    tensor = value.type.tensor_type
    dims = [dim.dim_value for dim in tensor.shape.dim]
    # The builder leaves the last dimension symbolic since 0.18; only then the configuration
    # speaks.
    width = dims[3] or head_size if len(dims) == 4 else 0
    if len(dims) != 4 or not dims[1] or not width:
        raise UsageFault(
            "layout-unsupported",
            need=f"{value.name} of shape [batch, kv heads, past, head size]",
            found=f"{[dim.dim_param or dim.dim_value for dim in tensor.shape.dim]}",
            fix="export with the model builder's plain decoder layout",
        )
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return CacheInput(value.name, dims[1], width, dtype)


def _multiply_adds(node: onnx.NodeProto, graph: onnx.GraphProto) -> int:
    """Multiply-adds of a projection for one token; 0 for other nodes."""
    if node.op_type == "MatMulNBits":
        return int_attribute(node, "K") * int_attribute(node, "N")
    if node.op_type in {"MatMul", "Gemm"}:
        for tensor in graph.initializer:
            if tensor.name == node.input[1]:
                return math.prod(tensor.dims)
    return 0


def _attention_width(node: onnx.NodeProto, caches: tuple[CacheInput, ...]) -> int:
    """Multiply-adds of one attention node for one pair: scores and weighted values."""
    return 2 * int_attribute(node, "num_heads") * caches[0].head_size if caches else 0
