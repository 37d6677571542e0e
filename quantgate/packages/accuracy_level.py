"""Rewrites how MatMulNBits computes, so that two errors of a 4-bit model can be told apart.

Level 4 rounds activations to 8 bits for speed, level 0 computes in the activations' own type: what
is left at level 0 is the error of the weights. (1 is float32, 2 float16, 3 bfloat16.)
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quantgate.errors import UsageFault

if TYPE_CHECKING:
    import onnx

LEVELS = range(5)
ATTRIBUTE = "accuracy_level"


def with_accuracy_level(model: onnx.ModelProto, level: int) -> onnx.ModelProto:
    """A copy of `model` (weights on disk) whose every MatMulNBits has `level`.

    Raises:
        UsageFault: `option-invalid` for a level that ONNX Runtime doesn't have.
    """
    from onnx import helper

    if type(level) is not int or level not in LEVELS:
        raise UsageFault(
            "option-invalid",
            need=f"an accuracy level from {LEVELS.start} to {LEVELS.stop - 1}",
            found=repr(level),
            fix="--gate-accuracy-level 0",
        )
    changed = copy.deepcopy(model)
    for node in _nodes(changed.graph):
        if node.op_type == "MatMulNBits":
            kept = [attribute for attribute in node.attribute if attribute.name != ATTRIBUTE]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute(ATTRIBUTE, level)])
    return changed


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of branches included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g)
