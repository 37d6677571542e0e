"""The ORT engine's rows, however they are batched, are those of one forward per prompt."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto

from quantgate.backends import ort, ort_session
from quantgate.backends.base import BLOCK_ROWS
from quantgate.backends.ort import OrtBackend
from quantgate.backends.ort_head import OrtHead
from quantgate.backends.ort_session import require_attached, require_provider
from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement
from quantgate.packages.package import open_package
from quantgate.plan import Plan, make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from quantgate.rows import chain
from tests.running import backend_of, score_all
from tests.straightforward import PlainModel
from tests.tiny_models import Tiny, write_package


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def rolling(ids: tuple[int, ...], scored: range | None = None) -> LoglikelihoodRolling:
    """A window whose rows are wanted and whose targets aren't."""
    scored = scored or range(len(ids))
    return LoglikelihoodRolling(ids, scored, (NO_TARGET,) * len(scored))


def tree_requests() -> list[Loglikelihood]:
    """Two shared beginnings, forks behind them, and letters that need several tokens."""
    requests = []
    for stem in (ids_of(60, 1), ids_of(45, 2)):
        for number in range(12):
            context = (*stem, *ids_of(3, 9), *ids_of(5 + number % 4, 10 + number))
            requests += [Loglikelihood(context, (letter,)) for letter in (5, 6)]
            requests.append(Loglikelihood(context, (7, 8, 9)))
    return requests


def largest_difference(backend: OrtBackend, plain: PlainModel, requests) -> float:
    return plan_difference(backend, plain, make_plan(requests, backend.limits))


def plan_difference(backend: OrtBackend, plain: PlainModel, plan: Plan) -> float:
    """Largest difference of a logit from one full forward for each sequence."""
    rows, _ = score_all(backend, plan)
    logits = [plain.logits(ids) for ids in plan.sequences]
    return max(float(np.abs(row - logits[s][p]).max()) for (s, p), row in rows.items())


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
@pytest.mark.parametrize("head", ["matmul", "capped", "nbits"])
def test_packed_rows_equal_separate_runs(tmp_path, head, packing):
    folder = write_package(tmp_path, Tiny(head=head))
    backend = backend_of(folder, packing=packing)
    requests = tree_requests()
    plan = make_plan(requests, backend.limits)
    assert any(group.prefix for group in plan.groups)
    assert any(not row.is_chain for g in plan.groups for row in g.rows) == packing
    assert largest_difference(backend, PlainModel(folder), requests) < 1e-4


@pytest.mark.parametrize("widest", [1, 16, 60, 64, 1000])
@pytest.mark.parametrize("scored", [range(120), range(60, 120), range(3), range(119, 120)])
def test_a_chain_in_parts_equals_one_forward(tmp_path, monkeypatch, widest, scored):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", widest)
    folder = write_package(tmp_path, Tiny())
    requests = [rolling(ids_of(120, seed), scored) for seed in (1, 2)]
    assert largest_difference(backend_of(folder), PlainModel(folder), requests) < 1e-4


def test_prefixes_and_lone_suffixes_are_computed_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 16)
    folder = write_package(tmp_path, Tiny())
    for packing in (True, False):
        backend = backend_of(folder, packing=packing)
        assert largest_difference(backend, PlainModel(folder), tree_requests()) < 1e-4


def test_parts_of_a_chain_are_computed_once_and_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 50)
    backend = backend_of(write_package(tmp_path, Tiny()))
    widths, row = [], backend._body.inputs.row

    def told(part, behind, past):
        widths.append((len(part.ids), behind))
        return row(part, behind, past)

    monkeypatch.setattr(backend._body.inputs, "row", told)
    score_all(backend, make_plan([rolling(ids_of(120, 1))], backend.limits))
    assert widths == [(50, 0), (50, 50), (20, 100)]


def test_a_cache_that_rounds_is_never_put_between_parts_of_a_chain(tmp_path):
    exact, rounding = (
        backend_of(write_package(tmp_path / str(kind), Tiny(cache_type=kind)))
        for kind in (TensorProto.FLOAT, TensorProto.BFLOAT16)
    )
    row = chain(ids_of(3 * ort.CHAIN_TOKENS, 1))
    assert len(exact._body.parts(row)) == 3
    assert rounding._body.parts(row) == [row]


# Measured: 4e-6 in fp32, 3e-6 in int8 and int4, 4e-3 in fp16. Kernels that round activations to
# 8 bits may turn the last bit of a float into a step of about 1e-2, so the bound of these is wider
# than what one processor showed.
NOISE = {"fp32": 1e-4, "int8": 0.05, "int4": 0.05, "fp16": 0.02}


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "fallback"])
@pytest.mark.parametrize("precision", NOISE)
def test_builders_packages_pack_within_their_noise(built, precision, packing):
    backend = backend_of(built[precision], packing=packing)
    difference = largest_difference(backend, PlainModel(built[precision]), tree_requests())
    assert difference < NOISE[precision]


def test_padded_batches_equal_separate_runs(built):
    backend = backend_of(built["fp16"], packing=False)
    plan = make_plan(tree_requests(), backend.limits)
    assert all(group.padded for group in plan.groups)
    assert max(len(group.rows) for group in plan.groups) > 1


def test_local_window_is_exact_behind_a_kept_prefix(tmp_path):
    folder = write_package(tmp_path, Tiny(attention={"local_window_size": 16}))
    backend = backend_of(folder)
    assert not backend.limits.packs
    assert largest_difference(backend, PlainModel(folder), tree_requests()) < 1e-4


def test_rows_behind_a_long_prefix_stay_within_the_context(tmp_path):
    """Positions restart in packed rows, but the rotary tables must cover the whole row."""
    folder = write_package(tmp_path, Tiny(context=64))
    backend = backend_of(folder)
    stem = ids_of(20, 1)
    requests = [Loglikelihood((*stem, *ids_of(9, 20 + i)), (5,)) for i in range(30)]
    plan = make_plan(requests, backend.limits)
    assert any(not row.is_chain for g in plan.groups for row in g.rows)
    assert largest_difference(backend, PlainModel(folder), requests) < 1e-4


def rootless_plan(backend: OrtBackend) -> Plan:
    """Forks in one row behind no kept prefix."""
    requests = [Loglikelihood((*ids_of(10, 1), *ids_of(4, 20 + i)), (5,)) for i in range(9)]
    requests += [Loglikelihood((*ids_of(9, 2), *ids_of(4, 30 + i)), (5, 6)) for i in range(4)]
    heavy = CostModel(linear=10**6, pair=1, cache=10**7)  # so that no prefix is worth a copy
    plan = make_plan(requests, replace(backend.limits, cost=heavy))
    assert not any(group.prefix for group in plan.groups)
    assert any(len(row.segments) > 2 for group in plan.groups for row in group.rows)
    return plan


@pytest.mark.parametrize("context", [65, 96, 256])
def test_packed_rows_without_a_prefix_keep_their_positions(tmp_path, context):
    """Here the runtime would count positions from the row's start, whatever it is fed."""
    folder = write_package(tmp_path, Tiny(context=context))
    backend = backend_of(folder)
    assert plan_difference(backend, PlainModel(folder), rootless_plan(backend)) < 1e-4


def test_packed_rows_without_a_prefix_leave_room_in_the_context(tmp_path):
    """Sixty-four tokens where the context has as many and a row needs one more in front."""
    folder = write_package(tmp_path, Tiny(context=64))
    backend = backend_of(folder)
    requests = [Loglikelihood((*ids_of(16, 1), *ids_of(4, 20 + i)), (5,)) for i in range(6)]
    requests += [Loglikelihood((*ids_of(12, 2), *ids_of(4, 30 + i)), (5,)) for i in range(3)]
    heavy = CostModel(linear=10**6, pair=1, cache=10**7)
    plan = make_plan(requests, replace(backend.limits, cost=heavy))
    assert not any(group.prefix for group in plan.groups)
    assert plan_difference(backend, PlainModel(folder), plan) < 1e-4


@pytest.mark.parametrize("precision", NOISE)
def test_builders_packages_pack_without_a_prefix(built, precision):
    backend = backend_of(built[precision])
    found = plan_difference(backend, PlainModel(built[precision]), rootless_plan(backend))
    assert found < NOISE[precision]


def test_blocks_are_bounded_and_full(tiny_folder):
    backend = backend_of(tiny_folder)
    ids = ids_of(150, 3)
    requests = [rolling(ids), Loglikelihood(ids[:20], (1,))]
    (batch,) = make_plan(requests, backend.limits).batches()
    blocks = list(backend.score(batch))
    assert [len(b.logits) for b in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 151 - 2 * BLOCK_ROWS]
    assert all(block.logits.dtype == np.float32 for block in blocks)
    assert all(block.hidden.shape == (len(block.logits), 64) for block in blocks)


def test_kept_rows_give_the_same_logits_again(tiny_folder):
    backend = backend_of(tiny_folder)
    plan = make_plan(tree_requests(), backend.limits)
    _, blocks = score_all(backend, plan)
    backend.close()
    for block in blocks:
        assert np.array_equal(backend.head.logits(block.hidden), block.logits)


def test_digest_and_provider_are_the_identity(tiny_folder, other_folder):
    ours, other = backend_of(tiny_folder), backend_of(other_folder)
    unpacked = backend_of(tiny_folder, packing=False)
    assert ours.identity["provider"] == "CPUExecutionProvider"
    assert ours.identity["package"] == open_package(tiny_folder).digest
    assert ours.identity != other.identity
    assert ours.identity != unpacked.identity


def test_fault_15_provider_that_is_not_installed(tiny_folder):
    with pytest.raises(InvalidMeasurement, match="CPUExecutionProvider") as caught:
        OrtBackend(open_package(tiny_folder), provider="dml", threads=1)
    assert caught.value.code == "provider-unavailable"
    with pytest.raises(InvalidMeasurement):
        require_provider("no_such_provider")


@pytest.mark.parametrize(
    "attached", [["CPUExecutionProvider"], [], ["CPUExecutionProvider", "CUDAExecutionProvider"]]
)
def test_fault_16_session_elsewhere_than_asked(attached):
    with pytest.raises(InvalidMeasurement) as caught:
        require_attached(attached, "CUDAExecutionProvider")
    assert caught.value.code == "provider-not-attached"


def test_fault_16_every_session_is_asked_where_it_runs(tiny_folder, monkeypatch):
    asked = []
    monkeypatch.setattr(ort_session, "require_attached", lambda *found: asked.append(found))
    backend = backend_of(tiny_folder)
    score_all(backend, make_plan(tree_requests()[:1], backend.limits))
    assert asked == [(["CPUExecutionProvider"], "CPUExecutionProvider")] * 2


class FakeHead:
    """A session whose output has a shape of our choice."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def get_inputs(self):
        return [type("Input", (), {"name": "hidden"})]

    def run(self, *_):
        return (np.zeros(self.shape, dtype=np.float32),)


SHAPES = {"one_row": (1, 9), "transposed": (9, 4), "narrow": (4, 8), "batched": (1, 4, 9)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_fault_24_logits_of_another_shape(shape):
    with pytest.raises(InvalidMeasurement) as caught:
        OrtHead(FakeHead(*shape), 9).logits(np.zeros((4, 2), dtype=np.float32))
    assert caught.value.code == "logits-shape"
    assert str(list(shape)) in caught.value.found


def test_fault_26_logits_may_be_padded_beyond_the_vocabulary():
    logits = OrtHead(FakeHead(4, 16), 9).logits(np.zeros((4, 2), dtype=np.float32))
    assert logits.shape == (4, 16)


def test_run_that_fails_is_named(tiny_folder):
    backend = backend_of(tiny_folder)
    plan = make_plan([Loglikelihood((1, 2, 999_999), (1,))], backend.limits)
    with pytest.raises(InvalidMeasurement, match="999999") as caught:
        score_all(backend, plan)
    assert caught.value.code == "run-failed"
