"""Splits a decoder graph, in memory, into a body and a head.

*Head*: the path from `logits` up to the matrix multiplication with the vocabulary, through the
element-wise nodes behind it (casts, soft-capping, scaling). *Body*: all that comes before, with
the head's input gathered at chosen rows as its output, so that vocabulary-wide work is done for
scored rows only. Nodes by which a package keeps the last position alone fall away between the
two. The weights stay in the package's files; both graphs point at them.

Where attention allows it (`packages.attention`), one row of the body can carry a whole token tree
behind a kept prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantgate.packages.attention import Attention, wire_attention
from quantgate.packages.head import Head, find_head

if TYPE_CHECKING:
    import onnx

ROWS = "quantgate_rows"
HIDDEN_ROWS = "quantgate_hidden_rows"
# Node that fails where the hidden rows aren't those of every position.
EVERY_POSITION = "quantgate_every_position"


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
    model: onnx.ModelProto,
    *,
    logits: str,
    position_ids: str,
    input_ids: str = "input_ids",
    packing: bool = True,
) -> SplitGraph:
    """Split `model` (weights on disk) at the input of its head.

    Args:
        model: a decoder; it is left as it was.
        logits: name of its logits output.
        position_ids: name of its position input, if it has one.
        input_ids: name of its ids, `[batch, sequence]`.
        packing: give attention a bias input where it takes one.

    Raises:
        InvalidMeasurement: `head-not-found` where the logits don't come from a projection through
            element-wise nodes and row selections only.
    """
    found = find_head(model.graph, logits)
    body = copy.deepcopy(model)
    attention = wire_attention(body.graph, position_ids, packing=packing)
    _gather_rows(body.graph, found, logits, input_ids)
    prune(body)
    head = copy.deepcopy(model)
    _start_at(head.graph, found, logits)
    prune(head)
    return SplitGraph(body, head, attention)


def _gather_rows(graph: onnx.GraphProto, head: Head, logits: str, input_ids: str) -> None:
    """Replace the logits output by the rows `ROWS` of the flattened hidden states."""
    from onnx import TensorProto, helper

    def node(kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def sizes(name: str, *values: int) -> str:
        graph.initializer.append(
            helper.make_tensor(name, TensorProto.INT64, [len(values)], list(values))
        )
        return name

    # A flattened tensor no longer tells which position a row belongs to; that there is one for
    # every id is proved before.
    width = sizes(f"{ROWS}_width", head.width)
    ids = node("Shape", [input_ids], f"{ROWS}_ids")
    full = node("Concat", [ids, width], f"{ROWS}_full", axis=0)
    every = node("Reshape", [head.hidden, full], EVERY_POSITION)
    flat = node("Reshape", [every, sizes(f"{ROWS}_shape", -1, head.width)], f"{HIDDEN_ROWS}_flat")
    carried = carried_type(head.element_type)
    if carried == head.element_type:
        node("Gather", [flat, ROWS], HIDDEN_ROWS, axis=0)
    else:
        rows = node("Gather", [flat, ROWS], f"{HIDDEN_ROWS}_narrow", axis=0)
        node("Cast", [rows], HIDDEN_ROWS, to=carried)
    graph.input.append(helper.make_tensor_value_info(ROWS, TensorProto.INT64, ["n"]))
    kept = [value for value in graph.output if value.name != logits]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(HIDDEN_ROWS, carried, ["n", head.width]))
    graph.output.extend(kept)


def _start_at(graph: onnx.GraphProto, head: Head, logits: str) -> None:
    """Make hidden rows the only input of the graph and `logits` its only output, both `[n, …]`."""
    from onnx import helper

    carried = carried_type(head.element_type)
    rows = HIDDEN_ROWS if carried == head.element_type else f"{HIDDEN_ROWS}_narrow"
    for node in graph.node:
        if node.output[:1] == head.projection.output[:1]:
            node.input[0] = rows
        elif node.output and node.output[0] in head.selectors:
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output[:1]))
    if rows != HIDDEN_ROWS:
        cast = helper.make_node("Cast", [HIDDEN_ROWS], [rows], name=rows, to=head.element_type)
        graph.node.insert(0, cast)
    output = next(value for value in graph.output if value.name == logits)
    vocabulary = output.type.tensor_type.shape.dim[-1].dim_value or "V"
    logits_type = output.type.tensor_type.elem_type
    del graph.input[:]
    del graph.output[:]
    graph.input.append(helper.make_tensor_value_info(HIDDEN_ROWS, carried, ["n", head.width]))
    graph.output.append(helper.make_tensor_value_info(logits, logits_type, ["n", vocabulary]))


def carried_type(element_type: int) -> int:
    """Type in which hidden rows leave a body and enter a head.

    NumPy has no bfloat16; every value of it is a float32, so nothing is lost on the way.
    """
    from onnx import TensorProto

    return int(TensorProto.FLOAT) if element_type == TensorProto.BFLOAT16 else element_type


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
