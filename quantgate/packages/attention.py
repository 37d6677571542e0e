"""How a decoder's attention takes a token tree, and what it must be fed for that.

GroupQueryAttention has two optional inputs that the model builder leaves empty: position ids and
an additive bias. A node is put beside its twin that has them, under an `If`: a row that is a plain
chain runs the very node that ships (it is also faster: some kernels have no bias), a packed row
its twin. MultiHeadAttention as the builder writes it takes its mask as a bias already; that is
replaced by ours, which is then always fed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

BIAS = "quantgate_attention_bias"
POSITIONS = "quantgate_position_ids"
PACKED = "quantgate_packed"

GROUPED = "GroupQueryAttention"
MULTI_HEAD = "MultiHeadAttention"
COMBINED = "Attention"
GQA_POSITION_IDS, GQA_ATTENTION_BIAS = 9, 10
MHA_ATTENTION_BIAS = 5
COMBINED_PAST = 4
CACHE_RANK = 4


@dataclass(frozen=True, slots=True)
class Attention:
    """How a body's attention is fed.

    Attributes:
        packs: it takes a bias `BIAS` `[1, 1, S, T]`, so that rows may carry token trees.
        keeps_prefix: several tokens may follow a kept cache.
        positions: name of the input that takes position ids, or "" without one.
        bias_type: `onnx.TensorProto.DataType` of the bias.
        switched: `PACKED`, a boolean, says whether bias and positions are read at all.
        needs_past: positions are read behind a cache only. ONNX Runtime's GroupQueryAttention
            counts from 0 where there is none, whatever `position_ids` says (1.31).
        lossless: the cache holds keys and values as they were computed, not rounded.
    """

    packs: bool
    keeps_prefix: bool
    positions: str
    bias_type: int
    switched: bool
    needs_past: bool = False
    lossless: bool = False


def attention_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The graph's attention nodes, in its order."""
    return [node for node in graph.node if node.op_type.endswith("Attention")]


def attention_kinds(graph: onnx.GraphProto) -> set[str]:
    """Operator types of the graph's attention nodes."""
    return {node.op_type for node in attention_nodes(graph)}


def wire_attention(graph: onnx.GraphProto, position_ids: str, *, packing: bool) -> Attention:
    """Give the attention of `graph` a bias where every node allows it, and say how to feed it.

    Args:
        graph: changed in place.
        position_ids: name of the graph's position input, if it has one.
        packing: False leaves the graph as it is.
    """
    own = position_ids if any(value.name == position_ids for value in graph.input) else ""
    nodes, kinds = attention_nodes(graph), attention_kinds(graph)
    bias_type, lossless = _cache_type(graph), _is_lossless(graph)
    if packing and kinds == {GROUPED} and all(map(_takes_tree, nodes)):
        rotary = any(int_attribute(node, "do_rotary") for node in nodes)
        _switch_grouped(graph, bias_type, rotary=rotary)
        return Attention(
            packs=True,
            keeps_prefix=True,
            positions=POSITIONS if rotary else own,
            bias_type=bias_type,
            switched=True,
            needs_past=rotary,
            lossless=lossless,
        )
    if packing and kinds == {MULTI_HEAD} and own:
        for node in nodes:
            set_input(node, MHA_ATTENTION_BIAS, BIAS)
        _add_bias_input(graph, bias_type)
        return Attention(
            packs=True,
            keeps_prefix=True,
            positions=own,
            bias_type=bias_type,
            switched=False,
            lossless=lossless,
        )
    # The builder's mask for MultiHeadAttention can't be expanded for several tokens behind a
    # cache; only our own bias can. Of plain operators nobody knows.
    return Attention(
        packs=False,
        keeps_prefix=bool(nodes) and all(map(_follows_cache, nodes)),
        positions=own,
        bias_type=bias_type,
        switched=False,
        lossless=lossless,
    )


def _follows_cache(node: onnx.NodeProto) -> bool:
    """Whether several tokens may follow a cache and each sees those before it.

    ONNX has an Attention of its own, whose inputs are others.
    """
    if node.op_type == COMBINED and node.domain == "com.microsoft":
        past = list(node.input[COMBINED_PAST : COMBINED_PAST + 1])
        causal = int_attribute(node, "unidirectional")
        return bool(causal and any(past) and not int_attribute(node, "past_present_share_buffer"))
    return bool(node.op_type == GROUPED)


def _takes_tree(node: onnx.NodeProto) -> bool:
    """Whether a token tree is exact here: no window that counts packed neighbours, free inputs."""
    taken = node.input[GQA_POSITION_IDS : GQA_ATTENTION_BIAS + 1]
    return int_attribute(node, "local_window_size", -1) in {-1, 0} and not any(taken)


def _switch_grouped(graph: onnx.GraphProto, bias_type: int, *, rotary: bool) -> None:
    """Replace each attention node by a choice between itself and its twin with a bias."""
    from onnx import TensorProto, helper

    for index, node in enumerate(graph.node):
        if node.op_type == GROUPED:
            switch = _switch(node)
            graph.node.remove(node)
            graph.node.insert(index, switch)
    _add_bias_input(graph, bias_type)
    graph.input.append(helper.make_tensor_value_info(PACKED, TensorProto.BOOL, []))
    if rotary:
        graph.input.append(helper.make_tensor_value_info(POSITIONS, TensorProto.INT64, [1, "s"]))


def _switch(node: onnx.NodeProto) -> onnx.NodeProto:
    from onnx import helper

    branches = {}
    for branch in ("then_branch", "else_branch"):
        inner = type(node).FromString(node.SerializeToString())
        if branch == "then_branch":
            set_input(inner, GQA_ATTENTION_BIAS, BIAS)
            if int_attribute(node, "do_rotary"):
                set_input(inner, GQA_POSITION_IDS, POSITIONS)
        names = [f"{name}/{branch}" if name else "" for name in node.output]
        inner.output[:] = names
        outputs = [helper.make_empty_tensor_value_info(name) for name in names if name]
        branches[branch] = helper.make_graph([inner], f"{node.name}/{branch}", [], outputs)
    kept = [name for name in node.output if name]
    return helper.make_node("If", [PACKED], kept, name=f"{node.name}/switch", **branches)


def _add_bias_input(graph: onnx.GraphProto, bias_type: int) -> None:
    from onnx import helper

    graph.input.append(helper.make_tensor_value_info(BIAS, bias_type, [1, 1, "s", "t"]))


def _cache_type(graph: onnx.GraphProto) -> int:
    """Element type of attention: the KV cache's, or float32 where that is quantized or absent.

    Of all inputs only caches have four dimensions or more.
    """
    from onnx import TensorProto

    floats = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for value in graph.input:
        element_type = int(value.type.tensor_type.elem_type)
        if len(value.type.tensor_type.shape.dim) >= CACHE_RANK and element_type in floats:
            return element_type
    return int(TensorProto.FLOAT)


def _is_lossless(graph: onnx.GraphProto) -> bool:
    """Whether attention itself reads every cache, in a type of its own computation.

    A cast stands before a cache of a narrower type, and integers are scaled.
    """
    from onnx import TensorProto

    caches = {
        value.name: int(value.type.tensor_type.elem_type)
        for value in graph.input
        if len(value.type.tensor_type.shape.dim) >= CACHE_RANK
    }
    read = {name for node in attention_nodes(graph) for name in node.input}
    own = {int(TensorProto.FLOAT), int(TensorProto.FLOAT16)}
    return bool(caches) and set(caches) <= read and set(caches.values()) <= own


def int_attribute(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    """Integer attribute of a node."""
    for attribute in node.attribute:
        if attribute.name == name:
            return int(attribute.i)
    return default


def set_input(node: onnx.NodeProto, index: int, name: str) -> None:
    """Let a node read `name` as its input number `index`, whether it had one or not."""
    node.input.extend([""] * (index + 1 - len(node.input)))
    node.input[index] = name
