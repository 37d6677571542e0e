"""Where a graph goes from its rotary tables for short sequences to those for long ones: LongRoPE.

The model builder chooses between them by an `If` on the attention mask's width. A key is turned by
the table of the run that computes it, so that what a cache holds from below the switch is of no
use above it, and one long row of a padded batch would choose for the short ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# From a comparison's constant to the longest length that is short.
SHORT_UP_TO = {"Greater": 0, "GreaterOrEqual": -1, "Less": -1, "LessOrEqual": 0}


def rotary_switch(model: onnx.ModelProto, folder: Path) -> int | None:
    """Most tokens that are computed with the tables for short sequences; None for no choice.

    Every choice by a comparison with a constant is taken for one by length: where it is another,
    less is shared, and nothing is wrong.

    Args:
        model: a graph as it ships.
        folder: where its external data lies.
    """
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    lengths = []
    for node in graph.node:
        made = producers.get(node.input[0]) if node.op_type == "If" else None
        if made is None or made.op_type not in SHORT_UP_TO:
            continue
        constant = _constant(graph, producers, made.input[1], folder)
        if constant is not None:
            lengths.append(constant + SHORT_UP_TO[made.op_type])
    return min(lengths, default=None)


def crosses(switch: int | None, start: int, stop: int) -> bool:
    """Whether a sequence that grows from `start` to `stop` tokens is a long one only then."""
    return switch is not None and start <= switch < stop


def _constant(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], name: str, folder: Path
) -> int | None:
    """The one number that is stored under `name`; None where there is no such."""
    from onnx import numpy_helper

    stored = [tensor for tensor in graph.initializer if tensor.name == name]
    made = producers.get(name)
    if made is not None and made.op_type == "Constant":
        stored = [each.t for each in made.attribute if each.name == "value"]
    for tensor in stored:
        found = numpy_helper.to_array(tensor, str(folder)).reshape(-1)
        return int(found[0]) if len(found) == 1 else None
    return None
