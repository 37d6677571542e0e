"""Graphs of nodes and tensors without contents: all that is read of them is how they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

OF_ONNX_RUNTIME = frozenset(
    {"GatherBlockQuantized", "MatMulBnb4", "MatMulFpQ4", "MatMulNBits", "QAttention", "QMoE"}
)


def tensor(name: str, kind: int, *dims: int) -> TensorProto:
    """A tensor of which only the outside is there."""
    return TensorProto(name=name, data_type=kind, dims=dims)


def node(kind: str, inputs: Sequence[str], output: str, **facts: Any) -> onnx.NodeProto:
    """A node named like its output, unless it is told another name."""
    domain = "com.microsoft" if kind in OF_ONNX_RUNTIME else ""
    return helper.make_node(
        kind, inputs, [output], name=facts.pop("name", output), domain=domain, **facts
    )


def graph(nodes: Sequence[onnx.NodeProto], tensors: Sequence[TensorProto]) -> onnx.GraphProto:
    """A graph without inputs and outputs."""
    return helper.make_graph(list(nodes), "g", [], [], list(tensors))


def nbits(
    name: str, source: str, output: str, *, zero_points: bool = False, **facts: Any
) -> tuple[onnx.NodeProto, list[TensorProto]]:
    """A MatMulNBits of 64 inputs and 32 outputs with its tensors; 4 bits in blocks of 32."""
    facts = {"K": 64, "N": 32, "bits": 4, "block_size": 32, **facts}
    blocks = -(-64 // facts["block_size"])
    tensors = [
        tensor(f"{name}.packed", TensorProto.UINT8, 32, blocks, 64 * facts["bits"] // 8 // blocks),
        tensor(f"{name}.scales", TensorProto.FLOAT, 32, blocks),
    ]
    if zero_points:
        tensors.append(tensor(f"{name}.zeros", TensorProto.UINT8, 32 * blocks))
    inputs = [source, *(each.name for each in tensors)]
    return node("MatMulNBits", inputs, output, name=name, **facts), tensors


def decoder(layers: Sequence[Mapping[str, Mapping[str, Any]]], form: str) -> onnx.GraphProto:
    """Grouped query attention and no more, layer by layer, between an embedding and a head.

    Args:
        layers: facts of each layer's projections `q`, `k`, `v` or `qkv`, and others, by name.
        form: names of their nodes, of `{layer}` and `{name}`.
    """
    nodes = [node("Gather", ["table", "input_ids"], "hidden_0")]
    tensors = [tensor("table", TensorProto.FLOAT, 300, 64)]
    for layer, projections in enumerate(layers):
        outputs = {}
        for name, facts in projections.items():
            outputs[name] = f"{name}_out_{layer}"
            made, own = nbits(
                form.format(layer=layer, name=name), f"hidden_{layer}", outputs[name], **facts
            )
            nodes.append(made)
            tensors += own
        fused = "qkv" in outputs
        read = [outputs["qkv"], "", ""] if fused else [outputs[name] for name in "qkv"]
        nodes.append(
            helper.make_node("GroupQueryAttention", read, [f"hidden_{layer + 1}"], f"a_{layer}")
        )
    tensors.append(tensor("head", TensorProto.FLOAT16, 64, 300))
    last = [f"hidden_{len(layers)}", "head"]
    nodes.append(node("MatMul", last, "logits", name="/lm_head/MatMul"))
    return graph(nodes, tensors)
