"""Packages that yield logits of the last position only score like those that yield all (row 22)."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantgate.backends.base import IdentityHead
from quantgate.backends.ort_cache import SharedCache
from quantgate.cases import BuildRecipe, Package
from quantgate.errors import InvalidMeasurement
from quantgate.packages.build import package_folder, prepare
from quantgate.packages.head import find_head, needs_steps
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_models import Tiny, decoder_model, save_model, write_package

SELECTED = ("pruned", "pruned_after", "pruned_slice", "pruned_nd")
VOCABULARY = 268


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, VOCABULARY, count).tolist())


def requests():
    """Letters behind a shared question, several tokens, a window, and a row of one token."""
    stem = ids_of(40, 1)
    found = []
    for number in range(5):
        context = (*stem, *ids_of(3 + number, 10 + number))
        found += [Loglikelihood(context, (5,)), Loglikelihood(context, (7, 8, 9))]
    window = ids_of(30, 3)
    scored = range(10, 30)
    found.append(LoglikelihoodRolling(window, scored, (NO_TARGET,) * len(scored)))
    return [*found, Loglikelihood((5,), (6,))]


def rows_of(backend):
    rows, _ = score_all(backend, make_plan(requests(), backend.limits))
    assert len(rows) == 5 * (1 + 3) + 20 + 1
    return rows


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Rows of the same decoder with a whole head, by full forwards of the unedited package."""
    plain = PlainModel(write_package(tmp_path_factory.mktemp("whole"), Tiny()))
    backend = backend_of(write_package(tmp_path_factory.mktemp("also"), Tiny()))
    plan = make_plan(requests(), backend.limits)
    logits = [plain.logits(ids) for ids in plan.sequences]
    return {(s, p): logits[s][p] for s, p in score_all(backend, plan)[0]}


def largest_difference(rows, expected) -> float:
    assert rows.keys() == expected.keys()
    return max(float(np.abs(row - expected[key]).max()) for key, row in rows.items())


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
@pytest.mark.parametrize("head", SELECTED)
def test_fault_22_selection_of_the_last_row_falls_away(tmp_path, expected, head, packing):
    backend = backend_of(write_package(tmp_path, Tiny(head=head)), packing=packing)
    assert backend.limits.packs == packing
    scale = 4.0 if head == "pruned_after" else 1.0  # that head divides
    scaled = {key: row / scale for key, row in expected.items()}
    assert largest_difference(rows_of(backend), scaled) < 1e-4


def test_fault_22_other_heads_are_scored_step_by_step(tmp_path, expected):
    backend = backend_of(write_package(tmp_path, Tiny(head="pruned_early")))
    assert (backend.limits.packs, backend.limits.keeps_prefix) == (False, True)
    assert largest_difference(rows_of(backend), expected) < 1e-4


def test_fault_22_steps_without_a_cache_begin_anew(tmp_path, expected, monkeypatch):
    folder = write_package(tmp_path, Tiny(head="pruned_early"))
    backend = backend_of(folder)
    monkeypatch.setattr(backend._body.inputs, "keeps_prefix", False)
    assert all(g.padded for g in make_plan(requests(), backend.limits).groups)
    assert largest_difference(rows_of(backend), expected) < 1e-4


def test_fault_22_steps_continue_the_cache(tmp_path, monkeypatch):
    """Twenty positions of a window of thirty cost thirty tokens, not twenty windows."""
    backend = backend_of(write_package(tmp_path, Tiny(head="pruned_early")))
    lengths, run = [], SharedCache.run

    def watched(self, feed):
        lengths.append(feed["input_ids"].shape()[1])
        return run(self, feed)

    monkeypatch.setattr(SharedCache, "run", watched)
    window = LoglikelihoodRolling(ids_of(30, 3), range(10, 30), (NO_TARGET,) * 20)
    score_all(backend, make_plan([window], backend.limits))
    assert lengths == [11] + [1] * 19


def test_kept_rows_of_steps_are_their_logits(tmp_path):
    backend = backend_of(write_package(tmp_path, Tiny(head="pruned_early")))
    _, blocks = score_all(backend, make_plan(requests(), backend.limits))
    assert isinstance(backend.head, IdentityHead)
    for block in blocks:
        assert np.array_equal(backend.head.logits(block.hidden), block.logits)


def test_fault_22_rows_are_never_shifted(own_package):
    """Where neither shape nor nodes tell, one row comes out for many ids and is refused."""
    model = decoder_model(Tiny(head="pruned_early"), VOCABULARY)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "sequence"
    save_model(model, own_package / "model.onnx")
    backend = backend_of(own_package)
    first = LoglikelihoodRolling(ids_of(9, 3), range(1), (NO_TARGET,))
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, make_plan([first], backend.limits))
    assert caught.value.code == "logits-shape"


def test_fault_22_steps_refuse_more_than_one_row(own_package):
    """A graph that declares one position and yields all."""
    model = decoder_model(Tiny(), VOCABULARY)
    dim = model.graph.output[0].type.tensor_type.shape.dim[1]
    dim.ClearField("dim_param")
    dim.dim_value = 1
    save_model(model, own_package / "model.onnx")
    backend = backend_of(own_package)
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, make_plan(requests(), backend.limits))
    assert caught.value.code == "logits-shape"


@pytest.mark.parametrize("head", SELECTED)
def test_selections_are_told_from_heads(tmp_path, head):
    graph = open_package(write_package(tmp_path, Tiny(head=head))).graph.graph
    found = find_head(graph, "logits")
    assert found.pruned
    assert not needs_steps(graph, "logits")
    assert (found.hidden, found.width) == ("final_norm", 64)


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_gather_along_another_axis_selects_no_rows(tmp_path, axis):
    graph = open_package(write_package(tmp_path, Tiny(head="pruned_after"))).graph.graph
    gather = next(node for node in graph.node if node.output[0] == "last_product")
    gather.attribute[0].i = axis
    with pytest.raises(InvalidMeasurement, match="a Gather node") as caught:
        find_head(graph, "logits")
    assert caught.value.code == "head-not-found"


@pytest.mark.parametrize("axes", [[2], [1, 2], [0]])
def test_slice_along_another_axis_is_part_of_the_body(tmp_path, axes):
    graph = open_package(write_package(tmp_path, Tiny(head="pruned_slice"))).graph.graph
    stored = next(tensor for tensor in graph.initializer if tensor.name == "sequence_axis")
    stored.CopyFrom(onnx.numpy_helper.from_array(np.array(axes, np.int64), "sequence_axis"))
    assert not find_head(graph, "logits").pruned


def test_axes_are_read_from_attributes_of_older_opsets(tmp_path):
    graph = open_package(write_package(tmp_path, Tiny(head="pruned"))).graph.graph
    node = next(node for node in graph.node if node.op_type == "Unsqueeze")
    del node.input[1:]
    node.attribute.append(onnx.helper.make_attribute("axes", [1]))
    assert find_head(graph, "logits").hidden == "final_norm"


@pytest.fixture(scope="module", params=["int4", "fp16"])
def twins(request, hugging_face_folder, built, tmp_path_factory):
    """The builder's packages of one model, with all logits and with the last only."""
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("pruned")
    option = (("prune_lm_head", "true"),)
    package = Package(recipe=BuildRecipe(hugging_face_folder, request.param, extra_options=option))
    prepare([package], cache)
    return built[request.param], package_folder(package, cache)


def test_fault_22_builders_pruned_packages_equal_their_twins(twins):
    whole, pruned = twins
    graph = open_package(pruned).graph.graph
    assert graph.output[0].type.tensor_type.shape.dim[1].dim_value == 1
    config = json.loads((pruned / "genai_config.json").read_text("utf-8"))
    assert config["model"]["vocab_size"] == VOCABULARY
    backend = backend_of(pruned)
    assert backend.limits.packs
    assert largest_difference(rows_of(backend), rows_of(backend_of(whole))) == 0.0
