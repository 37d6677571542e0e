"""A decoder's whole graph as greedy decoding runs it: its last logits, and how its cache is kept.

What the package computes stays. Behind its logits, those of the last position are picked and
widened, so that a run hands over one row of float32 and not one for each token; before its
attention, lengths are told that it would count.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantgate.packages.attention import GROUPED, wire_attention
from quantgate.packages.lengths import tell_lengths
from quantgate.packages.package import OnnxPackage
from quantgate.packages.rotary_switch import rotary_switch
from quantgate.packages.shape import CacheInput, read_shape

if TYPE_CHECKING:
    import onnx

LAST_LOGITS = "quantgate_last_logits"
GQA_PAST, GQA_PRESENT = 3, 1
TO_THE_END = 2**62


@dataclass(frozen=True, slots=True)
class DecoderGraph:
    """A whole graph and what its inputs are.

    Attributes:
        model: yields `LAST_LOGITS`, float32 `[vocabulary]`, and the cache.
        input_ids, attention_mask, positions: names of its inputs; those that it doesn't take
            are "".
        vocabulary: the ids that the model knows, among which the next one is.
        caches: past inputs with their present outputs.
        continues: several tokens may follow a cache.
        shares_buffers: a past and its present may be one buffer with room for what is to come.
        switch: length beyond which a sequence is computed with other rotary tables; None without.
    """

    model: onnx.ModelProto
    input_ids: str
    attention_mask: str
    positions: str
    vocabulary: int
    caches: tuple[CacheInput, ...]
    continues: bool
    shares_buffers: bool
    switch: int | None

    @property
    def types(self) -> dict[str, int]:
        """`onnx.TensorProto.DataType` of each input."""
        inputs = self.model.graph.input
        return {value.name: int(value.type.tensor_type.elem_type) for value in inputs}


def decoder_graph(package: OnnxPackage, graph: onnx.ModelProto) -> DecoderGraph:
    """Prepare `graph`, the package's own or one made of it; it is left as it was.

    Raises:
        UsageFault: `layout-unsupported` where a past input has no plain KV shape.
    """
    model, config = copy.deepcopy(graph), package.config
    caches = read_shape(package, model).caches
    _pick_last(model.graph, config.logits, config.vocab_size)
    tell_lengths(model)
    taken = {value.name for value in model.graph.input}
    mask = config.names.attention_mask
    attention = wire_attention(model.graph, config.position_ids, packing=False)
    return DecoderGraph(
        model=model,
        input_ids=config.names.input_ids,
        attention_mask=mask if mask in taken else "",
        positions=attention.positions,
        vocabulary=config.vocab_size,
        caches=caches,
        continues=attention.keeps_prefix and bool(caches),
        shares_buffers=shares_buffers(model.graph, caches),
        switch=rotary_switch(graph, package.weights_folder),
    )


def shares_buffers(graph: onnx.GraphProto, caches: Sequence[CacheInput]) -> bool:
    """Whether each past goes straight into a GroupQueryAttention that yields its present.

    That operator writes behind what a longer buffer holds where both are the same memory; it is
    told the length by an input of its own.
    """
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, index))
    return bool(caches) and all(
        _writes_behind(cache, readers.get(cache.name, [])) for cache in caches
    )


def _writes_behind(cache: CacheInput, readers: Sequence[tuple[onnx.NodeProto, int]]) -> bool:
    if len(readers) != 1:
        return False
    node, index = readers[0]
    present = index - GQA_PAST + GQA_PRESENT
    return (
        node.op_type == GROUPED
        and index in {GQA_PAST, GQA_PAST + 1}
        and list(node.output[present : present + 1]) == [cache.present]
    )


def _pick_last(graph: onnx.GraphProto, logits: str, vocabulary: int) -> None:
    """Put `LAST_LOGITS` in the place of logits `[1, n, V]`, or `[1, V]` of the last alone."""
    from onnx import TensorProto, helper

    (whole,) = (value for value in graph.output if value.name == logits)

    def ints(name: str, *values: int) -> str:
        full = f"{LAST_LOGITS}_{name}"
        graph.initializer.append(
            helper.make_tensor(full, TensorProto.INT64, [len(values)], list(values))
        )
        return full

    def node(kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    # The last of positions, or of a batch of one where the graph yields no others.
    edges = [ints("from", -1, 0), ints("to", TO_THE_END, vocabulary), ints("axes", -2, -1)]
    row = node("Slice", [logits, *edges], f"{LAST_LOGITS}_row")
    # Behind selections of rows there may be more dimensions of one than are declared.
    flat = ints("shape", vocabulary)
    if whole.type.tensor_type.elem_type == TensorProto.FLOAT:
        node("Reshape", [row, flat], LAST_LOGITS)
    else:
        node("Reshape", [row, flat], f"{LAST_LOGITS}_narrow")
        node("Cast", [f"{LAST_LOGITS}_narrow"], LAST_LOGITS, to=TensorProto.FLOAT)
    graph.output.remove(whole)
    graph.output.append(helper.make_tensor_value_info(LAST_LOGITS, TensorProto.FLOAT, [vocabulary]))
