"""Orders, readings, specs and faults arrive as they were sent."""

import io
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.backends.base import BackendSpec
from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.execution import frames, generation_wire, wire
from quantgate.execution.frames import Frame
from quantgate.execution.orders import Comparison, Generated, GenerateOrder, Order, Readings
from quantgate.groups import Group, PlanLimits
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood, LoglikelihoodRolling

LIMITS = PlanLimits(True, True, 4096, CostModel(12_345_678_901, 7, 3), 512)
NONE = np.array([], dtype=np.int64)
ids = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)


def crossed(frame: Frame) -> Frame:
    raw = b"".join(bytes(buffer) for buffer in frames.encode(frame))
    return frames.read(io.BytesIO(raw))


def same(a, b) -> bool:
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@given(st.lists(st.tuples(ids, ids), min_size=1, max_size=20), st.booleans(), st.booleans())
def test_batches_cross_whole(pairs, packs, keeps):
    limits = replace(LIMITS, packs=packs, keeps_prefix=keeps, batch_tokens=64)
    plan = make_plan([Loglikelihood(*pair) for pair in pairs], limits)
    for batch in plan.batches():
        order = wire.order_of(crossed(wire.order_frame(1, Order(batch, NONE, NONE, NONE))))
        assert order.batch == batch
        assert hash(order.batch) == hash(batch)  # tuples of ints, as the prefix cache needs them
        assert order.comparison is None


@pytest.mark.parametrize("hidden", [None, np.zeros((0, 4), np.float16), np.ones((2, 3))])
def test_orders_cross_whole(hidden):
    (batch,) = make_plan([Loglikelihood((1, 2), (3,))], LIMITS).batches()
    order = Order(
        batch,
        rows=np.array([0, 0, 3]),
        targets=np.array([-1, 5, 2**40]),
        keep=np.array([1]),
        comparison=Comparison(np.array([0, 7]), hidden, 268),
    )
    found = wire.order_of(crossed(wire.order_frame(9, order)))
    for name in ("rows", "targets", "keep"):
        assert same(getattr(found, name), getattr(order, name))
    assert same(found.comparison.rows, order.comparison.rows)
    assert found.comparison.tokens == 268
    if hidden is None:
        assert found.comparison.hidden is None
    else:
        assert same(found.comparison.hidden, hidden)


@pytest.mark.parametrize("hidden", [None, np.ones((2, 3), np.float16)])
def test_readings_cross_bit_for_bit(hidden):
    odd = np.array([np.nan, -0.0, 5e-324, np.inf, 0.1 + 0.2])
    odd[:1].view(np.int64)[0] |= 77  # a NaN with a payload
    readings = Readings(odd, np.array([3, 4]), hidden, odd[1:2], odd[:0], odd[::2])
    found = wire.readings_of(crossed(wire.readings_frame(3, readings)))
    for name in ("logprobs", "top", "kl", "abs_log_ratio", "same_top"):
        assert same(getattr(found, name), getattr(readings, name))
    assert (found.hidden is None) == (hidden is None)


def test_specs_cross():
    options = MappingProxyType({"packing": False, "nested": {"a": [1, None, 0.1]}})
    spec = BackendSpec("ort", "/a b/ü", "cuda", 3, options)
    assert wire.opening(crossed(wire.open_frame(spec, None))) == (spec, None)
    anchor = BackendSpec("torch", "x")
    assert wire.opening(crossed(wire.open_frame(spec, anchor))) == (spec, anchor)


def test_facts_cross():
    identity = {"backend": "ort", "threads": 2}
    assert wire.opened(crossed(wire.opened_frame(identity, LIMITS))) == (identity, LIMITS)


@pytest.mark.parametrize("kind", [UsageFault, InvalidMeasurement])
def test_faults_cross_as_themselves(kind):
    fault = kind("a-code", need="n\n", found="ü", fix="f")
    found = wire.fault_of(crossed(wire.fault_frame(4, fault)))
    assert type(found) is kind
    assert (found.code, found.need, found.found, found.fix) == ("a-code", "n\n", "ü", "f")
    assert str(found) == str(fault)


@pytest.mark.parametrize("change", [{"protocol": 1}, {"quantgate": "0.0.0"}])
def test_another_version_is_refused(change):
    frame = wire.open_frame(BackendSpec("ort", "x"), None)
    with pytest.raises(InvalidMeasurement, match="protocol-mismatch"):
        wire.opening(Frame(frame.kind, {**frame.values, **change}))


def test_orders_with_missing_or_short_parts_are_named_faults():
    (batch,) = make_plan([Loglikelihood((1, 2), (3, 4))], LIMITS).batches()
    frame = wire.order_frame(1, Order(batch, NONE, NONE, NONE))
    for name in frame.arrays:
        if name in ("rows", "targets", "keep"):
            left = {key: array for key, array in frame.arrays.items() if key != name}
            damaged = [left]
        else:
            damaged = [{**frame.arrays, name: frame.arrays[name].reshape(-1)[:-1]}]
        for arrays in damaged:
            if len(frame.arrays[name]) or name in ("rows", "targets", "keep"):
                with pytest.raises(InvalidMeasurement, match="frame-malformed"):
                    wire.order_of(Frame(frame.kind, frame.values, arrays))


def test_parts_of_a_window_say_how_much_follows():
    window = LoglikelihoodRolling((1, 2, 3, 4, 5), range(5), (1,) * 5)
    batches = list(make_plan([window], LIMITS).batches(2))
    assert [batch.room for batch in batches] == [3, 1, 0]
    for batch in batches:
        found = wire.order_of(crossed(wire.order_frame(1, Order(batch, NONE, NONE, NONE))))
        assert found.batch == batch


def test_padded_groups_stay_padded():
    requests = [Loglikelihood((n, 2), (3,)) for n in (1, 4)]
    rows = [row for batch in make_plan(requests, LIMITS).batches() for row in batch.rows]
    batch = Group((), tuple(rows), padded=True)
    found = wire.order_of(crossed(wire.order_frame(1, Order(batch, NONE, NONE, NONE))))
    assert found.batch == batch


@given(st.lists(ids, min_size=1, max_size=4).map(tuple), st.integers(1, 9), st.just(()) | ids)
def test_generations_cross_whole(rounds, limit, stops):
    order = GenerateOrder(rounds, limit, stops, 10**6)
    found = generation_wire.order_of(crossed(generation_wire.order_frame(3, order)))
    assert found == order
    assert hash(found) == hash(order)  # tuples of ints
    steps = np.arange(sum(map(len, rounds)) - len(rounds)) * 0.1
    odd = np.full(len(rounds), 5e-324)
    generated = Generated(rounds, odd, steps, ("stop",) * len(rounds), 123)
    frame = crossed(generation_wire.generated_frame(3, generated))
    assert frame.values["number"] == 3
    answer = generation_wire.generated_of(frame)
    assert (answer.ids, answer.ended, answer.loaded_mib) == (rounds, generated.ended, 123)
    assert same(answer.first_s, odd)
    assert same(answer.step_s, steps)


def test_generations_with_missing_or_short_parts_are_named_faults():
    order = GenerateOrder(((1, 2), (3,)), 4, (0,), 11)
    generated = Generated(((1, 2), (3,)), np.ones(2), np.ones(1), ("stop", "limit"), 9)
    asked = generation_wire.order_frame(1, order)
    answered = generation_wire.generated_frame(1, generated)
    for frame, decode in (
        (asked, generation_wire.order_of),
        (answered, generation_wire.generated_of),
    ):
        decode(frame)
        without = [
            Frame(frame.kind, frame.values, {k: a for k, a in frame.arrays.items() if k != name})
            for name in frame.arrays
        ]
        short = [
            Frame(frame.kind, frame.values, {**frame.arrays, name: frame.arrays[name][:-1]})
            for name in frame.arrays
            if name != "stops"
        ]
        less = [
            Frame(frame.kind, {k: v for k, v in frame.values.items() if k != name}, frame.arrays)
            for name in frame.values
            if name != "number"
        ]
        for damaged in (*without, *short, *less):
            with pytest.raises(InvalidMeasurement, match=f"frame-malformed.*{frame.kind}"):
                decode(damaged)
    for change in ({"limit": 0}, {"capacity": 10}):
        with pytest.raises(InvalidMeasurement, match="frame-malformed"):
            generation_wire.order_of(Frame("generate", {**asked.values, **change}, asked.arrays))
