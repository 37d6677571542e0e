"""Rows computed in one buffer are, to the last bit, those of caches passed from run to run."""

from __future__ import annotations

import numpy as np
import pytest

from quantgate.backends import ort
from quantgate.backends.ort_cache import STEP_TOKENS, SharedCache
from quantgate.errors import InvalidMeasurement
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from quantgate.rows import chain
from tests.running import backend_of, score_all
from tests.tiny_gpt2 import write_gpt2
from tests.tiny_longrope import SWITCH, write_longrope
from tests.tiny_models import Tiny, write_package


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def window(count: int, seed: int) -> LoglikelihoodRolling:
    return LoglikelihoodRolling(ids_of(count, seed), range(count), (NO_TARGET,) * count)


def questions(stem: int, seed: int, count: int = 9) -> list[Loglikelihood]:
    shared = ids_of(stem, seed)
    return [
        Loglikelihood((*shared, *ids_of(7 + number % 5, 100 * seed + number)), (letter,))
        for number in range(count)
        for letter in (5, 6)
    ]


# Prefixes that change, grow and shrink, and windows without one, in parts, between them.
REQUESTS = [
    *questions(60, 1),
    window(150, 2),
    *questions(20, 3),
    *questions(90, 4),
    window(40, 5),
    *questions(60, 6),
]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 32)


def backends(folder, monkeypatch, **options):
    """One that shares a buffer, and one that passes caches on."""
    sharing = backend_of(folder, **options)
    monkeypatch.setattr("quantgate.backends.ort.shares_buffers", lambda *_: False)
    return sharing, backend_of(folder, **options)


def rows_of(backend, requests):
    rows, _ = score_all(backend, make_plan(requests, backend.limits))
    return rows


def assert_the_same(sharing, passing, requests):
    shared, passed = rows_of(sharing, requests), rows_of(passing, requests)
    assert sharing._body._buffer is not None
    assert passing._body._buffer is None
    assert shared.keys() == passed.keys()
    assert all(np.array_equal(row, passed[key]) for key, row in shared.items())


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_builders_packages(built, monkeypatch, precision, packing):
    sharing, passing = backends(built[precision], monkeypatch, packing=packing)
    assert_the_same(sharing, passing, REQUESTS)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("head", ["matmul", "pruned", "pruned_early"])
def test_heads_of_every_row_and_of_the_last_alone(tmp_path, monkeypatch, head):
    folder = write_package(tmp_path, Tiny(head=head))
    assert_the_same(*backends(folder, monkeypatch), REQUESTS)


@pytest.mark.usefixtures("small_parts")
def test_local_window(tmp_path, monkeypatch):
    folder = write_package(tmp_path, Tiny(attention={"local_window_size": 16}))
    assert_the_same(*backends(folder, monkeypatch), REQUESTS)


@pytest.mark.usefixtures("small_parts")
def test_rows_over_a_switch_of_rotary_tables(tmp_path, monkeypatch):
    requests = [*questions(SWITCH - 9, 1), *questions(SWITCH - 12, 2), window(2 * SWITCH, 3)]
    assert_the_same(*backends(write_longrope(tmp_path), monkeypatch), requests)


def test_a_buffer_is_made_anew_for_longer_sequences_alone(tiny_folder, monkeypatch):
    rooms, make = [], SharedCache.__init__

    def counted(self, session, inputs, output, tokens):
        make(self, session, inputs, output, tokens)
        rooms.append(self.tokens)

    monkeypatch.setattr(SharedCache, "__init__", counted)
    monkeypatch.setattr(ort, "CHAIN_TOKENS", 32)
    monkeypatch.setattr("quantgate.backends.ort_cache.STEP_TOKENS", 64)
    backend = backend_of(tiny_folder)
    for request in (window(50, 1), window(120, 2), window(60, 3), window(128, 4), window(129, 5)):
        rows_of(backend, [request])
    assert rooms == [64, 128, 192]


def test_a_kept_prefix_is_computed_once(tiny_folder, monkeypatch):
    """Rows are written behind it, so that it stays for those of the next batch."""
    backend = backend_of(tiny_folder)
    computed, row = [], backend._body.inputs.row

    def told(part, behind, past):
        computed.append((len(part.ids), behind))
        return row(part, behind, past)

    monkeypatch.setattr(backend._body.inputs, "row", told)
    requests = questions(60, 1)
    expected = rows_of(backend, requests)
    at_first = len(computed)
    assert [behind for _, behind in computed].count(0) == 1
    found = rows_of(backend, requests)
    assert computed[at_first:]
    assert 0 not in [behind for _, behind in computed[at_first:]]
    assert found.keys() == expected.keys()
    assert all(np.array_equal(row, expected[key]) for key, row in found.items())


def test_results_of_a_run_outlive_the_next(tiny_folder):
    body = backend_of(tiny_folder)._body
    past = body.begin(40)
    first, _ = body.extend(body.inputs.row(chain(ids_of(40, 1)), 0, past))
    kept = first.copy()
    second, _ = body.extend(body.inputs.row(chain(ids_of(40, 2)), 0, past))
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)


def test_room_is_rounded_up(tiny_folder):
    backend = backend_of(tiny_folder)
    backend._body.begin(1)
    buffer = backend._body._buffer
    assert buffer.tokens == STEP_TOKENS
    assert {value.shape()[2] for value in buffer.past.values()} == {STEP_TOKENS}
    backend.close()
    assert backend._body._buffer is None


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_caches_of_other_operators_are_passed_on(tmp_path, fused):
    write_gpt2(tmp_path, fused=fused)
    backend = backend_of(tmp_path)
    rows_of(backend, REQUESTS[:18])
    assert backend._body._buffer is None


def test_memory_that_ran_out_is_named(tiny_folder, monkeypatch):
    def exhausted(*_):
        raise MemoryError("Unable to allocate 30.5 GiB for an array")

    backend = backend_of(tiny_folder)
    monkeypatch.setattr(backend._body.inputs, "room", exhausted)
    with pytest.raises(InvalidMeasurement) as caught:
        rows_of(backend, questions(60, 1))
    assert caught.value.code == "out-of-memory"
