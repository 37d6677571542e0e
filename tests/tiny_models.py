"""Decoder packages small enough for tests, written node by node.

The graphs have the shape that onnxruntime-genai's model builder gives a Llama: RMS norms, grouped
query attention with rotary embedding inside, a gated MLP, weights in one external file. Nothing of
quantgate is imported here, so that a fault of it can't hide in what it is tested on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_SIZE = 64, 2, 4, 2, 16
BLOCK = 32
BFLOAT16 = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
LETTER_MERGES = (("Ġ", "A"), ("Ġ", "B"), ("Ġ", "C"), ("Ġ", "D"))
WORD_MERGES = (("t", "h"), ("th", "e"), ("Ġ", "t"), ("Ġ", "the"), ("i", "n"), ("o", "n"))
SPECIALS = ("<s>", "</s>")


@dataclass(frozen=True)
class Tiny:
    """What may differ between the packages of a test.

    `head` is one of `matmul`, `tied`, `gemm`, `bias`, `capped`, `capped_constants`, `nbits`,
    `pruned`, `pruned_after`, `pruned_slice`, `pruned_nd`, `pruned_early`, `bfloat16`, `softmax`,
    `input_added`.
    """

    head: str = "matmul"
    context: int = 256
    seed: int = 0
    vocabulary: int = 0  # 0: the tokenizer's
    attention: dict[str, Any] = field(default_factory=dict)
    poison: str = ""  # "nan" or "inf": one weight of the head
    logit_scale: float = 1.0
    cache_type: int = TensorProto.FLOAT  # BFLOAT16: cast before and after attention


def byte_tokenizer(
    *,
    merges: Sequence[tuple[str, str]] = (*LETTER_MERGES, *WORD_MERGES),
    adds_bos: bool = False,
    splits_words: bool = True,
) -> Tokenizer:
    """A byte-level BPE with the given merges; without `splits_words`, merges cross words."""
    words = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: number for number, word in enumerate(words)}
    for left, right in merges:
        vocabulary.setdefault(left + right, len(vocabulary))
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=splits_words
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    if adds_bos:
        bos = tokenizer.token_to_id(SPECIALS[0])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{SPECIALS[0]} $A", special_tokens=[(SPECIALS[0], bos)]
        )
    return tokenizer


def write_tokenizer(folder: Path, tokenizer: Tokenizer | None = None) -> Tokenizer:
    """Write `tokenizer`, or the usual one, in the files that transformers reads."""
    tokenizer = tokenizer or byte_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIALS[0],
        "eos_token": SPECIALS[1],
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), "utf-8")
    return tokenizer


def genai_config(*, vocabulary: int, context: int) -> dict[str, Any]:
    """What the model builder writes, as far as scoring reads it."""
    return {
        "model": {
            "type": "llama",
            "context_length": context,
            "vocab_size": vocabulary,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "decoder": {
                "filename": "model.onnx",
                "num_hidden_layers": LAYERS,
                "head_size": HEAD_SIZE,
                "num_attention_heads": HEADS,
                "num_key_value_heads": KV_HEADS,
                "hidden_size": HIDDEN,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
            },
        }
    }


def write_package(
    folder: Path, tiny: Tiny | None = None, *, tokenizer: Tokenizer | None = None
) -> Path:
    """Write a whole package into `folder` and return it."""
    tiny = tiny or Tiny()
    tokenizer = write_tokenizer(folder, tokenizer)
    vocabulary = tiny.vocabulary or tokenizer.get_vocab_size()
    model = decoder_model(tiny, vocabulary)
    save_model(model, folder / "model.onnx")
    config = genai_config(vocabulary=vocabulary, context=tiny.context)
    (folder / "genai_config.json").write_text(json.dumps(config, indent=1), "utf-8")
    return folder


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Save with the large tensors in `<name>.data`."""
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
        size_threshold=256,
    )


def decoder_model(tiny: Tiny, vocabulary: int) -> onnx.ModelProto:
    """The decoder as one model with its weights inside."""
    build = _Builder(tiny, vocabulary)
    hidden = build.body()
    build.heads[tiny.head](hidden)
    graph = helper.make_graph(build.nodes, "tiny", build.inputs, build.outputs, build.weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


class _Builder:
    """Collects the nodes and weights of one decoder."""

    def __init__(self, tiny: Tiny, vocabulary: int) -> None:
        self.tiny, self.vocabulary = tiny, vocabulary
        self.random = np.random.default_rng(tiny.seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs = [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"]),
        ]
        self.outputs = [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", "sequence", vocabulary]
            )
        ]
        self.heads: dict[str, Callable[[str], None]] = {
            "matmul": self._matmul,
            "tied": self._tied,
            "gemm": self._gemm,
            "bias": self._bias,
            "capped": self._capped,
            "capped_constants": self._capped_constants,
            "nbits": self._nbits,
            "pruned": self._pruned,
            "pruned_after": self._pruned_after,
            "pruned_slice": self._pruned_slice,
            "pruned_nd": self._pruned_nd,
            "pruned_early": self._pruned_early,
            "bfloat16": self._bfloat16,
            "softmax": self._softmax,
            "input_added": self._input_added,
        }

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        domain = "com.microsoft" if kind in {"GroupQueryAttention", "MatMulNBits"} else ""
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def normal(self, name: str, *shape: int, scale: float = 1.0) -> str:
        spread = scale / np.sqrt(shape[0])
        return self.weight(name, self.random.normal(0, spread, shape).astype(np.float32))

    def body(self) -> str:
        table = self.random.normal(0, 0.3, (self.vocabulary, HIDDEN)).astype(np.float32)
        hidden = self.node("Gather", [self.weight("embedding", table), "input_ids"], "embedded")
        self._lengths()
        self._rotary()
        for layer in range(LAYERS):
            hidden = self._attention(hidden, layer)
            hidden = self._mlp(hidden, layer)
        if self.tiny.head == "pruned_early":  # before the norm, where no head begins
            last = self.weight("last", np.array([-1], np.int64))
            hidden = self.node("Gather", [hidden, last], "last_hidden", axis=1)
        return self._norm(hidden, "final_norm")

    def _lengths(self) -> None:
        """The two int32 lengths that grouped query attention takes."""
        axis, one = np.array([1], np.int64), np.array(1, np.int64)
        self.weight("axis_1", axis)
        self.weight("one", one)
        self.node("ReduceSum", ["attention_mask", "axis_1"], "lengths", keepdims=0)
        self.node("Sub", ["lengths", "one"], "lengths_less_1")
        self.node("Cast", ["lengths_less_1"], "seqlens_k", to=TensorProto.INT32)
        self.node("Shape", ["attention_mask"], "mask_shape")
        self.node("Gather", ["mask_shape", "one"], "total_64", axis=0)
        self.node("Cast", ["total_64"], "total", to=TensorProto.INT32)

    def _rotary(self) -> None:
        steps = np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE
        angles = np.outer(np.arange(self.tiny.context), 10_000.0**-steps)
        self.weight("cos", np.cos(angles).astype(np.float32))
        self.weight("sin", np.sin(angles).astype(np.float32))

    def _norm(self, hidden: str, name: str) -> str:
        scale = self.weight(f"{name}.weight", np.ones(HIDDEN, np.float32))
        return self.node(
            "SimplifiedLayerNormalization", [hidden, scale], name, axis=-1, epsilon=1e-5
        )

    def _attention(self, hidden: str, layer: int) -> str:
        normed = self._norm(hidden, f"norm_a_{layer}")
        sizes = {"q": HEADS * HEAD_SIZE, "k": KV_HEADS * HEAD_SIZE, "v": KV_HEADS * HEAD_SIZE}
        for name, size in sizes.items():
            matrix = self.normal(f"{name}_{layer}.weight", HIDDEN, size, scale=2.0)
            self.node("MatMul", [normed, matrix], f"{name}_{layer}")
        past, present = [], []
        for kind in ("key", "value"):
            past.append(f"past_key_values.{layer}.{kind}")
            present.append(f"present.{layer}.{kind}")
            for names, values, length in (
                (past, self.inputs, "past"),
                (present, self.outputs, "total"),
            ):
                shape = ["batch", KV_HEADS, length, HEAD_SIZE]
                kind_of_cache = self.tiny.cache_type
                values.append(helper.make_tensor_value_info(names[-1], kind_of_cache, shape))
        attributes = {"num_heads": HEADS, "kv_num_heads": KV_HEADS, "do_rotary": 1}
        inputs = [f"{name}_{layer}" for name in sizes]
        if self.tiny.cache_type != TensorProto.FLOAT:
            past = [
                self.node("Cast", [name], f"wide_{name}", to=TensorProto.FLOAT) for name in past
            ]
            for name in present:
                self.node("Cast", [f"wide_{name}"], name, to=self.tiny.cache_type)
            present = [f"wide_{name}" for name in present]
        node = helper.make_node(
            "GroupQueryAttention",
            [*inputs, *past, "seqlens_k", "total", "cos", "sin"],
            [f"attention_{layer}", *present],
            name=f"attention_{layer}",
            domain="com.microsoft",
            **{**attributes, **self.tiny.attention},
        )
        self.nodes.append(node)
        matrix = self.normal(f"o_{layer}.weight", HEADS * HEAD_SIZE, HIDDEN)
        self.node("MatMul", [f"attention_{layer}", matrix], f"o_{layer}")
        return self.node("Add", [hidden, f"o_{layer}"], f"after_attention_{layer}")

    def _mlp(self, hidden: str, layer: int) -> str:
        normed = self._norm(hidden, f"norm_m_{layer}")
        for name in ("gate", "up"):
            matrix = self.normal(f"{name}_{layer}.weight", HIDDEN, 2 * HIDDEN)
            self.node("MatMul", [normed, matrix], f"{name}_{layer}")
        self.node("Sigmoid", [f"gate_{layer}"], f"sigmoid_{layer}")
        self.node("Mul", [f"gate_{layer}", f"sigmoid_{layer}"], f"silu_{layer}")
        self.node("Mul", [f"silu_{layer}", f"up_{layer}"], f"gated_{layer}")
        matrix = self.normal(f"down_{layer}.weight", 2 * HIDDEN, HIDDEN)
        self.node("MatMul", [f"gated_{layer}", matrix], f"down_{layer}")
        return self.node("Add", [hidden, f"down_{layer}"], f"after_mlp_{layer}")

    def _head_matrix(self) -> np.ndarray:
        matrix = self.random.normal(0, 1.5 / np.sqrt(HIDDEN), (HIDDEN, self.vocabulary))
        matrix *= self.tiny.logit_scale
        if self.tiny.poison:
            matrix[3, 5] = float(self.tiny.poison)
        return matrix.astype(np.float32)

    def _matmul(self, hidden: str) -> None:
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "logits")

    def _tied(self, hidden: str) -> None:
        self.node("Transpose", ["embedding"], "embedding_t", perm=[1, 0])
        self.node("MatMul", [hidden, "embedding_t"], "logits")

    def _gemm(self, hidden: str) -> None:
        """Gemm takes matrices only, so the logits are `[batch * sequence, V]`."""
        self.weight("rows", np.array([-1, HIDDEN], np.int64))
        self.weight("head.weight", self._head_matrix().T)
        self.node("Reshape", [hidden, "rows"], "flat")
        self.node("Gemm", ["flat", "head.weight"], "logits", transB=1)
        shape = ["rows", self.vocabulary]
        self.outputs[0] = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)

    def _bias(self, hidden: str) -> None:
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        offsets = self.random.normal(0, 1, self.vocabulary).astype(np.float32)
        self.node("Add", ["product", self.weight("head.bias", offsets)], "logits")

    def _capped(self, hidden: str) -> None:
        """Gemma's soft-capping, with a cast before and after as mixed precision has them."""
        cap = self.weight("cap", np.array(4.0, np.float32))
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        self.node("Cast", ["product"], "wide", to=TensorProto.DOUBLE)
        self.node("Cast", ["wide"], "narrow", to=TensorProto.FLOAT)
        self.node("Div", ["narrow", cap], "divided")
        self.node("Tanh", ["divided"], "tanh")
        self.node("Mul", ["tanh", cap], "logits")

    def _capped_constants(self, hidden: str) -> None:
        value = numpy_helper.from_array(np.array(4.0, np.float32))
        self.node("Constant", [], "cap", value=value)
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        self.node("Div", ["product", "cap"], "divided")
        self.node("Tanh", ["divided"], "tanh")
        self.node("Mul", ["cap", "tanh"], "logits")

    def _nbits(self, hidden: str) -> None:
        packed, scales = quantize_4bit(self._head_matrix())
        self.node(
            "MatMulNBits",
            [hidden, self.weight("head.packed", packed), self.weight("head.scales", scales)],
            "logits",
            K=HIDDEN,
            N=self.vocabulary,
            bits=4,
            block_size=BLOCK,
            accuracy_level=0,
        )

    def _pruned(self, hidden: str) -> None:
        """Logits of the last position only, as the builder's `prune_lm_head` makes them."""
        self.weight("last", np.array(-1, np.int64))
        self.weight("sequence_axis", np.array([1], np.int64))
        self.node("Gather", [hidden, "last"], "last_row", axis=1)
        self._matmul(self.node("Unsqueeze", ["last_row", "sequence_axis"], "last_hidden"))
        self._only_last()

    def _pruned_after(self, hidden: str) -> None:
        self.weight("last", np.array([-1], np.int64))
        cap = self.weight("cap", np.array(4.0, np.float32))
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        self.node("Gather", ["product", "last"], "last_product", axis=1)
        self.node("Div", ["last_product", cap], "logits")
        self._only_last()

    def _pruned_slice(self, hidden: str) -> None:
        """Python's `hidden[:, -1:, :]`, flattened for Gemm."""
        for name, value in {"from": -1, "to": 2**62, "sequence_axis": 1}.items():
            self.weight(name, np.array([value], np.int64))
        self.node("Slice", [hidden, "from", "to", "sequence_axis"], "last_hidden")
        self._gemm("last_hidden")

    def _pruned_nd(self, hidden: str) -> None:
        """The last position that the mask doesn't hide, of each sequence."""
        self.node("Unsqueeze", ["lengths_less_1", "axis_1"], "last")
        self.node("GatherND", [hidden, "last"], "last_hidden", batch_dims=1)
        self._matmul("last_hidden")
        shape = ["batch", self.vocabulary]
        self.outputs[0] = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)

    def _pruned_early(self, hidden: str) -> None:
        self._matmul(hidden)
        self._only_last()

    def _bfloat16(self, hidden: str) -> None:
        narrow = numpy_helper.from_array(self._head_matrix().astype(BFLOAT16), "head.weight")
        self.weights.append(narrow)
        self.node("Cast", [hidden], "narrow", to=TensorProto.BFLOAT16)
        self.node("MatMul", ["narrow", "head.weight"], "product")
        self.node("Cast", ["product"], "logits", to=TensorProto.FLOAT)

    def _only_last(self) -> None:
        shape = ["batch", 1, self.vocabulary]
        self.outputs[0] = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)

    def _softmax(self, hidden: str) -> None:
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        self.node("Softmax", ["product"], "logits", axis=-1)

    def _input_added(self, hidden: str) -> None:
        self.inputs.append(
            helper.make_tensor_value_info("logit_bias", TensorProto.FLOAT, [self.vocabulary])
        )
        self.node("MatMul", [hidden, self.weight("head.weight", self._head_matrix())], "product")
        self.node("Add", ["product", "logit_bias"], "logits")


def quantize_4bit(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round-to-nearest blocks of `[K, N]` in the layout of MatMulNBits, zero point 8."""
    size, columns = matrix.shape
    blocks = matrix.T.reshape(columns, size // BLOCK, BLOCK)
    scales = np.abs(blocks).max(axis=-1, keepdims=True) / 7
    levels = np.clip(np.rint(blocks / scales) + 8, 0, 15).astype(np.uint8)
    packed = levels[..., 0::2] | (levels[..., 1::2] << 4)
    return packed, scales.astype(np.float32).reshape(columns, size // BLOCK)
