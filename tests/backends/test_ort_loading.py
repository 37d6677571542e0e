"""Graphs that ONNX Runtime can't load: versions too new, types that a provider lacks."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from quantgate.backends.load_faults import load_fault
from quantgate.backends.ort_session import make_session
from quantgate.cases import BuildRecipe, Package
from quantgate.errors import InvalidMeasurement
from quantgate.packages.build import package_folder, prepare
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from quantgate.rows import chain
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_models import BFLOAT16, Tiny, write_package

BF16 = onnx.TensorProto.BFLOAT16


def rewrite(folder, edit) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    edit(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def requests():
    stem = tuple(np.random.default_rng(1).integers(0, 268, 40).tolist())
    return [Loglikelihood((*stem, number), (5, 6)) for number in range(6)]


def fault_of(folder) -> InvalidMeasurement:
    backend = backend_of(folder)
    with pytest.raises(InvalidMeasurement) as caught:
        score_all(backend, make_plan(requests(), backend.limits))
    return caught.value


def newest_opset() -> int:
    """Newest opset that the installed runtime loads, found by trying."""
    value = onnx.helper.make_tensor_value_info("x", 1, [1])
    out = onnx.helper.make_tensor_value_info("y", 1, [1])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out]
    )
    for version in range(21, 99):
        opsets = [onnx.helper.make_opsetid("", version)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        try:
            onnxruntime.InferenceSession(model.SerializeToString())
        except Exception:  # noqa: BLE001  the runtime's own types
            return version - 1
    raise AssertionError("every opset loads")


def test_fault_10_opset_newer_than_the_runtime(own_package):
    newest = newest_opset()

    def newer(model):
        model.opset_import[0].version = newest + 1

    rewrite(own_package, newer)
    fault = fault_of(own_package)
    assert fault.code == "opset-unsupported"
    assert fault.found == f"opset {newest + 1} of ai.onnx"
    assert f"opset {newest} or older" in fault.need


def test_fault_10_opset_of_another_domain(own_package):
    def newer(model):
        model.opset_import[1].version = 50

    rewrite(own_package, newer)
    fault = fault_of(own_package)
    assert fault.code == "opset-unsupported"
    assert fault.found == "opset 50 of com.microsoft"
    assert "opset 1 or older" in fault.need


def test_fault_10_ir_version_newer_than_the_runtime(own_package):
    def newer(model):
        model.ir_version = 99

    rewrite(own_package, newer)
    fault = fault_of(own_package)
    assert fault.code == "opset-unsupported"
    assert fault.found == "IR version 99"
    assert "or older" in fault.need


def test_other_trouble_keeps_the_runtimes_words(tiny_folder):
    model = open_package(tiny_folder).graph
    fault = load_fault(RuntimeError("no such kernel library"), model, tiny_folder, "CPU")
    assert fault.code == "load-failed"
    assert "no such kernel library" in fault.found


def test_missing_operator_without_a_narrow_type_is_not_laid_on_types(own_package):
    def unknown(model):
        model.graph.node[0].op_type = "NoSuchOperator"

    rewrite(own_package, unknown)
    assert fault_of(own_package).code == "load-failed"


@pytest.fixture(scope="module")
def builders_bfloat16(hugging_face_folder, tmp_path_factory):
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    cache = Path(kept) if kept else tmp_path_factory.mktemp("bfloat16")
    package = Package(recipe=BuildRecipe(hugging_face_folder, "bf16"))
    prepare([package], cache)
    return package_folder(package, cache)


def test_builders_bfloat16_is_refused_on_the_cpu(builders_bfloat16):
    fault = fault_of(builders_bfloat16)
    assert fault.code == "type-unsupported"
    assert "CPUExecutionProvider to compute the bfloat16" in fault.need
    assert "Could not find an implementation" in fault.found
    assert "-p fp32" in fault.fix


def test_builders_bfloat16_is_planned_like_its_twins(builders_bfloat16):
    """Nothing but the provider's kernels is missing."""
    backend = backend_of(builders_bfloat16)
    assert (backend.limits.packs, backend.limits.keeps_prefix) == (True, True)
    caches = backend._body.inputs._caches
    assert {cache.dtype for cache in caches} == {BFLOAT16}


def test_bfloat16_caches_are_fed_and_kept(tmp_path):
    """A decoder whose attention is float32 and whose cache isn't runs on the CPU too."""
    folder = write_package(tmp_path / "narrow", Tiny(cache_type=BF16))
    plain = PlainModel(write_package(tmp_path / "wide", Tiny()))
    # A bias would have the cache's type; the runtime's plan of buffers takes the cache that comes
    # out of the operator for as long as the one that goes in.
    backend = backend_of(folder, packing=False, session_options={"enable_mem_reuse": "0"})
    plan = make_plan(requests(), backend.limits)
    assert any(group.prefix for group in plan.groups)
    rows, _ = score_all(backend, plan)
    worst = max(
        float(np.abs(row - plain.logits(plan.sequences[s])[p]).max())
        for (s, p), row in rows.items()
    )
    assert 1e-4 < worst < 0.1  # the prefix' keys and values are rounded to 8 bits of mantissa


def test_bfloat16_rows_travel_as_float32(tmp_path):
    """The body runs on the CPU; the head, which doesn't, is computed by ONNX's own evaluator."""
    folder = write_package(tmp_path, Tiny(head="bfloat16"))
    backend = backend_of(folder)
    feed = backend._body.inputs.row(chain((1, 2, 3)), 0, None)
    session = make_session(backend._split.body, folder, provider="cpu", threads=1)
    (rows,) = session.run_with_ort_values(["quantgate_hidden_rows"], feed)
    hidden = rows.numpy()
    assert (hidden.dtype, hidden.shape) == (np.float32, (1, 64))
    assert np.array_equal(hidden.astype(BFLOAT16).astype(np.float32), hidden)
    whole = onnx.load(folder / "model.onnx")
    head = onnx.ModelProto.FromString(backend._split.head.SerializeToString())
    onnx.external_data_helper.load_external_data_for_model(head, str(folder))
    weights = next(t for t in whole.graph.initializer if t.name == "head.weight")
    matrix = onnx.numpy_helper.to_array(weights).astype(np.float32)
    (logits,) = ReferenceEvaluator(head).run(None, {"quantgate_hidden_rows": hidden})
    np.testing.assert_allclose(logits, hidden @ matrix, atol=0.05)
    assert fault_of(folder).code == "type-unsupported"
