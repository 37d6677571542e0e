"""Body and head together are the graph that they were cut from."""

import numpy as np
import onnx
import onnxruntime
import pytest

from quantgate.errors import InvalidMeasurement
from quantgate.packages.attention import BIAS, GROUPED, PACKED, POSITIONS, attention_kinds
from quantgate.packages.graph import HIDDEN_ROWS, ROWS, prune, split
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, LoglikelihoodRolling
from tests.quantizing import FP4, NF4, bnb4, dequantized
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_models import HIDDEN, Tiny, write_package

WHOLE_HEADS = ("matmul", "tied", "gemm", "bias", "capped", "capped_constants", "nbits")


def read(folder):
    return open_package(folder).graph


def cut(folder, **options):
    return split(read(folder), logits="logits", position_ids="position_ids", **options)


def random_ids(count: int, seed: int = 0) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def rolling(ids: tuple[int, ...], scored: range) -> LoglikelihoodRolling:
    return LoglikelihoodRolling(ids, scored, (NO_TARGET,) * len(scored))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Packages by head, made when first asked for."""
    made = {}

    def make(head: str, **facts):
        key = (head, *sorted(map(str, facts.items())))
        if key not in made:
            made[key] = write_package(tmp_path_factory.mktemp(head), Tiny(head=head, **facts))
        return made[key]

    return make


@pytest.mark.parametrize("head", WHOLE_HEADS)
def test_gathered_rows_equal_the_whole_graph_bit_for_bit(packages, head):
    folder, ids = packages(head), random_ids(40)
    everything = PlainModel(folder).logits(ids)
    backend = backend_of(folder, packing=False)
    # All positions are scored, so that both heads multiply matrices of one shape.
    plan = make_plan([rolling(ids, range(len(ids)))], backend.limits)
    rows, _ = score_all(backend, plan)
    found = np.stack([rows[0, p] for p in range(len(ids))])
    assert np.array_equal(found, everything.astype(np.float32))


@pytest.mark.parametrize("head", WHOLE_HEADS)
def test_some_rows_equal_the_whole_graph(packages, head):
    folder, ids = packages(head), random_ids(40)
    everything = PlainModel(folder).logits(ids)
    backend = backend_of(folder)
    plan = make_plan([rolling(ids, range(17, 20))], backend.limits)
    rows, _ = score_all(backend, plan)
    assert sorted(rows) == [(0, 17), (0, 18), (0, 19)]
    for (_, position), row in rows.items():
        np.testing.assert_allclose(row, everything[position], atol=2e-5)


def assert_split_exactly(folder):
    ids = random_ids(40)
    everything = PlainModel(folder).logits(ids)
    backend = backend_of(folder, packing=False)
    plan = make_plan([rolling(ids, range(len(ids)))], backend.limits)
    rows, _ = score_all(backend, plan)
    found = np.stack([rows[0, p] for p in range(len(ids))])
    assert np.array_equal(found, everything.astype(np.float32))


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4", "fp16"])
def test_builders_packages_split_exactly(built, precision):
    assert_split_exactly(built[precision])


@pytest.mark.parametrize("turned", [False, True])
def test_a_dequantized_head_moves_whole_and_exactly(tiny_folder, tmp_path, turned):
    folder = dequantized(tiny_folder, tmp_path / "qdq", turned=turned)
    parts = cut(folder)
    way = ["DequantizeLinear", "Transpose", "MatMul"] if turned else ["DequantizeLinear", "MatMul"]
    assert [node.op_type for node in parts.head.graph.node] == way
    assert not any("logits" in tensor.name for tensor in parts.body.graph.initializer)
    assert_split_exactly(folder)


@pytest.mark.parametrize("quant_type", [FP4, NF4])
def test_a_head_of_packed_floats_splits_exactly(tiny_folder, tmp_path, quant_type):
    folder = bnb4(tiny_folder, tmp_path / "bnb4", quant_type=quant_type)
    assert [node.op_type for node in cut(folder).head.graph.node] == ["MatMulBnb4"]
    assert_split_exactly(folder)


def test_a_head_whose_scales_are_computed_is_not_found(tiny_folder, tmp_path):
    model = read(dequantized(tiny_folder, tmp_path / "qdq", turned=False))
    node = next(n for n in model.graph.node if n.output[0] == "logits.w.float")
    node.input[1] = "computed"
    with pytest.raises(InvalidMeasurement, match="stored weights") as caught:
        split(model, logits="logits", position_ids="")
    assert caught.value.code == "head-not-found"


def test_soft_capping_stays_with_the_head(packages):
    parts = cut(packages("capped"))
    kinds = [node.op_type for node in parts.head.graph.node]
    assert kinds == ["MatMul", "Cast", "Cast", "Div", "Tanh", "Mul"]
    assert not {"Tanh", "Div"} & {node.op_type for node in parts.body.graph.node}


def test_tied_weights_travel_with_both_parts(packages):
    parts = cut(packages("tied"))
    for part in (parts.body, parts.head):
        assert "embedding" in {tensor.name for tensor in part.graph.initializer}
    assert [node.op_type for node in parts.head.graph.node] == ["Transpose", "MatMul"]


@pytest.mark.parametrize("head", WHOLE_HEADS)
def test_hidden_rows_have_the_models_width(packages, head):
    parts = cut(packages(head))
    (value,) = parts.head.graph.input
    assert value.name == HIDDEN_ROWS
    assert parts.body.graph.output[0].name == HIDDEN_ROWS
    for each in (value, parts.body.graph.output[0]):
        assert each.type.tensor_type.shape.dim[1].dim_value == HIDDEN


def test_parts_hold_only_what_they_need(packages):
    parts = cut(packages("matmul"))
    assert [t.name for t in parts.head.graph.initializer] == ["head.weight"]
    assert "head.weight" not in {t.name for t in parts.body.graph.initializer}
    assert "logits" not in {value.name for value in parts.body.graph.output}


@pytest.mark.parametrize("head", WHOLE_HEADS)
@pytest.mark.parametrize("packing", [True, False])
def test_model_given_is_left_as_it_was(packages, head, packing):
    model = read(packages(head))
    before = model.SerializeToString(deterministic=True)
    split(model, logits="logits", position_ids="position_ids", packing=packing)
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("head", "found"),
    [("softmax", "Softmax"), ("input_added", "logit_bias")],
)
def test_head_behind_other_nodes_is_not_found(packages, head, found):
    with pytest.raises(InvalidMeasurement, match=found) as caught:
        cut(packages(head))
    assert caught.value.code == "head-not-found"


def test_head_of_another_name_is_not_found(packages):
    with pytest.raises(InvalidMeasurement, match="which no node computes") as caught:
        split(read(packages("matmul")), logits="scores", position_ids="")
    assert caught.value.code == "head-not-found"


def test_head_that_joins_two_computations_is_not_found(packages):
    model = read(packages("bias"))
    add = next(node for node in model.graph.node if node.output[0] == "logits")
    add.input[1] = "product"
    add.input[0] = "final_norm"
    with pytest.raises(InvalidMeasurement, match="joining") as caught:
        split(model, logits="logits", position_ids="")
    assert caught.value.code == "head-not-found"


def test_head_with_computed_weights_is_not_found(packages):
    model = read(packages("matmul"))
    matmul = next(node for node in model.graph.node if node.output[0] == "logits")
    model.graph.node.append(onnx.helper.make_node("Exp", ["head.weight"], ["computed"]))
    matmul.input[1] = "computed"
    with pytest.raises(InvalidMeasurement, match="stored weights") as caught:
        split(model, logits="logits", position_ids="")
    assert caught.value.code == "head-not-found"


def twins(parts, branch: str):
    """The attention nodes of one branch of every switch."""
    switches = [node for node in parts.body.graph.node if node.op_type == "If"]
    graphs = [a.g for node in switches for a in node.attribute if a.name == branch]
    return [node for graph in graphs for node in graph.node]


def test_packing_gives_every_attention_a_twin_with_bias_and_positions(packages):
    parts = cut(packages("matmul"))
    facts = parts.attention
    assert (facts.packs, facts.keeps_prefix, facts.switched) == (True, True, True)
    assert facts.positions == POSITIONS
    assert [list(n.input[9:11]) for n in twins(parts, "then_branch")] == [[POSITIONS, BIAS]] * 2
    shipped = [n for n in read(packages("matmul")).graph.node if n.op_type == GROUPED]
    assert [n.input for n in twins(parts, "else_branch")] == [n.input for n in shipped]
    assert {BIAS, POSITIONS, PACKED, ROWS} <= {value.name for value in parts.body.graph.input}


def test_no_packing_adds_none(packages):
    parts = cut(packages("matmul"), packing=False)
    facts = parts.attention
    assert (facts.packs, facts.keeps_prefix, facts.positions) == (False, True, "")
    assert not {BIAS, POSITIONS, PACKED} & {value.name for value in parts.body.graph.input}
    assert GROUPED in {node.op_type for node in parts.body.graph.node}


def test_packing_is_refused_where_attention_counts_neighbours(packages):
    """A local window counts a row's tokens, and packed ones are no neighbours."""
    facts = cut(packages("matmul", attention={"local_window_size": 16})).attention
    assert (facts.packs, facts.keeps_prefix) == (False, True)


def test_packing_is_refused_where_the_bias_input_is_taken(packages):
    model = read(packages("matmul"))
    node = next(n for n in model.graph.node if n.op_type == GROUPED)
    node.input.extend(["", "alibi"])
    model.graph.input.append(onnx.helper.make_tensor_value_info("alibi", 1, [1, 1, "S", "T"]))
    assert not split(model, logits="logits", position_ids="").attention.packs


def test_multi_head_attention_of_the_builder_packs(built):
    facts = cut(built["fp16"]).attention
    assert attention_kinds(read(built["fp16"]).graph) == {"MultiHeadAttention"}
    assert (facts.packs, facts.positions) == (True, "position_ids")
    assert facts.bias_type == onnx.TensorProto.FLOAT16


def test_multi_head_attention_without_packing_keeps_no_prefix(built):
    facts = cut(built["fp16"], packing=False).attention
    assert (facts.packs, facts.keeps_prefix) == (False, False)


def test_prune_keeps_what_a_branch_reads_from_outside():
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    out = value("y", 1, [2])
    branches = {
        name: onnx.helper.make_graph([make("Add", ["x", weight], ["y"])], name, [], [out])
        for name, weight in (("then_branch", "a"), ("else_branch", "b"))
    }
    graph = onnx.helper.make_graph(
        [make("If", ["switch"], ["y"], **branches)],
        "g",
        [value("switch", 9, []), value("x", 1, [2]), value("unused", 1, [2])],
        [out],
        [onnx.helper.make_tensor(name, 1, [2], [1.0, 2.0]) for name in "abc"],
    )
    model = onnx.helper.make_model(graph)
    prune(model)
    assert [v.name for v in model.graph.input] == ["switch", "x"]
    assert [t.name for t in model.graph.initializer] == ["a", "b"]


def test_prune_drops_what_no_output_needs():
    make = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [make("Relu", ["x"], ["a"]), make("Add", ["x", "w"], ["b"]), make("Neg", ["a"], ["y"])],
        "g",
        [value("x", 1, [2]), value("unused", 1, [2])],
        [value("y", 1, [2])],
        [onnx.helper.make_tensor("w", 1, [2], [1.0, 2.0])],
    )
    model = onnx.helper.make_model(graph)
    prune(model)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Neg"]
    assert [v.name for v in model.graph.input] == ["x"]
    assert not model.graph.initializer


def test_parts_load_with_the_packages_own_weights(packages):
    folder = packages("matmul")
    parts = cut(folder)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    for part in (parts.body, parts.head):
        assert len(part.SerializeToString()) < 40_000  # the weights have 800 kB
        onnxruntime.InferenceSession(
            part.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
