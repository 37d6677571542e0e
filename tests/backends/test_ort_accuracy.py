"""The accuracy level is rewritten in what is loaded, and tells two errors apart."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from quantgate.errors import UsageFault
from quantgate.packages.accuracy_level import with_accuracy_level
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import backend_of, score_all


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def forked_requests():
    stem = ids_of(40, 1)
    return [Loglikelihood((*stem, *ids_of(5 + n, 9 + n)), (5,)) for n in range(12)]


def levels(graph: onnx.GraphProto) -> list[int]:
    return [
        attribute.i
        for node in graph.node
        if node.op_type == "MatMulNBits"
        for attribute in node.attribute
        if attribute.name == "accuracy_level"
    ]


def packed_against_alone(folder, level: int) -> float:
    """Largest difference of a logit between token trees and one run for each sequence."""
    backend = backend_of(folder, accuracy_level=level)
    plan = make_plan(forked_requests(), backend.limits)
    assert any(not row.is_chain for group in plan.groups for row in group.rows)
    packed, _ = score_all(backend, plan)
    worst = 0.0
    for number, ids in enumerate(plan.sequences):
        alone, _ = score_all(backend, make_plan([Loglikelihood(ids, (5,))], backend.limits))
        (row,) = alone.values()
        worst = max(worst, float(np.abs(row - packed[number, len(ids) - 1]).max()))
    return worst


def test_level_0_leaves_the_noise_of_float32(built):
    assert packed_against_alone(built["int4"], 0) < 1e-4


def test_levels_give_different_logits(built):
    found = {}
    for level in (None, 0, 4):
        backend = backend_of(built["int4"], accuracy_level=level)
        found[level], _ = score_all(backend, make_plan(forked_requests(), backend.limits))
    for key, row in found[0].items():
        assert np.array_equal(found[None][key], found[4][key])  # 4 is what the builder writes
        assert np.abs(row - found[4][key]).max() > 1e-3


@pytest.mark.parametrize("level", [0, 1, 4])
def test_level_is_in_every_node_of_the_loaded_graphs(built, tmp_path, monkeypatch, level):
    """What ONNX Runtime itself writes back after loading."""
    make = onnxruntime.InferenceSession
    written = []

    def watched(model, options, **arguments):
        written.append(tmp_path / f"{len(written)}.onnx")
        options.optimized_model_filepath = str(written[-1])
        return make(model, options, **arguments)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    backend = backend_of(built["int4"], accuracy_level=level)
    score_all(backend, make_plan(forked_requests()[:1], backend.limits))
    shipped = levels(open_package(built["int4"]).graph.graph)
    loaded = [levels(onnx.load(path, load_external_data=False).graph) for path in written]
    assert len(loaded) == 2
    assert sum(map(len, loaded)) == len(shipped)
    assert {found for part in loaded for found in part} == {level}


def test_package_given_is_left_as_it_was(built):
    model = open_package(built["int4"]).graph
    before = model.SerializeToString(deterministic=True)
    changed = with_accuracy_level(model, 0)
    assert model.SerializeToString(deterministic=True) == before
    assert set(levels(changed.graph)) == {0}
    assert set(levels(model.graph)) == {4}


def test_nodes_within_branches_are_rewritten():
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    out = value("y", 1, [2])
    facts = {"K": 2, "N": 2, "bits": 4, "block_size": 32, "accuracy_level": 4}
    inner = make("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **facts)
    graph = onnx.helper.make_graph([inner], "branch", [], [out])
    node = make("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value("x", 1, [2])], [out]))
    changed = with_accuracy_level(model, 0).graph.node[0]
    assert [levels(attribute.g) for attribute in changed.attribute] == [[0], [0]]


@pytest.mark.parametrize("level", [-1, 5, True, "0", 1.0])
def test_level_that_there_is_not(built, level):
    with pytest.raises(UsageFault) as caught:
        backend_of(built["int4"], accuracy_level=level)
    assert caught.value.code == "option-invalid"


def test_level_is_recorded_where_it_is_given(built):
    plain = backend_of(built["int4"]).identity
    assert "accuracy_level" not in plain
    level = backend_of(built["int4"], accuracy_level=0).identity
    assert level == {**plain, "accuracy_level": 0}
    assert json.loads(json.dumps(level)) == level
