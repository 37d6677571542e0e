"""What is read from blocks of logits, held against whole arrays in float64."""

from dataclasses import replace

import numpy as np
import pytest

from quantgate.backends.base import BLOCK_ROWS, ScoredBlock
from quantgate.backends.blocks import in_blocks
from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Comparison, Order
from quantgate.execution.reading import carry_out, require_finite
from quantgate.groups import Group, PlanLimits
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, LoglikelihoodRolling
from tests.running import backend_of
from tests.straightforward import PlainModel, log_softmax
from tests.tiny_models import Tiny, write_package

ROWS, HIDDEN, VOCABULARY = 2 * BLOCK_ROWS + 22, 8, 50


class MatrixHead:
    """Logits by one matrix."""

    def __init__(self, seed: int) -> None:
        self.matrix = np.random.default_rng(seed).normal(0, 0.5, (HIDDEN, VOCABULARY))
        self.asked: list[int] = []

    def logits(self, hidden):
        self.asked.append(len(hidden))
        return (hidden @ self.matrix).astype(np.float32)


class FixedBackend:
    """Yields the same hidden rows for every batch."""

    limits = PlanLimits(True, True, 1024, CostModel(1, 1, 1))

    def __init__(self, seed: int = 0, rows: int = ROWS) -> None:
        self.hidden = np.random.default_rng(seed).normal(size=(rows, HIDDEN)).astype(np.float32)
        self.head = MatrixHead(seed)
        self.identity: dict[str, str] = {}

    def score(self, batch):
        return in_blocks(np.array_split(self.hidden, 7), self.head)

    def close(self) -> None: ...


def batch_of(rows: int = ROWS) -> Group:
    """A batch of one row whose every position is wanted."""
    request = LoglikelihoodRolling((1,) * rows, range(rows), (NO_TARGET,) * rows)
    (batch,) = make_plan([request], FixedBackend.limits).batches()
    return batch


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def order_of(**facts) -> Order:
    whole = {"rows": ints(), "targets": ints(), "keep": ints()}
    return Order(batch_of(), **{**whole, **facts})


def log_probabilities(backend: FixedBackend) -> np.ndarray:
    logits = (backend.hidden @ backend.head.matrix).astype(np.float32)
    return log_softmax(logits)


def test_log_probabilities_of_targets():
    backend = FixedBackend()
    rows = ints(0, 3, 63, 64, 127, 128, 149)
    targets = ints(1, 49, 0, 7, NO_TARGET, 12, 30)
    found = carry_out(backend, order_of(rows=rows, targets=targets), None).logprobs
    expected = log_probabilities(backend)[rows, targets]
    assert found.dtype == np.float64
    assert np.isnan(found[4])
    np.testing.assert_allclose(np.delete(found, 4), np.delete(expected, 4), rtol=1e-6)


def test_a_row_may_have_several_targets():
    backend = FixedBackend()
    rows, targets = np.repeat(ints(5, 64, 140), 4), np.tile(ints(1, 2, 3, 4), 3)
    found = carry_out(backend, order_of(rows=rows, targets=targets), None).logprobs
    np.testing.assert_allclose(found, log_probabilities(backend)[rows, targets], rtol=1e-6)


def test_most_likely_id_of_every_row():
    backend = FixedBackend()
    found = carry_out(backend, order_of(), None)
    assert found.top.tolist() == log_probabilities(backend).argmax(axis=-1).tolist()
    assert (found.hidden, len(found.logprobs), len(found.kl)) == (None, 0, 0)


def test_fault_21_of_equal_logits_the_lowest_id_is_the_top():
    backend = FixedBackend()
    backend.head.matrix[:, 20] = backend.head.matrix[:, 10]
    backend.head.matrix *= 1e-3
    backend.head.matrix[:, (10, 20)] *= 1e4
    found = carry_out(backend, order_of(), None).top
    assert 10 in found
    assert 20 not in found


def test_kept_rows_come_back_as_they_were():
    backend = FixedBackend()
    keep = ints(0, 1, 62, 63, 64, 100, 128, 149)
    found = carry_out(backend, order_of(keep=keep), None).hidden
    assert np.array_equal(found, backend.hidden[keep])
    assert found.dtype == np.float32


@pytest.mark.parametrize("rows", [[0], [5, 63, 64, 65, 149], range(64, 128), range(ROWS)])
def test_comparison_with_another_head(rows):
    backend, reference = FixedBackend(), FixedBackend(seed=1)
    rows = ints(*rows)
    comparison = Comparison(rows, reference.hidden[rows], VOCABULARY)
    found = carry_out(backend, order_of(comparison=comparison), reference.head)

    log_p, log_q = log_probabilities(reference)[rows], log_probabilities(backend)[rows]
    p = np.exp(log_p)
    np.testing.assert_allclose(found.kl, (p * (log_p - log_q)).sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(
        found.abs_log_ratio, (p * np.abs(log_p - log_q)).sum(axis=-1), rtol=1e-5
    )
    assert found.same_top.tolist() == (log_p.argmax(-1) == log_q.argmax(-1)).tolist()
    assert found.kl.min() > 0
    assert max(reference.head.asked) <= BLOCK_ROWS


def test_fault_25_comparison_with_itself_is_zero():
    backend = FixedBackend()
    comparison = Comparison(ints(*range(0, ROWS, 3)), None, VOCABULARY)
    found = carry_out(backend, order_of(comparison=comparison), None)
    assert len(found.kl) == len(range(0, ROWS, 3))
    assert not found.kl.any()
    assert not found.abs_log_ratio.any()
    assert found.same_top.all()


def test_fault_25_divergence_has_a_direction():
    first, second = FixedBackend(), FixedBackend(seed=1)
    rows = ints(*range(ROWS))
    there = carry_out(
        first, order_of(comparison=Comparison(rows, second.hidden, VOCABULARY)), second.head
    )
    back = carry_out(
        second, order_of(comparison=Comparison(rows, first.hidden, VOCABULARY)), first.head
    )
    assert np.abs(there.kl - back.kl).min() > 0
    np.testing.assert_array_equal(there.same_top, back.same_top)


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS + 1, 1])
def test_rows_that_are_missing_or_too_many(rows):
    with pytest.raises(InvalidMeasurement, match=f"needed: {ROWS} .* found: {rows};") as caught:
        carry_out(FixedBackend(rows=rows), order_of(), None)
    assert caught.value.code == "rows-missing"


def test_backend_that_yields_nothing():
    backend = FixedBackend()
    backend.score = lambda _: iter(())
    with pytest.raises(InvalidMeasurement) as caught:
        carry_out(backend, order_of(), None)
    assert caught.value.code == "rows-missing"


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("row", [0, 63, 64, 149])
def test_fault_20_nan_logits(poison, row):
    backend = FixedBackend()
    whole = backend.head.logits

    def poisoned(hidden):
        logits = whole(hidden)
        logits[(hidden == backend.hidden[row]).all(axis=-1), 7] = poison
        return logits

    backend.head.logits = poisoned
    with pytest.raises(InvalidMeasurement, match=f"first in scored row {row} of") as caught:
        carry_out(backend, order_of(), None)
    assert caught.value.code == "logits-not-finite"
    assert caught.value.found.startswith("1 of ")


@pytest.mark.parametrize("poison", ["nan", "inf", "-inf"])
def test_fault_20_nan_weights_of_a_package(tmp_path, poison):
    backend = backend_of(write_package(tmp_path, Tiny(poison=poison)))
    request = LoglikelihoodRolling(tuple(range(9)), range(8, 9), (1,))
    (batch,) = make_plan([request], backend.limits).batches()
    with pytest.raises(InvalidMeasurement, match="1 of 268") as caught:
        carry_out(backend, Order(batch, ints(0), ints(1), ints()), None)
    assert caught.value.code == "logits-not-finite"


def test_fault_20_infinities_of_both_signs_do_not_cancel():
    logits = np.array([[0.0, 1.0], [np.inf, -np.inf]], dtype=np.float32)
    with pytest.raises(InvalidMeasurement, match=r"2 of 4 .* scored row 65 "):
        require_finite(logits, 64)


def test_fault_20_largest_floats_are_finite():
    top = np.finfo(np.float32).max
    require_finite(np.full((2, 1000), top, dtype=np.float32), 0)


def test_blocks_may_have_any_size():
    backend = FixedBackend()
    rows, targets = ints(*range(ROWS)), ints(*(n % VOCABULARY for n in range(ROWS)))
    order = order_of(rows=rows, targets=targets, keep=rows)
    expected = carry_out(backend, order, None)

    def singly(_):
        for row in backend.hidden:
            yield ScoredBlock(row[None], backend.head.logits(row[None]))

    backend.score = singly
    found = carry_out(backend, order, None)
    np.testing.assert_allclose(found.logprobs, expected.logprobs, rtol=1e-5)
    assert np.array_equal(found.top, expected.top)
    assert np.array_equal(found.hidden, expected.hidden)


def test_readings_of_a_package_are_those_of_full_forwards(tiny_folder):
    backend, plain = backend_of(tiny_folder), PlainModel(tiny_folder)
    random = np.random.default_rng(3)
    stem = tuple(random.integers(0, 268, 40).tolist())
    requests = [
        LoglikelihoodRolling(
            (*stem, *ends), range(40, 46), tuple(random.integers(0, 268, 6).tolist())
        )
        for ends in random.integers(0, 268, (5, 6)).tolist()
    ]
    limits = replace(backend.limits, cost=CostModel(linear=10**6, pair=1, cache=1))
    plan = make_plan(requests, limits)
    seen = 0
    for batch in plan.batches():
        rows = np.arange(len(batch.wanted))
        targets = ints(
            *(
                requests[plan.members[want.sequence][0]].targets[want.position - 40]
                for want in batch.wanted
            )
        )
        found = carry_out(backend, Order(batch, rows, targets, ints()), None)
        for want, target, value in zip(batch.wanted, targets, found.logprobs, strict=True):
            logprobs = plain.logprobs(plan.sequences[want.sequence])
            assert value == pytest.approx(logprobs[want.position, target], abs=1e-4)
            seen += 1
    assert seen == 30
