"""Shapes that planning and feeding need, read from the graph and not from the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.cost_model import CostModel
from quantgate.errors import UsageFault
from quantgate.packages.attention import attention_nodes, int_attribute
from quantgate.packages.io_names import cache_names
from quantgate.packages.layers import projections
from quantgate.packages.package import OnnxPackage

if TYPE_CHECKING:
    import onnx

PLAIN_LAYOUT = "[batch, kv heads, past, head size]"
EXPERTS = frozenset({"MoE", "QMoE"})


@dataclass(frozen=True, slots=True)
class CacheInput:
    """One past input of the body.

    Its shape is `[batch, kv_heads, past, head_size]`, or `[2, batch, kv_heads, past, head_size]`
    where keys and values are `combined`.
    """

    name: str
    present: str
    kv_heads: int
    head_size: int
    dtype: np.dtype[Any]
    combined: bool = False

    def blank(self, batch: int, tokens: int = 0) -> NDArray[Any]:
        """A cache of zeros; usually one that holds nothing yet."""
        shape = (batch, self.kv_heads, tokens, self.head_size)
        return np.zeros((2, *shape) if self.combined else shape, dtype=self.dtype)

    @property
    def token_elements(self) -> int:
        """Elements that one token leaves in it."""
        return self.kv_heads * self.head_size * (2 if self.combined else 1)


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
    pairs = cache_names(config.names, config.layers, body.graph)
    combined = len(config.names.past) == 1
    caches = tuple(
        _cache(inputs[past], present, config.head_size, combined=combined)
        for past, present in pairs
    )
    linear = _multiply_adds(body.graph)
    pair = sum(_attention_width(node, caches) for node in attention_nodes(package.graph.graph))
    kept = sum(cache.token_elements for cache in caches)
    return ModelShape(caches, CostModel(linear=linear, pair=pair, cache=kept))


def _cache(
    value: onnx.ValueInfoProto, present: str, head_size: int, *, combined: bool
) -> CacheInput:
    from onnx import helper

    tensor = value.type.tensor_type
    layout = "[2, batch, kv heads, past, head size]" if combined else PLAIN_LAYOUT
    dims = [dim.dim_value for dim in tensor.shape.dim]
    plain = dims[1:] if combined else dims
    # The builder leaves the last dimension symbolic since 0.18; only then the configuration
    # speaks.
    width = plain[3] or head_size if len(plain) == 4 else 0
    if len(plain) != 4 or not plain[1] or not width:
        raise UsageFault(
            "layout-unsupported",
            need=f"{value.name} of shape {layout}",
            found=f"{[dim.dim_param or dim.dim_value for dim in tensor.shape.dim]}",
            fix="export with the model builder's plain decoder layout",
        )
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return CacheInput(value.name, present, plain[1], width, dtype, combined)


def _multiply_adds(graph: onnx.GraphProto) -> int:
    """Multiply-adds of all projections for one token; which experts a token takes isn't known."""
    return sum(each.size for each in projections(graph) if each.node.op_type not in EXPERTS)


def _attention_width(node: onnx.NodeProto, caches: tuple[CacheInput, ...]) -> int:
    """Multiply-adds of one attention node for one pair: scores and weighted values."""
    return 2 * int_attribute(node, "num_heads") * caches[0].head_size if caches else 0
