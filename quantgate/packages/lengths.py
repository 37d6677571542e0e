"""Lengths that GroupQueryAttention is told, where it would have them from an attention mask.

Exporters count a mask's ones and its width for it, in half a dozen small nodes that run before each
token. Of one sequence without padding both are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantgate.packages.attention import GROUPED, set_input
from quantgate.packages.graph import prune

if TYPE_CHECKING:
    import onnx

LAST_POSITIONS = "quantgate_last_positions"
TOTAL_LENGTH = "quantgate_total_length"
GQA_SEQLENS_K, GQA_TOTAL_SEQUENCE_LENGTH = 5, 6


def tell_lengths(model: onnx.ModelProto) -> None:
    """Let each GroupQueryAttention of `model` read its lengths from two inputs of the graph.

    `LAST_POSITIONS`, int32 `[1]`, is its `seqlens_k`: tokens of the sequence but one;
    `TOTAL_LENGTH`, int32 `[]`, its `total_sequence_length`. What then nobody reads is dropped, the
    mask with it unless something else takes it.

    Args:
        model: changed in place; without that operator it is left as it was.
    """
    from onnx import TensorProto, helper

    grouped = [node for node in model.graph.node if node.op_type == GROUPED]
    if not grouped:
        return
    for node in grouped:
        set_input(node, GQA_SEQLENS_K, LAST_POSITIONS)
        set_input(node, GQA_TOTAL_SEQUENCE_LENGTH, TOTAL_LENGTH)
    for name, shape in {LAST_POSITIONS: [1], TOTAL_LENGTH: []}.items():
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT32, shape))
    prune(model)
