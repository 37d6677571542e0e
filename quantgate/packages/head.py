"""Finds a decoder's head: the projection onto the vocabulary and what selects rows around it.

A *pruned* head yields logits of the last position only. Where the nodes that pick it are plain
row selections, they are named here, so that a split can leave them out and score every position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantgate.errors import InvalidMeasurement
from quantgate.packages.attention import int_attribute
from quantgate.packages.layers import PACKED

if TYPE_CHECKING:
    import onnx

PROJECTIONS = frozenset({"MatMul", "Gemm"}) | PACKED
# What may stand between the projection and the logits. Add's second operand (a bias vector) and
# the constants of soft-capping travel with the head because they are reachable from the logits.
ELEMENTWISE = frozenset({"Cast", "Mul", "Div", "Tanh", "Add"})
# Change a tensor's shape, not its rows.
RESHAPES = frozenset({"Identity", "Reshape"})
# The sequence axis of `[batch, sequence, width]`, counted from either end.
SEQUENCE_AXES = frozenset({1, -2})


@dataclass(frozen=True, slots=True)
class Head:
    """Where a graph's head begins.

    Attributes:
        projection: the multiplication with the vocabulary.
        hidden: the projection's input for every position: above what selects rows.
        width: H of the hidden rows.
        element_type: `onnx.TensorProto.DataType` of the hidden rows.
        selectors: names of the nodes between the projection and the logits that select rows.
    """

    projection: onnx.NodeProto
    hidden: str
    width: int
    element_type: int
    selectors: frozenset[str]

    @property
    def pruned(self) -> bool:
        """Whether the graph selects rows on the way to its logits."""
        return bool(self.selectors) or self.hidden != self.projection.input[0]


def find_head(graph: onnx.GraphProto, logits: str) -> Head:
    """Find the head that computes `logits`.

    Raises:
        InvalidMeasurement: `head-not-found` where the logits don't come from a projection through
            element-wise nodes and row selections only.
    """
    producers = {output: node for node in graph.node for output in node.output}
    projection, selectors = _projection(graph, producers, logits)
    width, element_type = _projection_facts(graph, producers, projection)
    hidden = _above_selection(graph, producers, projection.input[0])
    return Head(projection, hidden, width, element_type, frozenset(selectors))


def needs_steps(graph: onnx.GraphProto, logits: str) -> bool:
    """Whether logits of one position come out and nothing tells which nodes picked it."""
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if value.name == logits and len(dims) == 3 and dims[1].dim_value == 1:
            return not find_head(graph, logits).pruned
    return False


def _projection(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], logits: str
) -> tuple[onnx.NodeProto, list[str]]:
    """The projection and the outputs of the selections behind it."""
    weights = {tensor.name for tensor in graph.initializer}
    constants = {name for name, node in producers.items() if node.op_type == "Constant"}
    selectors: list[str] = []
    name = logits
    while (node := producers.get(name)) is not None:
        if node.op_type in PROJECTIONS:
            return node, selectors
        if selects_rows(node, graph):
            selectors.append(name)
            name = node.input[0]
            continue
        if node.op_type not in ELEMENTWISE:
            raise _head_not_found(logits, f"a {node.op_type} node ({node.name})")
        computed = [name for name in node.input if name not in weights | constants]
        if len(computed) != 1:
            raise _head_not_found(logits, f"{node.name} joining {computed}")
        name = computed[0]
    raise _head_not_found(logits, f"{name!r}, which no node computes")


def _above_selection(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], hidden: str
) -> str:
    """`hidden` as it is before rows of it are selected; itself where none are."""
    name = found = hidden
    while (node := producers.get(name)) is not None:
        if selects_rows(node, graph):
            found = node.input[0]
        elif node.op_type not in RESHAPES:
            break
        name = node.input[0]
    return found


def selects_rows(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    """Whether `node` picks positions of `[batch, sequence, width]` and touches nothing else."""
    if node.op_type == "Gather":
        return int_attribute(node, "axis") in SEQUENCE_AXES
    if node.op_type == "GatherND":
        return int_attribute(node, "batch_dims") <= 1
    if node.op_type in {"Slice", "Squeeze", "Unsqueeze"}:
        axes = _axes(node, graph)
        return bool(axes) and set(axes) <= SEQUENCE_AXES
    return False


def _axes(node: onnx.NodeProto, graph: onnx.GraphProto) -> list[int]:
    """Axes of a node as attribute (older opsets) or as a stored input; empty where unknown."""
    for attribute in node.attribute:
        if attribute.name == "axes":
            return list(attribute.ints)
    place = 3 if node.op_type == "Slice" else 1
    if len(node.input) <= place:
        return []
    from onnx import TensorProto, numpy_helper

    for tensor in _stored(graph, node.input[place]):
        if tensor.data_location != TensorProto.EXTERNAL:
            return [int(axis) for axis in numpy_helper.to_array(tensor).reshape(-1)]
    return []


def _stored(graph: onnx.GraphProto, name: str) -> Iterator[onnx.TensorProto]:
    """The constant called `name`, an initializer or a node's."""
    yield from (tensor for tensor in graph.initializer if tensor.name == name)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            yield from (attribute.t for attribute in node.attribute if attribute.name == "value")


def _projection_facts(
    graph: onnx.GraphProto, producers: dict[str, onnx.NodeProto], projection: onnx.NodeProto
) -> tuple[int, int]:
    """Width H of the projection's input and its element type, read from its own weights."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if projection.op_type in PACKED:  # scales have the rows' type
        return int_attribute(projection, "K"), int(tensors[projection.input[2]].data_type)
    axis = 1 if projection.op_type == "Gemm" and int_attribute(projection, "transB") else 0
    name = projection.input[1]
    made = producers.get(name)
    if made is not None and made.op_type == "Transpose":
        name, axis = made.input[0], 1 - axis
        made = producers.get(name)
    typed = name
    if made is not None and made.op_type == "DequantizeLinear" and len(made.input) > 1:
        name, typed = made.input[:2]  # rows are of the type of its scales
    if name not in tensors or typed not in tensors:
        raise _head_not_found(projection.output[0], f"{projection.name} without stored weights")
    return int(tensors[name].dims[axis]), int(tensors[typed].data_type)


def _head_not_found(logits: str, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "head-not-found",
        need=f"{logits!r} computed by one of {', '.join(sorted(PROJECTIONS))} through "
        f"{', '.join(sorted(ELEMENTWISE))} and selections of rows only",
        found=found,
        fix="export the language-model head as one projection",
    )
