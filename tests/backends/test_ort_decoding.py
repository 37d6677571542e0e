"""The ORT engine's greedy ids are those of one full forward per id by plain ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quantgate.backends.ort_decoding import OrtDecoding
from quantgate.backends.ort_session import make_session
from quantgate.errors import InvalidMeasurement
from quantgate.packages.decoder import decoder_graph
from quantgate.packages.package import open_package
from quantgate.plan import make_plan
from quantgate.requests import LoglikelihoodRolling
from tests.greedy import behind_best, decode, ids_of, naive
from tests.running import backend_of
from tests.straightforward import PlainModel
from tests.tiny_gpt2 import gpt2_logits, write_gpt2
from tests.tiny_models import Tiny, write_package

ROUNDS = (ids_of(40, 1), ids_of(9, 2), ids_of(1, 3))
STEPS = 12
WINDOW = LoglikelihoodRolling(tuple(ids_of(30, 5)), range(30), (1,) * 30)
# How far behind the best logit an id may be, and the share of ids that must be the best.
NOISE = {"fp32": 0.0, "int8": 0.05, "int4": 0.05, "fp16": 0.02}
SAME = {"fp32": 1.0, "int8": 0.9, "int4": 0.9, "fp16": 0.9}


def graph_of(folder):
    package = open_package(folder)
    return decoder_graph(package, package.graph)


@pytest.mark.parametrize("precision", NOISE)
def test_rounds_on_one_cache_equal_full_forwards(built, precision):
    backend = backend_of(built[precision])
    sequence, places = decode(backend.decoding(128), ROUNDS, STEPS)
    assert len(places) == 3 * (STEPS + 1)
    behind = behind_best(PlainModel(built[precision]).logits, sequence, places)
    assert behind.max() <= NOISE[precision]
    assert np.mean(behind == 0) >= SAME[precision]


@pytest.mark.parametrize(
    "head", ["matmul", "capped", "nbits", "tied", "pruned", "pruned_slice", "pruned_early"]
)
def test_heads_of_all_forms(tmp_path, head):
    """Whatever rows a head yields, the last is read; a whole head says what each must be."""
    folder = write_package(tmp_path / "package", Tiny(head=head))
    whole = folder
    if head.startswith("pruned"):
        whole = write_package(tmp_path / "whole", Tiny())
    sequence, places = decode(backend_of(folder).decoding(128), ROUNDS, STEPS)
    assert not behind_best(PlainModel(whole).logits, sequence, places).any()


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "passed_on"])
def test_buffers_shared_or_passed_on_give_the_same(tiny_folder, monkeypatch, shared):
    monkeypatch.setattr("quantgate.packages.decoder.shares_buffers", lambda *_: shared)
    assert graph_of(tiny_folder).shares_buffers == shared
    sequence, places = decode(backend_of(tiny_folder).decoding(128), ROUNDS, STEPS)
    assert not behind_best(PlainModel(tiny_folder).logits, sequence, places).any()


@pytest.mark.parametrize("provider", ["cpu", "dml"])
def test_inputs_written_in_place_or_bound_again_give_the_same(tiny_folder, provider):
    """What is bound to a device's session is a copy, so each run binds anew."""
    graph = graph_of(tiny_folder)
    backend = backend_of(tiny_folder)
    _, session = backend._decoder
    decoding = OrtDecoding(session, graph, 128, provider=provider, where="here")
    assert decoding._writes_in_place == (provider == "cpu")
    sequence, places = decode(decoding, ROUNDS, STEPS)
    assert not behind_best(PlainModel(tiny_folder).logits, sequence, places).any()


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_keys_and_values_in_one_tensor(tmp_path, fused):
    weights = write_gpt2(tmp_path, fused=fused)
    graph = graph_of(tmp_path)
    assert (graph.continues, graph.shares_buffers) == (fused, False)
    sequence, places = decode(backend_of(tmp_path).decoding(128), ROUNDS, STEPS)
    assert not behind_best(lambda ids: gpt2_logits(weights, ids), sequence, places).any()


def test_local_window(tmp_path):
    folder = write_package(tmp_path, Tiny(attention={"local_window_size": 16}))
    sequence, places = decode(backend_of(folder).decoding(128), ROUNDS, STEPS)
    assert not behind_best(PlainModel(folder).logits, sequence, places).any()


def test_cache_of_another_type_than_attention(tmp_path):
    """Casts stand between past, attention and present, so that no buffer can be shared."""
    narrow = write_package(tmp_path / "narrow", Tiny(cache_type=TensorProto.BFLOAT16))
    wide = write_package(tmp_path / "wide", Tiny())
    assert graph_of(wide).shares_buffers
    assert not graph_of(narrow).shares_buffers
    sequence, places = decode(backend_of(narrow).decoding(128), ROUNDS, STEPS)
    behind = behind_best(PlainModel(wide).logits, sequence, places)
    assert behind.max() < 0.2
    assert np.mean(behind == 0) >= 0.9


def test_graph_without_a_cache_is_run_from_the_start(tmp_path):
    folder = write_package(tmp_path / "package", Tiny())
    plain = PlainModel(write_package(tmp_path / "cached", Tiny()))
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    for field in (model.graph.input, model.graph.output):
        for value in [value for value in field if ".key" in value.name or ".value" in value.name]:
            field.remove(value)
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            node.input[3] = node.input[4] = ""
            del node.output[1:]
    onnx.save_model(model, str(folder / "model.onnx"))
    sequence, places = decode(backend_of(folder).decoding(128), ROUNDS, STEPS)
    assert not behind_best(plain.logits, sequence, places).any()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_sequence_up_to_the_full_context(built, precision):
    backend = backend_of(built[precision])
    assert backend.limits.context == 1024
    decoding = backend.decoding(1024)
    sequence, places = decode(decoding, [ids_of(1012, 5)], 12)
    assert len(sequence) == 1025
    forward = PlainModel(built[precision]).logits
    behind = behind_best(lambda ids: forward(ids[:1024]), sequence, places)
    assert behind.max() <= NOISE[precision]
    assert np.mean(behind == 0) >= SAME[precision]
    with pytest.raises(ValueError, match="1024"):
        decoding.step(1)


def test_ids_that_nobody_chose_are_followed(tiny_folder):
    """What is appended decides, not what was returned."""
    plain = PlainModel(tiny_folder)
    decoding = backend_of(tiny_folder).decoding(64)
    ids = list(ids_of(20, 4))
    found = decoding.append(ids)
    for forced in ids_of(15, 5):
        assert found == plain.logits(ids)[-1].argmax()
        ids.append(forced)
        found = decoding.step(forced)
    assert found == plain.logits(ids)[-1].argmax()


def test_second_sequence_knows_nothing_of_the_first(tiny_folder):
    backend = backend_of(tiny_folder)
    expected = naive(PlainModel(tiny_folder).logits, ids_of(12, 6), 9)
    for before in (), (ids_of(70, 7),):
        for ids in before:
            other = backend.decoding(100)
            decode(other, [ids], 5)
            other.close()
            other.close()
        decoding = backend.decoding(100)
        assert decode(decoding, [ids_of(12, 6)], 8)[0] == expected
    backend.close()
    assert decode(backend.decoding(21), [ids_of(12, 6)], 8)[0] == expected


def test_scoring_and_decoding_share_a_backend_and_its_accuracy_level(built):
    backend = backend_of(built["int4"], accuracy_level=0)
    backend.decoding(8)
    graph, _ = backend._decoder
    levels = {
        attribute.i
        for node in graph.model.graph.node
        for attribute in node.attribute
        if attribute.name == "accuracy_level"
    }
    assert levels == {0}


def test_fault_21_of_equally_likely_ids_the_lowest(tmp_path):
    folder = write_package(tmp_path, Tiny(logit_scale=0.0))
    sequence, places = decode(backend_of(folder).decoding(32), [ids_of(5, 1)], 3)
    assert [sequence[place] for place in places] == [0] * 4


def test_ids_beyond_the_vocabulary_are_never_chosen(tmp_path, monkeypatch):
    """Logits may be wider than the ids that the model knows."""
    folder = write_package(tmp_path, Tiny())
    logits = PlainModel(folder).logits(ids_of(30, 1))[-1]
    best = int(logits.argmax())
    assert best > 0
    config = folder / "genai_config.json"
    size = f'"vocab_size": {len(logits)}'
    text = config.read_text("utf-8")
    assert size in text
    text = text.replace(size, f'"vocab_size": {best}')
    for key in ("bos_token_id", "eos_token_id"):
        text = text.replace(f'"{key}"', f'"no_{key}"')
    config.write_text(text, "utf-8")
    decoding = backend_of(folder).decoding(64)
    assert decoding.append(ids_of(30, 1)) == int(logits[:best].argmax())


@pytest.mark.parametrize("poison", ["nan", "inf"])
def test_fault_20_logits_that_are_not_finite(tmp_path, poison):
    folder = write_package(tmp_path, Tiny(poison=poison))
    decoding = backend_of(folder).decoding(64)
    # An infinite weight may make its logit the smallest.
    with pytest.raises(InvalidMeasurement, match="behind") as caught:
        [decoding.step(number) for number in range(20)]
    assert caught.value.code == "logits-not-finite"


def test_run_that_fails_is_named(tiny_folder):
    with pytest.raises(InvalidMeasurement, match="999999") as caught:
        backend_of(tiny_folder).decoding(8).append((1, 999_999))
    assert caught.value.code == "run-failed"


def test_memory_that_ran_out_is_named(tiny_folder):
    class Exhausted:
        def run_with_iobinding(self, binding):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")

    decoding = backend_of(tiny_folder).decoding(8)
    decoding._session = Exhausted()
    with pytest.raises(InvalidMeasurement) as caught:
        decoding.append((1, 2))
    assert caught.value.code == "out-of-memory"


def test_only_one_row_of_logits_leaves_a_run(tiny_folder):
    """A prompt's other rows stay where they were computed."""
    (value,) = [v for v in graph_of(tiny_folder).model.graph.output if "logits" in v.name]
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [268]
    decoding = backend_of(tiny_folder).decoding(64)
    ids = ids_of(30, 1)
    decoding.append(ids)
    expected = PlainModel(tiny_folder).logits(ids)[-1]
    assert np.abs(decoding._logits - expected).max() < 1e-4


def test_threads_stay_awake_between_steps_alone(tiny_folder, monkeypatch):
    spinning = {}

    def make(graph, *arguments, spins, **options):
        spinning[graph.graph.output[0].name] = spins
        return make_session(graph, *arguments, spins=spins, **options)

    monkeypatch.setattr("quantgate.backends.ort.make_session", make)
    backend = backend_of(tiny_folder)
    decode(backend.decoding(64), ROUNDS[:1], 2)
    (batch,) = make_plan([WINDOW], backend.limits).batches()
    list(backend.score(batch))
    assert len(spinning) == 3
    awake = {output for output, spins in spinning.items() if spins}
    assert awake == {graph_of(tiny_folder).model.graph.output[0].name}
