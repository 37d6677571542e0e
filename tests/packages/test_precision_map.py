"""Maps of the packages that builders and tests write, and of graphs that were rounded in parts."""

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.packages.package import open_package
from quantgate.packages.precision_map import (
    UNREAD,
    WHY,
    LayerRun,
    PrecisionMap,
    package_map,
    precision_map,
    read_map,
)
from tests.graphs import decoder, graph, node, tensor
from tests.mixing import mix
from tests.quantizing import FP4, NF4, bnb4, dequantized
from tests.tiny_gpt2 import write_gpt2
from tests.tiny_models import Tiny, decoder_model

BUILDERS = "/model/layers.{layer}/attn/{name}_proj/MatMul_Q4"
OPTIMUMS = "/model/layers.{layer}/self_attn/{name}_proj/MatMul"
GPTS = "/transformer/h.{layer}/attn/{name}_proj/Gemm"
NAMELESS = "node_{layer}_{name}"
FORMS = (BUILDERS, OPTIMUMS, GPTS, NAMELESS)
ALIKE = {"q": {}, "k": {}, "v": {}}
UPGRADED = {"q": {}, "k": {}, "v": {"bits": 8}}


def map_of(layers, form=BUILDERS):
    return precision_map(decoder(layers, form), logits="logits", input_ids="input_ids")


def spans(found):
    return [run.span for run in found.runs]


BUILT = {
    "fp32": ("fp32", ("qkv",), "fp32"),
    "int8": ("int8 b32 acc4", ("qkv",), "fp32"),
    "int4": ("int4 b32 acc4", ("qkv",), "fp32"),
    "fp16": ("fp16", ("q", "k", "v"), "fp16"),
}


@pytest.mark.parametrize("precision", BUILT)
def test_the_builders_packages(built, precision):
    weights, attention, table = BUILT[precision]
    found = package_map(open_package(built[precision]))
    layer = (*attention, "o", "gate", "up", "down")
    assert found == PrecisionMap(
        (
            LayerRun(dict.fromkeys(layer, weights), (0, 1)),
            LayerRun({"head": weights, "embedding": table}),
        )
    )
    assert found.columns == (*layer, "head", "embedding")
    assert found.warning == ""


def test_the_builders_own_count_of_products_is_that_of_the_cells(built):
    model = onnx.load(str(built["int4"] / "model.onnx"), load_external_data=False)
    packed = sum(each.op_type == "MatMulNBits" for each in model.graph.node)
    layers, outside = package_map(open_package(built["int4"])).runs
    assert packed == 2 * len(layers.cells) + sum("int4" in c for c in outside.cells.values())


def test_an_accuracy_level_of_the_run_takes_the_packages_place(built):
    found = package_map(open_package(built["int4"]), accuracy_level=0)
    assert found.runs[0].cells["qkv"] == "int4 b32"
    assert package_map(open_package(built["fp32"]), accuracy_level=4).runs[0].cells["o"] == "fp32"


HEADS = {
    "matmul": "fp32", "tied": "fp32", "gemm": "fp32", "bias": "fp32", "capped": "fp32",
    "capped_constants": "fp32", "nbits": "int4 b32", "pruned": "fp32", "pruned_after": "fp32",
    "pruned_slice": "fp32", "pruned_nd": "fp32", "pruned_early": "fp32", "bfloat16": "bf16",
    "softmax": "fp32", "input_added": "fp32",
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_graph_without_names_of_layers_is_read_by_its_attention(head):
    graph_of = decoder_model(Tiny(head=head), 300).graph
    found = precision_map(graph_of, logits="logits", input_ids="input_ids")
    layer = ("q", "k", "v", "o", "gate", "up", "down")
    assert found.runs == (
        LayerRun(dict.fromkeys(layer, "fp32"), (0, 1)),
        LayerRun({"head": HEADS[head], "embedding": "fp32"}),
    )


def test_attention_that_holds_its_weights_itself(tmp_path):
    write_gpt2(tmp_path)
    found = package_map(open_package(tmp_path))
    assert found.runs == (
        LayerRun({"qkv": "fp32", "projected": "fp32"}, (0, 1)),
        LayerRun({"head": "fp32", "embedding": "fp32"}),
    )


def test_a_graph_with_neither_names_nor_attention_has_no_layers(tmp_path):
    write_gpt2(tmp_path, fused=False)
    (outside,) = package_map(open_package(tmp_path)).runs
    assert outside == LayerRun(dict.fromkeys(("product", "projected", "head", "embedding"), "fp32"))
    assert outside.span == "outside"


@pytest.mark.parametrize("form", FORMS)
def test_a_v_of_more_bits_is_marked_whoever_named_it(form):
    layers = [ALIKE] * 4
    layers[1] = layers[2] = UPGRADED
    found = map_of(layers, form)
    assert spans(found) == ["0", "1-2", "3", "outside"]
    assert [run.mixed for run in found.runs] == [False, True, False, False]
    assert found.runs[1].cells == {"q": "int4 b32", "k": "int4 b32", "v": "int8 b32"}
    assert found.runs[3].cells == {"head": "fp16", "embedding": "fp32"}
    assert found.warning == (
        f"Q, K and V differ in layers 1-2 (q int4 b32, k int4 b32, v int8 b32): {WHY}"
    )


@pytest.mark.parametrize(
    ("facts", "mixed"),
    [
        ({"bits": 8}, True),
        ({"block_size": 64}, True),
        ({"zero_points": True}, True),
        ({"accuracy_level": 4}, False),
        ({"N": 64}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_bits_blocks_and_zero_points_matter_and_nothing_else(part, facts, mixed):
    assert map_of([{**ALIKE, part: facts}]).runs[0].mixed is mixed


@pytest.mark.parametrize("form", FORMS)
def test_fused_projections_and_those_behind_attention_differ_as_they_like(form):
    fused = map_of([{"qkv": {}}] * 2, form)
    assert fused.runs[0].cells == {"qkv": "int4 b32"}
    assert fused.runs[0].span == "0-1"
    assert fused.warning == ""
    found = map_of([{**ALIKE, "down": {"bits": 8}}])
    assert found.runs[0].cells["down"] == "int8 b32"
    assert found.warning == ""


def test_a_key_that_is_the_value_too_is_one_projection():
    layers = decoder([ALIKE], NAMELESS)
    attention = next(each for each in layers.node if each.op_type == "GroupQueryAttention")
    attention.input[2] = attention.input[1]
    found = precision_map(layers, logits="logits", input_ids="input_ids")
    assert found.runs[0].cells["kv"] == "int4 b32"
    assert found.columns.index("q") < found.columns.index("kv") < found.columns.index("head")


def test_adapters_stand_beside_what_they_adapt():
    """Both reach attention as Q; the name of one says that it is something else."""
    layers = decoder([ALIKE], BUILDERS)
    layers.initializer.append(tensor("adapter", onnx.TensorProto.FLOAT16, 64, 32))
    name = "/model/layers.0/attn/q_proj/lora_B/MatMul"
    layers.node.insert(0, node("MatMul", ["hidden_0", "adapter"], "adapted", name=name))
    attention = next(each for each in layers.node if each.op_type == "GroupQueryAttention")
    layers.node.insert(0, node("Add", [attention.input[0], "adapted"], "sum"))
    attention.input[0] = "sum"
    found = precision_map(layers, logits="logits", input_ids="input_ids")
    assert found.runs[0].cells == {
        "q": "int4 b32", "k": "int4 b32", "v": "int4 b32", "lora_B": "fp16",
    }  # fmt: skip
    assert not found.runs[0].mixed


def test_matrices_of_one_name_share_a_cell():
    tensors = [tensor(f"w{n}", kind, 64, 32) for n, kind in enumerate((1, 1, 10))]
    names = [f"/model/layers.0/moe/experts.{n}/gate_proj/MatMul" for n in range(3)]
    nodes = [node("MatMul", ["x", f"w{n}"], f"y{n}", name=name) for n, name in enumerate(names)]
    found = precision_map(graph(nodes, tensors), logits="logits", input_ids="ids")
    assert found.runs == (LayerRun({"gate": "fp32 / fp16"}, (0, 0)),)


def test_weights_tell_their_layer_where_nodes_do_not():
    tensors = [tensor(f"model.layers.{n}.self_attn.o_proj.weight", 10, 64, 32) for n in (7, 8)]
    nodes = [node("MatMul", ["x", each.name], f"MatMul_{n}") for n, each in enumerate(tensors)]
    found = precision_map(graph(nodes, tensors), logits="logits", input_ids="ids")
    assert found.runs == (LayerRun({"o": "fp16"}, (7, 8)),)


def test_layers_that_are_not_neighbours_are_no_run():
    tensors = [tensor(f"layers.{n}.mlp.up_proj.weight", 10, 64, 32) for n in (0, 2, 10, 11)]
    nodes = [node("MatMul", ["x", each.name], f"m{n}") for n, each in enumerate(tensors)]
    found = precision_map(graph(nodes, tensors), logits="logits", input_ids="ids")
    assert spans(found) == ["0", "2", "10-11"]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_runs_unfold_to_the_layers_they_were_made_of(kinds):
    """Whatever the order: each layer has its cells and its mark, and neighbours in a run agree."""
    variants = [ALIKE, UPGRADED, {"q": {"bits": 8}, "k": {"bits": 8}, "v": {"bits": 8}}]
    found = map_of([variants[kind] for kind in kinds])
    unfolded = {}
    for run in found.runs[:-1]:
        first, last = run.layers
        unfolded |= {layer: (dict(run.cells), run.mixed) for layer in range(first, last + 1)}
    bits = {0: (4, 4, 4), 1: (4, 4, 8), 2: (8, 8, 8)}
    assert unfolded == {
        layer: (
            {name: f"int{b} b32" for name, b in zip("qkv", bits[kind], strict=True)},
            kind == 1,
        )
        for layer, kind in enumerate(kinds)
    }
    for before, after in zip(found.runs[:-1], found.runs[1:-1], strict=False):
        assert (before.cells, before.mixed) != (after.cells, after.mixed)
    assert bool(found.warning) == (1 in kinds)


def test_a_rounded_v_in_a_package(tiny_folder, tmp_path):
    found = package_map(open_package(mix(tiny_folder, tmp_path / "mixed", "v_1")))
    assert spans(found) == ["0", "1", "outside"]
    assert found.runs[1].cells["v"] == "int4 b32"
    assert found.warning == f"Q, K and V differ in layer 1 (q fp32, k fp32, v int4 b32): {WHY}"


def test_a_warning_is_one_line_however_many_layers_differ():
    kinds = [{"q": {}, "k": {}, "v": {"bits": 2 + layer % 11}} for layer in range(120)]
    told = map_of([each if n % 2 else ALIKE for n, each in enumerate(kinds)]).warning
    assert told.count("(q int4") == 8
    assert "; 2 more: " in told  # ten ways in all, since one of eleven is not mixed
    assert len(told) < 1500
    assert "\n" not in told


def test_fault_70_names_of_strangers_are_letters_and_digits():
    hostile = "/model/layers.0/mlp/\x1b[31m[bold]<script>alert(1)&{{7*7}}|`\u202e" + "x" * 99
    tensors = [tensor("w", 1, 64, 32)]
    nodes = [node("MatMul", ["x", "w"], "y", name=hostile)]
    found = precision_map(graph(nodes, tensors), logits="logits", input_ids="ids")
    (column,) = found.columns
    assert set(column) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ -?")
    assert len(column) <= 32


def test_a_number_of_a_layer_beyond_all_reason_is_none():
    nodes = [node("MatMul", ["x", "w"], "y", name=f"/layers.{'9' * 5000}/up_proj/MatMul")]
    found = precision_map(graph(nodes, [tensor("w", 1, 64, 32)]), logits="z", input_ids="ids")
    assert spans(found) == ["outside"]


@pytest.mark.parametrize(("quant_type", "told"), [(NF4, "nf4 b64"), (FP4, "fp4 b64")])
@pytest.mark.parametrize("left", [(), ("/lm_head/MatMul",)])
def test_packages_of_packed_floats(built, tmp_path, quant_type, told, left):
    folder = bnb4(built["fp32"], tmp_path / "bnb4", quant_type=quant_type, left=left)
    found = package_map(open_package(folder))
    layer = ("qkv", "o", "gate", "up", "down")
    assert found.runs == (
        LayerRun(dict.fromkeys(layer, told), (0, 1)),
        LayerRun({"head": "fp32" if left else told, "embedding": "fp32"}),
    )
    assert found.warning == ""


@pytest.mark.parametrize("turned", [False, True])
def test_packages_that_dequantize_their_weights(tiny_folder, tmp_path, turned):
    found = package_map(open_package(dequantized(tiny_folder, tmp_path / "qdq", turned=turned)))
    layer = ("q", "k", "v", "o", "gate", "up", "down")
    assert found.runs == (
        LayerRun(dict.fromkeys(layer, "int4 b32"), (0, 1)),
        LayerRun({"head": "int4 b32", "embedding": "fp32"}),
    )


def with_unread(layers, *kinds):
    """A map of `layers` and, beside them, of operators that nobody knows."""
    made = decoder(layers, BUILDERS)
    made.initializer.append(tensor("w", 1, 64, 32))
    for number, kind in enumerate(kinds):
        made.node.append(node(kind, ["x", "w"], f"unread_{number}"))
        made.node[-1].domain = "mine"
    return precision_map(made, logits="logits", input_ids="input_ids")


def test_weights_that_are_not_understood_are_counted_outside():
    found = with_unread([ALIKE], "Linear", "Blocks", "Linear")
    told = "3 nodes (2 Linear, 1 Blocks)"
    assert found.columns[-1] == UNREAD
    assert found.runs[-1].cells == {"head": "fp16", "embedding": "fp32", UNREAD: told}
    assert found.warning == f"the weights of {told} aren't understood: they are left out here"
    assert read_map(found.as_json()) == found


def test_both_warnings_are_one_line():
    found = with_unread([UPGRADED], "Linear")
    different, _, left_out = found.warning.partition("; ")
    assert different == map_of([UPGRADED]).warning
    assert left_out.startswith("the weights of 1 node (1 Linear)")


def test_fault_70_operators_of_strangers_are_few_words_of_letters_and_digits():
    hostile = [f"\x1b[31m<script>{number}|`\u202e{'x' * 99}" for number in range(40)]
    told = with_unread([ALIKE], *hostile).runs[-1].cells[UNREAD]
    assert not set(told) & set("<>|`\x1b\u202e[")
    assert "32 more" in told
    assert len(told) < 400


def test_a_graph_of_nothing_but_strangers_is_told_too():
    made = node("MatMulFpQ4", ["x", "w"], "y")
    flat = tensor("w", onnx.TensorProto.UINT8, 9999)
    found = precision_map(graph([made], [flat]), logits="y", input_ids="ids")
    assert found.runs == (LayerRun({UNREAD: "1 node (1 MatMulFpQ4)"}),)


@pytest.mark.parametrize("layers", [[ALIKE, UPGRADED, UPGRADED], [{"qkv": {}}]])
def test_what_a_file_holds_is_the_map_again(layers):
    found = map_of(layers)
    assert read_map(found.as_json()) == found
    assert read_map([]) == PrecisionMap(())


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "int4",
        {"layers": [0, 1]},
        [{"layers": [0, 1]}],
        [{"cells": {"q": 4}}],
        [{"cells": {}, "layers": [0]}],
        [{"cells": {}, "layers": ["a", "b"]}],
        [{"cells": {}, "mixed": "perhaps"}],
    ],
)
def test_a_damaged_map_is_told(damaged):
    with pytest.raises(ValueError, match="precision by layer"):
        read_map(damaged)
