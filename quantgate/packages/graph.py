"""Splits a decoder graph, in memory, into a body and a head.

*Head*: the path from `logits` up to the matrix multiplication with the vocabulary, through the
element-wise nodes behind it (casts, soft-capping, scaling). *Body*: all that comes before, with
the head's input gathered at chosen rows as its output, so that vocabulary-wide work is done for
scored rows only. The weights stay in the package's external data; both graphs point at it.

Where attention allows it (`packages.attention`), one row of the body can carry a whole token tree
behind a kept prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantgate.errors import InvalidMeasurement
from quantgate.packages.attention import Attention, int_attribute, wire_attention

if TYPE_CHECKING:
    import onnx

ROWS = "quantgate_rows"
HIDDEN_ROWS = "quantgate_hidden_rows"

PROJECTIONS = frozenset({"MatMul", "MatMulNBits", "Gemm"})
# What may stand between the projection and the logits. Add's second operand (a bias vector) and
# the constants of soft-capping travel with the head because they are reachable from the logits.
ELEMENTWISE = frozenset({"Cast", "Mul", "Div", "Tanh", "Add"})


@dataclass(frozen=True, slots=True)
class SplitGraph:
    """Body and head, and how the body's attention takes a bias.

    Attributes:
        body: model with inputs as before, `ROWS` int64 `[n]`, and what `attention` adds; its first
            output is `HIDDEN_ROWS` `[n, H]`.
        head: model from `HIDDEN_ROWS` `[n, H]` to the logits `[n, V]`.
        attention: how the body's attention is fed.
    """

    body: onnx.ModelProto
    head: onnx.ModelProto
    attention: Attention


def split(
    model: onnx.ModelProto, *, logits: str, position_ids: str, packing: bool = True
) -> SplitGraph:
    """Split `model` (weights on disk) at the input of its head.

    Args:
        model: a decoder; it is left as it was.
        logits: name of its logits output.
        position_ids: name of its position input, if it has one.
        packing: give attention a bias input where it takes one.

    Raises:
        InvalidMeasurement: `head-not-found` where the logits don't come from a projection through
            element-wise nodes only; `logits-shape` where there are logits of one position only.
    """
    _require_every_position(model.graph, logits)
    projection = _projection(model.graph, logits)
    hidden = projection.input[0]
    width, element_type = _projection_facts(model.graph, projection)
    body = copy.deepcopy(model)
    attention = wire_attention(body.graph, position_ids, packing=packing)
    _gather_rows(body.graph, hidden, (width, element_type), logits)
    prune(body)
    head = copy.deepcopy(model)
    _start_at(head.graph, hidden, (width, element_type), logits)
    prune(head)
    return SplitGraph(body, head, attention)


def _require_every_position(graph: onnx.GraphProto, logits: str) -> None:
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if value.name == logits and len(dims) == 3 and dims[1].dim_value == 1:
            raise InvalidMeasurement(
                "logits-shape",
                need=f"{logits!r} with a row for every position",
                found="rows for the last position only",
                fix="build the package again without prune_lm_head",
            )


def _projection(graph: onnx.GraphProto, logits: str) -> onnx.NodeProto:
    producers = {output: node for node in graph.node for output in node.output}
    weights = {tensor.name for tensor in graph.initializer}
    name = logits
    while (node := producers.get(name)) is not None:
        if node.op_type in PROJECTIONS:
            return node
        if node.op_type not in ELEMENTWISE:
            raise _head_not_found(logits, f"a {node.op_type} node ({node.name})")
        constants = {name for name, made in producers.items() if made.op_type == "Constant"}
        computed = [name for name in node.input if name not in weights | constants]
        if len(computed) != 1:
            raise _head_not_found(logits, f"{node.name} joining {computed}")
        name = computed[0]
    raise _head_not_found(logits, f"{name!r}, which no node computes")


def _head_not_found(logits: str, found: str) -> InvalidMeasurement:
    return InvalidMeasurement(
        "head-not-found",
        need=f"{logits!r} computed by a MatMul, MatMulNBits or Gemm through "
        f"{', '.join(sorted(ELEMENTWISE))} only",
        found=found,
        fix="export the language-model head as one projection",
    )


def _projection_facts(graph: onnx.GraphProto, projection: onnx.NodeProto) -> tuple[int, int]:
    """Width H of the projection's input and its element type, read from its own weights."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    if projection.op_type == "MatMulNBits":
        return int_attribute(projection, "K"), int(tensors[projection.input[2]].data_type)
    axis = 1 if projection.op_type == "Gemm" and int_attribute(projection, "transB") else 0
    name = projection.input[1]
    for node in graph.node:
        if name in node.output and node.op_type == "Transpose":
            name, axis = node.input[0], 1 - axis
    if name not in tensors:
        raise _head_not_found(projection.output[0], f"{projection.name} without stored weights")
    return int(tensors[name].dims[axis]), int(tensors[name].data_type)


def _gather_rows(graph: onnx.GraphProto, hidden: str, facts: tuple[int, int], logits: str) -> None:
    """Replace the logits output by the rows `ROWS` of the flattened hidden states."""
    from onnx import TensorProto, helper

    width, element_type = facts
    shape = helper.make_tensor(f"{ROWS}_shape", TensorProto.INT64, [2], [-1, width])
    graph.initializer.append(shape)
    flat = f"{HIDDEN_ROWS}_flat"
    graph.node.append(helper.make_node("Reshape", [hidden, shape.name], [flat], name=flat))
    graph.node.append(
        helper.make_node("Gather", [flat, ROWS], [HIDDEN_ROWS], name=HIDDEN_ROWS, axis=0)
    )
    graph.input.append(helper.make_tensor_value_info(ROWS, TensorProto.INT64, ["n"]))
    kept = [value for value in graph.output if value.name != logits]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(HIDDEN_ROWS, element_type, ["n", width]))
    graph.output.extend(kept)


def _start_at(graph: onnx.GraphProto, hidden: str, facts: tuple[int, int], logits: str) -> None:
    """Make `hidden` the only input of the graph and `logits` its only output, both `[n, …]`."""
    from onnx import helper

    width, element_type = facts
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == hidden:
                node.input[index] = HIDDEN_ROWS
    output = next(value for value in graph.output if value.name == logits)
    vocabulary = output.type.tensor_type.shape.dim[-1].dim_value or "V"
    logits_type = output.type.tensor_type.elem_type
    del graph.input[:]
    del graph.output[:]
    graph.input.append(helper.make_tensor_value_info(HIDDEN_ROWS, element_type, ["n", width]))
    graph.output.append(helper.make_tensor_value_info(logits, logits_type, ["n", vocabulary]))


def prune(model: onnx.ModelProto) -> None:
    """Drop nodes, weights and inputs that no output needs."""
    graph = model.graph
    producer = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needed: set[str] = set()
    kept: set[int] = set()
    pending = [value.name for value in graph.output]
    while pending:
        name = pending.pop()
        if not name or name in needed:
            continue
        needed.add(name)
        index = producer.get(name)
        if index is not None and index not in kept:
            kept.add(index)
            pending.extend(_reads(graph.node[index]))
    _keep(graph.node, lambda index, _: index in kept)
    _keep(graph.initializer, lambda _, tensor: tensor.name in needed)
    _keep(graph.input, lambda _, value: value.name in needed)
    del graph.value_info[:]


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those of its branches included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)


def _keep(field: Any, wanted: Callable[[int, Any], bool]) -> None:
    for index in reversed(range(len(field))):
        if not wanted(index, field[index]):
            del field[index]
