"""A GPT-2 in the layout of ONNX Runtime's transformers tool, and the same network in NumPy.

Keys and values of a layer share one tensor `past_%d` `[2, batch, heads, past, head size]`; ids,
mask and positions are int32. Attention is the fused operator or, as exports leave it, plain ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from tests.tiny_models import genai_config, save_model, write_tokenizer

HIDDEN, HEADS, LAYERS, CONTEXT = 32, 2, 2, 128
SIZE = HIDDEN // HEADS
EPSILON = 1e-5

Weights = dict[str, NDArray[np.float32]]


def write_gpt2(folder: Path, *, fused: bool = True, unidirectional: int = 1) -> Weights:
    """Write a package into `folder` and return its weights by name."""
    vocabulary = write_tokenizer(folder).get_vocab_size()
    weights = random_weights(vocabulary)
    graph = _Graph(weights)
    graph.decoder(vocabulary, fused=fused, unidirectional=unidirectional)
    made = helper.make_graph(
        graph.nodes,
        "gpt2",
        graph.inputs,
        graph.outputs,
        [
            numpy_helper.from_array(array, name)
            for name, array in (weights | graph.constants).items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    save_model(model, folder / "model.onnx")
    config = genai_config(vocabulary=vocabulary, context=CONTEXT)
    config["model"]["type"] = "gpt2"
    config["model"]["decoder"] |= {
        "num_hidden_layers": LAYERS,
        "head_size": SIZE,
        "inputs": {"past_names": "past_%d"},
        "outputs": {"present_names": "present_%d"},
    }
    (folder / "genai_config.json").write_text(json.dumps(config), "utf-8")
    return weights


def random_weights(vocabulary: int) -> Weights:
    """Weights of every tensor, the head tied to no embedding."""
    random = np.random.default_rng(7)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return random.normal(0, scale, shape).astype(np.float32)

    weights = {
        "tokens": normal(vocabulary, HIDDEN),
        "places": normal(CONTEXT, HIDDEN),
        "head": normal(HIDDEN, vocabulary, scale=0.3),
    }
    for layer in range(LAYERS):
        weights |= {
            f"scale_{layer}": 1 + normal(HIDDEN, scale=0.1),
            f"shift_{layer}": normal(HIDDEN, scale=0.1),
            f"qkv_{layer}": normal(HIDDEN, 3 * HIDDEN, scale=0.4),
            f"qkv_bias_{layer}": normal(3 * HIDDEN, scale=0.2),
            f"out_{layer}": normal(HIDDEN, HIDDEN, scale=0.4),
        }
    return weights


def gpt2_logits(weights: Weights, ids: Sequence[int]) -> NDArray[np.float64]:
    """`[len(ids), V]` by the definition, without a cache, in float64."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    count = len(ids)
    hidden = w["tokens"][list(ids)] + w["places"][:count]
    visible = np.tri(count, dtype=bool)
    for layer in range(LAYERS):
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        normed = normed * w[f"scale_{layer}"] + w[f"shift_{layer}"]
        q, k, v = np.split(normed @ w[f"qkv_{layer}"] + w[f"qkv_bias_{layer}"], 3, axis=-1)
        mixed = []
        for head in range(HEADS):
            part = slice(head * SIZE, (head + 1) * SIZE)
            scores = np.where(visible, q[:, part] @ k[:, part].T / np.sqrt(SIZE), -np.inf)
            chances = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed.append(chances / chances.sum(axis=-1, keepdims=True) @ v[:, part])
        hidden = hidden + np.concatenate(mixed, axis=-1) @ w[f"out_{layer}"]
    return hidden @ w["head"]


class _Graph:
    """Nodes, inputs and outputs of the decoder."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.constants: dict[str, NDArray[Any]] = {}
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **facts: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **facts))
        return output

    def ints(self, name: str, *values: int) -> str:
        self.constants[name] = np.array(values, dtype=np.int64)
        return name

    def decoder(self, vocabulary: int, *, fused: bool, unidirectional: int) -> None:
        for name, width in (("input_ids", "s"), ("position_ids", "s"), ("attention_mask", "t")):
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.INT32, ["b", width]))
        self.outputs.append(
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "s", vocabulary])
        )
        self.node("Gather", ["tokens", "input_ids"], "token_rows")
        self.node("Gather", ["places", "position_ids"], "place_rows")
        hidden = self.node("Add", ["token_rows", "place_rows"], "embedded")
        for layer in range(LAYERS):
            scale, shift = f"scale_{layer}", f"shift_{layer}"
            normed = self.node(
                "LayerNormalization", [hidden, scale, shift], f"norm_{layer}", epsilon=EPSILON
            )
            for name, values, length in (
                (f"past_{layer}", self.inputs, "p"),
                (f"present_{layer}", self.outputs, "t"),
            ):
                shape = [2, "b", HEADS, length, SIZE]
                values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
            if fused:
                self._fused(normed, layer, unidirectional)
            else:
                self._plain(normed, layer)
            self.node("MatMul", [f"mixed_{layer}", f"out_{layer}"], f"projected_{layer}")
            hidden = self.node("Add", [hidden, f"projected_{layer}"], f"after_{layer}")
        self.node("MatMul", [hidden, "head"], "logits")

    def _fused(self, normed: str, layer: int, unidirectional: int) -> None:
        weights = [f"qkv_{layer}", f"qkv_bias_{layer}"]
        self.nodes.append(
            helper.make_node(
                "Attention",
                [normed, *weights, "attention_mask", f"past_{layer}"],
                [f"mixed_{layer}", f"present_{layer}"],
                name=f"attention_{layer}",
                domain="com.microsoft",
                num_heads=HEADS,
                unidirectional=unidirectional,
            )
        )

    def _plain(self, normed: str, layer: int) -> None:
        """Concatenate the cache, mask what comes later and what is padding, attend."""
        tag = f"_{layer}"
        self.node("MatMul", [normed, f"qkv{tag}"], f"product{tag}")
        self.node("Add", [f"product{tag}", f"qkv_bias{tag}"], f"biased{tag}")
        self.nodes.append(
            helper.make_node(
                "Split", [f"biased{tag}"], [f"{n}{tag}" for n in ("q", "k", "v")], axis=-1
            )
        )
        apart = self.ints("apart", 0, 0, HEADS, SIZE)
        for name in ("q", "k", "v"):
            self.node("Reshape", [f"{name}{tag}", apart], f"{name}_apart{tag}")
            self.node("Transpose", [f"{name}_apart{tag}"], f"{name}_heads{tag}", perm=[0, 2, 1, 3])
        for number, name in enumerate(("k", "v")):
            index = self.ints(f"half_{number}", number)
            self.constants[index] = np.array(number, dtype=np.int64)
            self.node("Gather", [f"past{tag}", index], f"past_{name}{tag}", axis=0)
            self.node(
                "Concat", [f"past_{name}{tag}", f"{name}_heads{tag}"], f"all_{name}{tag}", axis=2
            )
            self.node("Unsqueeze", [f"all_{name}{tag}", self.ints("front", 0)], f"one_{name}{tag}")
        self.node("Concat", [f"one_k{tag}", f"one_v{tag}"], f"present{tag}", axis=0)
        self.node("Transpose", [f"all_k{tag}"], f"turned{tag}", perm=[0, 1, 3, 2])
        self.node("MatMul", [f"q_heads{tag}", f"turned{tag}"], f"scores{tag}")
        self.constants["root"] = np.array(np.sqrt(SIZE), dtype=np.float32)
        self.node("Div", [f"scores{tag}", "root"], f"scaled{tag}")
        self.node("Add", [f"scaled{tag}", self._mask(tag)], f"masked{tag}")
        self.node("Softmax", [f"masked{tag}"], f"chances{tag}", axis=-1)
        self.node("MatMul", [f"chances{tag}", f"all_v{tag}"], f"heads{tag}")
        self.node("Transpose", [f"heads{tag}"], f"behind{tag}", perm=[0, 2, 1, 3])
        self.node("Reshape", [f"behind{tag}", self.ints("joined", 0, 0, HIDDEN)], f"mixed{tag}")

    def _mask(self, tag: str) -> str:
        """`[b, 1, s, t]`: 0 where a token may look, -10000 elsewhere."""
        self.constants["sequence_axis"] = np.array(1, dtype=np.int64)
        for name, source in (("rows", "input_ids"), ("total", "attention_mask")):
            self.node("Shape", [source], f"{name}_shape{tag}")
            self.node("Gather", [f"{name}_shape{tag}", "sequence_axis"], f"{name}_count{tag}")
        self.constants |= {"zero": np.array(0, np.int64), "step": np.array(1, np.int64)}
        self.node("Sub", [f"total_count{tag}", f"rows_count{tag}"], f"behind_count{tag}")
        self.node("Range", ["zero", f"total_count{tag}", "step"], f"columns{tag}")
        self.node("Range", [f"behind_count{tag}", f"total_count{tag}", "step"], f"own{tag}")
        self.node("Unsqueeze", [f"own{tag}", self.ints("last_axis", 1)], f"own_rows{tag}")
        self.node("LessOrEqual", [f"columns{tag}", f"own_rows{tag}"], f"earlier{tag}")
        self.node("Cast", ["attention_mask"], f"real{tag}", to=TensorProto.BOOL)
        self.node("Unsqueeze", [f"real{tag}", self.ints("middle", 1, 2)], f"real_columns{tag}")
        self.node("And", [f"earlier{tag}", f"real_columns{tag}"], f"seen{tag}")
        self.constants |= {"free": np.array(0, np.float32), "closed": np.array(-1e4, np.float32)}
        return self.node("Where", [f"seen{tag}", "free", "closed"], f"bias{tag}")
