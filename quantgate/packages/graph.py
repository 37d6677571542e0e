"""Splits a decoder graph, in memory, into a body and a head.

*Head*: the path from `logits` up to the matrix multiplication with the vocabulary, through the
element-wise nodes behind it (casts, soft-capping, scaling). *Body*: all that comes before, with
the head's input gathered at chosen rows as its output, so that vocabulary-wide work is done for
scored rows only. The weights stay in the package's external data; both graphs point at it.

Where attention allows it, the body also takes an additive attention bias and position ids as
inputs, so that one row can carry a whole token tree behind a kept prefix.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import onnx

ROWS = "quantgate_rows"
HIDDEN_ROWS = "quantgate_hidden_rows"
BIAS = "quantgate_attention_bias"
POSITIONS = "quantgate_position_ids"

PROJECTIONS = frozenset({"MatMul", "MatMulNBits", "Gemm"})
# What may stand between the projection and the logits. Add's second operand (a bias vector) and
# the constants of soft-capping travel with the head because they are reachable from the logits.
ELEMENTWISE = frozenset({"Cast", "Mul", "Div", "Tanh", "Add"})
GQA_POSITION_IDS, GQA_ATTENTION_BIAS = 9, 10
MHA_ATTENTION_BIAS = 5


@dataclass(frozen=True, slots=True)
class SplitGraph:
    """Body and head, and how the body's attention takes a bias.

    Attributes:
        body: model with inputs as before plus `ROWS` int64 `[n]` and, if `packs`, `BIAS`
            `[1, 1, S, T]`; its first output is `HIDDEN_ROWS` `[n, H]`.
        head: model from `HIDDEN_ROWS` `[n, H]` to the logits `[n, V]`.
        packs: whether attention takes a bias, so that rows may carry token trees.
        keeps_prefix: whether several tokens may follow a kept cache.
        positions: name of the input that takes position ids, or "" without one.
        bias_type: `onnx.TensorProto.DataType` of the bias.
    """

    body: onnx.ModelProto
    head: onnx.ModelProto
    packs: bool
    keeps_prefix: bool
    positions: str
    bias_type: int


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
    packs, positions, bias_type = False, _own_positions(body.graph, position_ids), element_type
    if packing:
        bias_type = _cache_type(body.graph, element_type)
        packs, positions = _wire_attention(body.graph, bias_type, positions)
    _gather_rows(body.graph, hidden, (width, element_type), logits)
    prune(body)
    head = copy.deepcopy(model)
    _start_at(head.graph, hidden, (width, element_type), logits)
    prune(head)
    # The builder's mask for MultiHeadAttention can't be expanded for several tokens behind a
    # cache; only our own bias can.
    keeps_prefix = packs or attention_kinds(body.graph) == {"GroupQueryAttention"}
    return SplitGraph(body, head, packs, keeps_prefix, positions, bias_type)


def attention_kinds(graph: onnx.GraphProto) -> set[str]:
    """Operator types of the graph's attention nodes."""
    return {node.op_type for node in graph.node if node.op_type.endswith("Attention")}


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
        return _attribute(projection, "K"), int(tensors[projection.input[2]].data_type)
    axis = 1 if projection.op_type == "Gemm" and _attribute(projection, "transB") else 0
    name = projection.input[1]
    for node in graph.node:
        if name in node.output and node.op_type == "Transpose":
            name, axis = node.input[0], 1 - axis
    if name not in tensors:
        raise _head_not_found(projection.output[0], f"{projection.name} without stored weights")
    return int(tensors[name].dims[axis]), int(tensors[name].data_type)


def _own_positions(graph: onnx.GraphProto, name: str) -> str:
    return name if any(value.name == name for value in graph.input) else ""


def _cache_type(graph: onnx.GraphProto, fallback: int) -> int:
    """Element type of attention: the KV cache's, unless that is quantized or absent."""
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for value in graph.input:
        element_type = int(value.type.tensor_type.elem_type)
        if "past" in value.name and element_type in floats:
            return element_type
    return fallback


def _wire_attention(graph: onnx.GraphProto, element_type: int, positions: str) -> tuple[bool, str]:
    """Give attention a bias input where every node allows it; return (packs, position input)."""
    from onnx import TensorProto, helper

    attention = [node for node in graph.node if node.op_type.endswith("Attention")]
    kinds = attention_kinds(graph)
    if kinds == {"GroupQueryAttention"} and all(map(_may_wire_grouped, attention)):
        for node in attention:
            _set_input(node, GQA_ATTENTION_BIAS, BIAS)
            if _attribute(node, "do_rotary"):
                _set_input(node, GQA_POSITION_IDS, POSITIONS)
                positions = POSITIONS
    elif kinds == {"MultiHeadAttention"} and positions:
        for node in attention:
            _set_input(node, MHA_ATTENTION_BIAS, BIAS)
    else:
        return False, positions
    graph.input.append(helper.make_tensor_value_info(BIAS, element_type, [1, 1, "S", "T"]))
    if positions == POSITIONS:
        graph.input.append(helper.make_tensor_value_info(POSITIONS, TensorProto.INT64, [1, "S"]))
    return True, positions


def _may_wire_grouped(node: onnx.NodeProto) -> bool:
    """Whether a token tree is exact here: no window that counts packed neighbours, free inputs."""
    taken = [*node.input[GQA_POSITION_IDS : GQA_ATTENTION_BIAS + 1]]
    return _attribute(node, "local_window_size", -1) in {-1, 0} and not any(taken)


def _attribute(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    for attribute in node.attribute:
        if attribute.name == name:
            return int(attribute.i)
    return default


def _set_input(node: onnx.NodeProto, index: int, name: str) -> None:
    node.input.extend([""] * (index + 1 - len(node.input)))
    node.input[index] = name


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
            pending.extend(graph.node[index].input)
    _keep(graph.node, lambda index, _: index in kept)
    _keep(graph.initializer, lambda _, tensor: tensor.name in needed)
    _keep(graph.input, lambda _, value: value.name in needed)
    del graph.value_info[:]


def _keep(field: Any, wanted: Callable[[int, Any], bool]) -> None:
    for index in reversed(range(len(field))):
        if not wanted(index, field[index]):
            del field[index]
