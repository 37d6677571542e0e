"""How weights are stored, read from nodes and tensors that are made by hand."""

import pytest
from onnx import TensorProto, helper

from quantgate.packages.layers import Precision, embedding, projections
from quantgate.packages.unread import Unread, unread
from tests.graphs import graph, nbits, node, tensor


def only(nodes, tensors):
    (found,) = projections(graph(nodes, tensors))
    return found


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (TensorProto.FLOAT, "fp32"),
        (TensorProto.FLOAT16, "fp16"),
        (TensorProto.BFLOAT16, "bf16"),
        (TensorProto.FLOAT8E4M3FN, "fp8"),
        (TensorProto.STRING, "type 8"),
    ],
)
def test_a_plain_product_has_its_tensors_type(kind, told):
    found = only([node("MatMul", ["x", "w"], "y")], [tensor("w", kind, 64, 32)])
    assert str(found.precision) == told
    assert (found.weights, found.size) == ("w", 2048)


@pytest.mark.parametrize("kind", ["MatMulInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
@pytest.mark.parametrize("sign", [TensorProto.INT8, TensorProto.UINT8])
def test_products_of_integers_have_eight_bits(kind, sign):
    found = only([node(kind, ["x", "w"], "y")], [tensor("w", sign, 64, 32)])
    assert found.precision == Precision("int8")


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, "int4 b32"),
        ({"bits": 8, "block_size": 64}, "int8 b64"),
        ({"bits": 8, "block_size": 64, "zero_points": True}, "int8 b64 asym"),
        ({"accuracy_level": 4}, "int4 b32 acc4"),
        ({"bits": 2, "block_size": 16, "zero_points": True, "accuracy_level": 1},
         "int2 b16 asym acc1"),
    ],
)  # fmt: skip
def test_packed_weights_are_what_their_node_says(facts, told):
    made, tensors = nbits("n", "x", "y", **facts)
    found = only([made], tensors)
    assert str(found.precision) == told
    assert found.size == 64 * 32


def test_an_empty_input_is_no_zero_point():
    made, tensors = nbits("n", "x", "y")
    made.input.extend(["", "", "bias"])
    assert not only([made], tensors).precision.asymmetric


@pytest.mark.parametrize(
    ("quant_type", "told"), [(1, "nf4 b64"), (0, "fp4 b64"), (7, "bnb4 type 7 b64")]
)
def test_packed_weights_in_one_line_are_what_their_node_says(quant_type, told):
    facts = {"K": 64, "N": 33, "block_size": 64, "quant_type": quant_type}
    made = node("MatMulBnb4", ["x", "w", "absmax"], "y", **facts)
    found = only([made], [tensor("w", TensorProto.UINT8, 32 * 33), tensor("absmax", 1, 33)])
    assert str(found.precision) == told
    assert found.size == 64 * 33


@pytest.mark.parametrize(("zero_points", "told"), [(False, "int4 b32"), (True, "int4 b32 asym")])
def test_weights_are_found_behind_what_dequantizes_and_turns_them(zero_points, told):
    inputs = ["w", "s", *(["z"] if zero_points else [])]
    nodes = [
        node("DequantizeLinear", inputs, "d", block_size=32, axis=-1),
        node("Transpose", ["d"], "t", perm=[1, 0]),
        node("MatMul", ["x", "t"], "y"),
    ]
    found = only(nodes, [tensor("w", TensorProto.UINT4, 32, 64)])
    assert (str(found.precision), found.weights) == (told, "w")


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"expert_weight_bits": 8, "block_size": 64}, "int8 b64"),
        ({"expert_weight_bits": 4}, "int4"),
        ({"expert_weight_bits": 4, "quant_type": "fp4", "block_size": 32}, "fp4 b32"),
    ],
)
def test_experts_are_packed_too(facts, told):
    experts = tensor("w", TensorProto.UINT8, 8, 64, 32)
    found = only([node("QMoE", ["x", "router", "w", "s"], "y", **facts)], [experts])
    assert str(found.precision) == told


def test_what_is_computed_or_no_matrix_is_no_projection():
    nodes = [
        node("MatMul", ["x", "keys"], "scores"),
        node("MatMul", ["positions", "angles"], "rotations"),
        node("MatMul", ["x"], "broken"),
        node("Add", ["x", "w"], "sum"),
    ]
    tensors = [
        tensor("w", TensorProto.FLOAT, 64, 32),
        tensor("angles", TensorProto.FLOAT, 1, 16),
    ]
    assert projections(graph(nodes, tensors)) == []


def test_a_circle_of_nodes_has_an_end():
    nodes = [
        node("Reshape", ["b"], "a"),
        node("Reshape", ["a"], "b"),
        node("MatMul", ["x", "a"], "y"),
    ]
    assert projections(graph(nodes, [])) == []


def test_accuracy_levels_are_no_part_of_how_weights_are_stored():
    one, other = Precision("int4", 32, accuracy_level=4), Precision("int4", 32, accuracy_level=0)
    assert one != other
    assert one.stored == other.stored
    assert one.stored != Precision("int4", 32, asymmetric=True).stored


def test_the_embedding_is_the_table_that_ids_are_looked_up_in():
    nodes = [
        node("Gather", ["sizes", "which"], "size"),
        node("Cast", ["input_ids"], "wide", to=TensorProto.INT64),
        node("Transpose", ["head"], "turned", perm=[1, 0]),
        node("Gather", ["turned", "wide"], "rows"),
    ]
    tensors = [tensor("head", TensorProto.FLOAT16, 64, 300), tensor("sizes", 7, 8, 8)]
    found = embedding(graph(nodes, tensors), "input_ids")
    assert found is not None
    assert (str(found.precision), found.weights) == ("fp16", "head")
    assert embedding(graph(nodes, tensors), "ids") is None


def test_a_packed_embedding_is_what_its_node_says():
    nodes = [
        node("Reshape", ["packed", "shape"], "rows"),
        node("GatherBlockQuantized", ["rows", "input_ids", "s", "z"], "y", bits=4, block_size=128),
    ]
    tensors = [tensor("packed", TensorProto.UINT8, 300, 1, 32)]
    found = embedding(graph(nodes, tensors), "input_ids")
    assert found is not None
    assert str(found.precision) == "int4 b128 asym"


W = tensor("w", TensorProto.FLOAT, 64, 32)
FLAT = tensor("w", TensorProto.UINT8, 64 * 32)


@pytest.mark.parametrize(
    ("nodes", "weights", "told"),
    [
        ([node("MatMulFpQ4", ["x", "w", "shape"], "y")], FLAT, "MatMulFpQ4"),
        ([node("QAttention", ["x", "w", "bias"], "y")], W, "QAttention"),
        ([node("Einsum", ["x", "w"], "y", equation="ij,jk->ik")], W, "Einsum"),
        ([node("MatMul", ["w", "x"], "y")], W, "MatMul"),
        ([node("Cast", ["w"], "f", to=1), node("Mul", ["f", "s"], "d"),
          node("MatMul", ["x", "d"], "y")], W, "MatMul"),
        ([node("Reshape", ["w", "shape"], "r"), node("MatMul", ["x", "r"], "y")], FLAT, "MatMul"),
    ],
)  # fmt: skip
def test_weights_that_are_read_in_other_ways_do_not_vanish(nodes, weights, told):
    tensors = [weights, tensor("s", TensorProto.FLOAT, 1, 32), tensor("shape", 7, 2)]
    made = graph(nodes, tensors)
    assert projections(made) == []
    assert unread(made) == [Unread(told, 64 * 32)]


def test_weights_of_a_stranger_s_operator_and_in_a_branch_do_not_vanish():
    stranger = helper.make_node("Linear", ["x", "w"], ["z"], domain="mine")
    branch = graph([node("MatMul", ["x", "w"], "inner")], [])
    choice = node("If", ["which"], "y", then_branch=branch, else_branch=branch)
    assert unread(graph([stranger, choice], [W])) == [
        Unread("Linear", 2048), Unread("MatMul", 2048), Unread("MatMul", 2048),
    ]  # fmt: skip


def test_constants_are_stored_too():
    value = helper.make_tensor("v", TensorProto.FLOAT, [64, 32], bytes(64 * 32 * 4), raw=True)
    nodes = [node("Constant", [], "w", value=value), node("MatMul", ["x", "w"], "y")]
    assert unread(graph(nodes, [])) == [Unread("MatMul", 2048)]


def test_what_is_understood_or_no_weights_is_not_told():
    """Norms, biases, angles of positions, masks, embeddings, scales: all of them are stored."""
    packed, own = nbits("n", "x", "y", zero_points=True)
    nodes = [
        packed,
        node("MatMul", ["x", "w"], "z"),
        node("Gemm", ["x", "w", "bias"], "g"),
        node("Gather", ["w", "input_ids"], "rows"),
        node("Slice", ["w", "from", "to"], "angles"),
        node("Add", ["scores", "w"], "masked"),
        node("MatMul", ["masked", "values"], "mixed"),
        node("MatMul", ["small", "x"], "turned"),
        node("SkipLayerNormalization", ["x", "z", "bias"], "s"),
        node("RotaryEmbedding", ["x", "p", "w", "w"], "r"),
        node("GroupQueryAttention", ["q", "k", "v", "", "", "l", "t", "w", "w"], "a"),
    ]
    for each in nodes[-3:]:
        each.domain = "com.microsoft"
    others = [tensor("bias", TensorProto.FLOAT, 300_000), tensor("small", TensorProto.FLOAT, 8, 8)]
    assert unread(graph(nodes, [W, *own, *others])) == []
