"""Generations held against a sequence grown by hand; times against a clock that a test turns."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.backends.base import BackendSpec
from quantgate.errors import InvalidMeasurement
from quantgate.execution import generating, inline, watch
from quantgate.execution.bounds import Bounds
from quantgate.execution.frames import Frame
from quantgate.execution.generating import carry_out
from quantgate.execution.host import serve
from quantgate.execution.inline import InlineSession
from quantgate.execution.orders import GenerateOrder
from quantgate.execution.process import ProcessSession
from quantgate.requests import GenerateUntil, GenerateUntilMultiRound
from tests.execution import misbehaving
from tests.execution.misbehaving import VOCABULARY, Writer, next_id

NAME = "tiny-int4-ort-cpu"
ids = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=6).map(tuple)


def order_of(rounds, limit: int = 5, stop_ids=(), room: int = 0) -> GenerateOrder:
    order = GenerateOrder.of(GenerateUntilMultiRound(rounds, limit, tuple(stop_ids)))
    return GenerateOrder(order.rounds, order.limit, order.stop_ids, order.capacity + room)


def grown(rounds, limit: int, stop_ids) -> tuple[list[tuple[int, ...]], list[str]]:
    """Answers and endings by a sequence that is computed anew for every id."""
    sequence: list[int] = []
    answers, ended = [], []
    for round_ids in rounds:
        sequence += round_ids
        begins = len(sequence)
        for _ in range(limit):
            sequence.append(next_id(sequence))
            if sequence[-1] in stop_ids:
                break
        answers.append(tuple(sequence[begins:]))
        ended.append("stop" if sequence[-1] in stop_ids else "limit")
    return answers, ended


@given(st.lists(ids, min_size=1, max_size=4), st.integers(1, 8), st.sets(st.integers(0, 96)))
def test_answers_follow_all_that_came_before(rounds, limit, stop_ids):
    order = order_of(tuple(rounds), limit, sorted(stop_ids))
    found = carry_out(Writer(), order)
    answers, ended = grown(rounds, limit, stop_ids)
    assert (list(found.ids), list(found.ended)) == (answers, ended)
    assert len(found.first_s) == len(rounds)
    assert len(found.step_s) == sum(len(answer) - 1 for answer in answers)
    assert found.first_s.dtype == found.step_s.dtype == np.float64


def test_a_stop_id_ends_its_answer_and_stays_in_the_dialog():
    free, _ = grown([(1, 2), (3, 4)], 6, ())
    stop = free[0][2]
    writer = Writer()
    found = carry_out(writer, order_of(((1, 2), (3, 4)), 6, (stop,)))
    assert found.ids[0] == free[0][: free[0].index(stop) + 1]
    assert found.ended[0] == "stop"
    appended = [call for call in writer.calls if call[0] == "append"]
    assert appended[1] == ("append", (stop, 3, 4))


def test_every_id_is_fed_once_and_the_sequence_closed():
    writer = Writer()
    found = carry_out(writer, order_of(((1, 2), (3,)), 3, room=4))
    (a, b, c), (d, e, _) = found.ids
    assert writer.calls == [
        ("decoding", 13),
        ("append", (1, 2)),
        ("step", a),
        ("step", b),
        ("append", (c, 3)),
        ("step", d),
        ("step", e),
        ("close",),
    ]


class Clock:
    """Stands still but for what a backend takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(Writer):
    """Takes an hour to open or close, ten seconds for each id appended, less for each step."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.steps = clock, 0

    def decoding(self, capacity):
        self.clock.now += 3600
        return SlowWriting(self)


class SlowWriting(misbehaving.Writing):
    def append(self, ids: Sequence[int], /) -> int:
        self.writer.clock.now += 10 * len(ids)
        return super().append(ids)

    def step(self, id_: int, /) -> int:
        self.writer.steps += 1
        self.writer.clock.now += 1 / 2**self.writer.steps
        return super().step(id_)

    def close(self) -> None:
        self.writer.clock.now += 3600


def test_times_hold_the_model_and_nothing_else(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(generating, "perf_counter", clock)
    found = carry_out(Slow(clock), order_of(((1, 2, 3), (4,)), 3))
    assert found.first_s.tolist() == [30, 20]  # the last id of the first answer is the second's
    assert found.step_s.tolist() == [0.5, 0.25, 0.125, 0.0625]


class Late(Slow):
    """Takes an hour to look at a step, and finds fault with step number `bad`."""

    bad = 0

    def decoding(self, capacity):
        return LateWriting(self)


class LateWriting(SlowWriting):
    def verify(self) -> None:
        self.writer.clock.now += 3600
        self.writer.calls.append(("verify",))
        if self.writer.steps == self.writer.bad:
            raise InvalidMeasurement("logits-not-finite", need="a", found="b", fix="c")


def test_every_step_is_verified_and_no_time_holds_it(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(generating, "perf_counter", clock)
    writer = Late(clock)
    found = carry_out(writer, order_of(((1, 2, 3), (4,)), 3))
    assert found.first_s.tolist() == [30, 20]
    assert found.step_s.tolist() == [0.5, 0.25, 0.125, 0.0625]
    called = [call[0] for call in writer.calls]
    assert called == ["append", *["step", "verify"] * 2] * 2


def test_fault_20_a_last_step_that_is_not_finite_ends_a_generation():
    writer = Late(Clock())
    writer.bad = 2
    with pytest.raises(InvalidMeasurement, match="logits-not-finite"):
        carry_out(writer, order_of(((1, 2),), 3))


def test_what_outgrows_the_context_is_refused_before_the_model_loads():
    writer = Writer(context=12)
    carry_out(writer, order_of(((1, 2), (3,)), 4, room=1))
    writer.calls.clear()
    with pytest.raises(InvalidMeasurement, match=r"context-overflow.*12 tokens; found: 13 tokens"):
        carry_out(writer, order_of(((1, 2), (3,)), 4, room=2))
    assert not writer.calls


def test_a_fault_closes_the_sequence():
    writer = Writer(does="error", at=2)
    with pytest.raises(ValueError, match="seven"):
        carry_out(writer, order_of(((1, 2),)))
    assert writer.calls[-1] == ("close",)


def test_orders_have_room_for_all_that_may_come():
    order = GenerateOrder.of(GenerateUntil((1, 2, 3), 4, (9,), ("stop",)))
    assert order == GenerateOrder(((1, 2, 3),), 4, (9,), 7)
    with pytest.raises(ValueError, match="room for 6 tokens, but there may be 7"):
        GenerateOrder(((1, 2, 3),), 4, (), 6)
    for rounds, limit in (((), 4), (((1,), ()), 4), (((1,),), 0)):
        with pytest.raises(ValueError, match="at least one id in every round"):
            GenerateOrder(rounds, limit, (), 99)


def spec_of(**options) -> BackendSpec:
    return BackendSpec("writer", "nowhere", options=options)


def session_of(**options) -> ProcessSession:
    return ProcessSession(spec_of(**options), name=NAME)


def test_a_child_generates_what_this_process_does(planted, monkeypatch):
    monkeypatch.setattr(inline, "open_backend", misbehaving.open_backend)
    here, there = InlineSession(spec_of()), session_of()
    orders = [order_of(((1, 2), (3, 4, 5)), limit) for limit in (1, 4, 40)]
    for order in orders:
        found, expected = there.generate(order), here.generate(order)
        assert (found.ids, found.ended) == (expected.ids, expected.ended)
        assert (found.ids, found.ended) == tuple(map(tuple, grown(order.rounds, order.limit, ())))
        assert (found.first_s > 0).all()
        assert (found.step_s > 0).all()
        assert len(found.step_s) == 2 * order.limit - 2
    there.close()
    with pytest.raises(InvalidMeasurement, match="session-closed"):
        there.generate(orders[0])


DEATHS = {"segfault": "ended by SIGSEGV", "killed": "ended by SIGKILL", "exit": "code 3"}


@pytest.mark.parametrize("deed", DEATHS)
def test_fault_50_a_death_amid_a_generation_is_named(planted, deed):
    session = session_of(does=deed, at=7)
    session.generate(order_of(((1, 2),)))
    with pytest.raises(InvalidMeasurement, match="child-died") as fault:
        session.generate(order_of(((1, 2),)))
    for words in (f"needed: {NAME} to answer: batch 2; ", DEATHS[deed], "during batch 2"):
        assert words in str(fault.value)
    with pytest.raises(InvalidMeasurement) as again:
        session.generate(order_of(((1, 2),)))
    assert str(again.value) == str(fault.value)
    assert not psutil.pid_exists(session._child.pid)


def test_fault_53_a_hang_amid_a_generation_ends_at_the_limit_with_its_stack(planted):
    session = session_of(does="hang", at=3)
    _ = session.limits
    session._exchange.bounds = Bounds(batch_seconds=0.7)
    with pytest.raises(InvalidMeasurement, match="child-hung") as fault:
        session.generate(order_of(((1, 2),)))
    for words in ("within 0.7 s for a batch", "in batch 1", "misbehaving.py", "in _innermost"):
        assert words in str(fault.value)


def test_fault_50_memory_over_the_limit_ends_a_generation(planted):
    session = ProcessSession(spec_of(does="grow", at=2), bounds=Bounds(memory_mib=500), name=NAME)
    with pytest.raises(InvalidMeasurement, match=f"child-memory. needed: {NAME} within 500 MiB"):
        session.generate(order_of(((1, 2),)))


def test_faults_of_a_generation_cross_and_the_session_goes_on(planted):
    session = session_of(does="error", at=3, context=20)
    order = order_of(((1, 2),), 8)
    with pytest.raises(InvalidMeasurement, match=r"child-error.*ValueError: seven"):
        session.generate(order)
    with pytest.raises(InvalidMeasurement, match="context-overflow"):
        session.generate(order_of(((1, 2),), 19))
    assert session.generate(order).ids == tuple(grown(order.rounds, 8, ())[0])
    session.close()


LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")


@pytest.mark.parametrize(
    "kernel_knows",
    [pytest.param(True, id="linux", marks=LINUX), pytest.param(False, id="elsewhere")],
)
def test_memory_is_told_as_loaded_and_at_its_peak(planted, monkeypatch, kernel_knows):
    """A peak of no more than a moment, where the kernel tells; one of half a second elsewhere."""
    if kernel_knows:
        monkeypatch.setattr(watch, "INTERVAL_SECONDS", 60)  # nobody looks by chance
    session = session_of(does="swell_briefly" if kernel_knows else "swell", at=8)
    if not kernel_knows:
        session._child.watch._kernel_knows = False
    assert session.loaded_mib == 0
    small = session.generate(order_of(((1, 2),)))
    loaded = session.loaded_mib
    assert loaded == small.loaded_mib > 20
    session.restart_peak()
    assert abs(session.peak_mib - loaded) < 30
    session.generate(order_of(((1, 2),)))  # holds 300 MiB
    assert 250 < session.peak_mib - loaded < 400
    assert session.loaded_mib == loaded
    session.restart_peak()
    assert abs(session.peak_mib - loaded) < 30
    session.close()


def test_an_order_of_an_unknown_kind_is_refused(monkeypatch):
    monkeypatch.setattr(inline, "open_backend", misbehaving.open_backend)
    from quantgate.execution import wire

    incoming = iter(
        [wire.open_frame(spec_of(), None), Frame("sing", {"number": 1}), Frame("close")]
    )
    answers: list[Frame] = []
    serve(lambda: next(incoming), answers.append)
    assert [frame.kind for frame in answers] == ["opened", "fault"]
    fault = wire.fault_of(answers[1])
    assert fault.code == "frame-malformed"
    assert "'sing'" in fault.found
