"""Slices of rows: every row once, whatever the threads, and the figures of the whole block."""

import threading

import numpy as np
import pytest

from quantgate.execution import slices as module
from quantgate.execution.orders import Comparison
from quantgate.execution.reading import carry_out
from quantgate.execution.slices import Slices
from tests.execution.test_reading import ROWS, VOCABULARY, FixedBackend, ints, order_of


@pytest.fixture(params=[1, 2, 3])
def slices(request, monkeypatch):
    monkeypatch.setattr(module, "SLICE_BYTES", 3 * 4 * VOCABULARY)
    made = Slices(request.param)
    yield made
    made.close()


def test_every_row_is_in_one_slice_and_order_is_kept(slices):
    logits = np.zeros((20, VOCABULARY), dtype=np.float32)
    found = slices.map(lambda part: list(range(part.start, part.stop)), logits, 17)
    assert [len(part) for part in found] == [3, 3, 3, 3, 3, 2]
    assert [number for part in found for number in part] == list(range(17))


def test_a_row_wider_than_a_slice_is_a_slice(slices):
    logits = np.zeros((4, 100 * VOCABULARY), dtype=np.float32)
    assert slices.map(lambda part: part, logits, 4) == [slice(n, n + 1) for n in range(4)]


def test_no_rows_no_work(slices):
    assert slices.map(pytest.fail, np.zeros((0, VOCABULARY), dtype=np.float32), 0) == []


def test_threads_read_at_the_same_time(monkeypatch):
    monkeypatch.setattr(module, "SLICE_BYTES", 1)
    together = threading.Barrier(2, timeout=20)
    pair = Slices(2)
    pair.map(lambda _: together.wait(), np.zeros((2, 1), dtype=np.float32), 2)
    pair.close()


def test_the_first_fault_is_raised(slices):
    def refuse(part: slice) -> None:
        raise ValueError(part.start)

    with pytest.raises(ValueError, match=r"^0$"):
        slices.map(refuse, np.zeros((9, VOCABULARY), dtype=np.float32), 9)


def test_readings_are_those_of_whole_blocks_to_the_bit(slices):
    backend, reference = FixedBackend(), FixedBackend(seed=1)
    compared = ints(0, 5, *range(60, 70), 149)
    order = order_of(
        rows=np.arange(ROWS),
        targets=np.arange(ROWS) % VOCABULARY,
        comparison=Comparison(compared, reference.hidden[compared], VOCABULARY),
    )
    sliced = carry_out(backend, order, reference.head, slices)
    monolith = carry_out(backend, order, reference.head)
    for name in ("logprobs", "top", "kl", "abs_log_ratio", "same_top"):
        assert np.array_equal(getattr(sliced, name), getattr(monolith, name)), name
