"""Whatever a child does, its parent lives, says what happened, and other sessions go on."""

import os
import time

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.execution.bounds import Bounds
from quantgate.execution.inline import InlineSession
from quantgate.execution.process import ProcessSession
from quantgate.plan import make_plan
from quantgate.requests import LoglikelihoodRolling
from tests.execution.test_process import (
    NONE,
    Order,
    assert_same,
    orders_of,
    spec_of,
)
from tests.tiny_models import Tiny, decoder_model, save_model, write_package


def planted_session(folder, deed: str, at: int = 1, **bounds) -> ProcessSession:
    spec = spec_of(folder, "planted", does=deed, at=at)
    return ProcessSession(spec, bounds=Bounds(**bounds), name="tiny-int4-ort-cpu")


def ending(session: ProcessSession, answered: int = 0) -> str:
    """Run all orders: `answered` readings, then a fault that every later run repeats."""
    run = session.run(orders_of(session.limits))
    for _ in range(answered):
        next(run)
    with pytest.raises(InvalidMeasurement) as fault:
        next(run)
    with pytest.raises(InvalidMeasurement) as again:
        next(session.run([]))
    assert str(again.value) == str(fault.value)
    assert not psutil.pid_exists(session._child.pid)
    session.close()
    return str(fault.value)


def bounded(session: ProcessSession, seconds: float, *, session_seconds: float = 0) -> None:
    """Limit an opened session, so that a busy machine has all its time for opening."""
    _ = session.limits
    exchange = session._exchange
    whole = exchange.spent + session_seconds if session_seconds else 0.0
    exchange.bounds = Bounds(batch_seconds=seconds, session_seconds=whole)


DEATHS = {
    "segfault": ("ended by SIGSEGV", "Fatal Python error: Segmentation fault", "in score"),
    "abort": ("ended by SIGABRT", "Fatal Python error: Aborted", "in score"),
    "killed": ("ended by SIGKILL", "its last words: nothing", "dmesg"),
    "exit": ("exited with code 3",),
    "leave": ("exited with code 5",),
}


@pytest.mark.parametrize("deed", DEATHS)
def test_fault_50_a_death_is_named_and_others_go_on(planted, tiny_folder, deed):
    other = ProcessSession(spec_of(tiny_folder))
    orders = orders_of(other.limits)
    run = other.run(orders)
    first = next(run)
    text = ending(planted_session(tiny_folder, deed, at=3), answered=2)
    assert text.startswith("[child-died] needed: tiny-int4-ort-cpu to answer: batch 3; ")
    for words in (*DEATHS[deed], "during batch 3", "resident memory"):
        assert words in text
    assert_same([first, *run], list(InlineSession(spec_of(tiny_folder)).run(orders)))
    other.close()


@pytest.mark.parametrize("deed", ["segfault", "exit"])
def test_fault_50_a_death_while_opening_is_named(planted, tiny_folder, deed):
    session = planted_session(tiny_folder, deed, at=0)
    with pytest.raises(InvalidMeasurement, match=f"child-died.*{DEATHS[deed][0]} during opening"):
        _ = session.identity
    session.close()


def test_fault_50_what_a_dead_child_started_dies_too(planted, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PLANTED_PID_FILE", str(tmp_path / "pid"))
    text = ending(planted_session(tiny_folder, "multiply"))
    assert "SIGSEGV" in text
    heir = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 2
    while psutil.pid_exists(heir) and time.monotonic() < until:
        if psutil.Process(heir).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.01)
    assert not psutil.pid_exists(heir) or psutil.Process(heir).status() == psutil.STATUS_ZOMBIE


HANGS = {"hang": "in _innermost", "hang_holding_the_interpreter": "in <lambda>"}


@pytest.mark.parametrize("deed", HANGS)
def test_fault_53_a_hang_ends_at_the_limit_with_its_stack(planted, tiny_folder, deed):
    session = planted_session(tiny_folder, deed, at=2)
    bounded(session, 0.7)
    began = time.monotonic()
    text = ending(session, answered=1)
    assert time.monotonic() - began < 4
    assert text.startswith("[child-hung] needed: tiny-int4-ort-cpu to answer: batch 2, ")
    for words in ("within 0.7 s for a batch", "in batch 2", "MiB", "misbehaving.py", HANGS[deed]):
        assert words in text


def test_fault_53_a_hang_while_opening_ends_at_the_limit(planted, tiny_folder):
    session = planted_session(tiny_folder, "hang", at=0, batch_seconds=1.5)
    with pytest.raises(InvalidMeasurement, match=r"child-hung.*opening, within 1\.5 s"):
        _ = session.limits


def test_fault_53_a_whole_session_has_a_limit(planted, tiny_folder):
    session = planted_session(tiny_folder, "hang", at=3)
    bounded(session, 10, session_seconds=1)
    text = ending(session, answered=2)
    assert "child-hung" in text
    assert "s for the session; found: no answer after " in text


def test_fault_53_a_session_of_many_short_batches_ends_at_its_limit(tiny_folder):
    session = ProcessSession(spec_of(tiny_folder))
    bounded(session, 10, session_seconds=0.001)
    assert "s for the session; found: no answer after " in ending(session, answered=1)


def test_fault_53_time_that_the_parent_takes_is_not_the_childs(tiny_folder):
    session = ProcessSession(spec_of(tiny_folder))
    bounded(session, 1, session_seconds=1)
    orders = orders_of(session.limits)
    run = session.run(orders)
    next(run)
    time.sleep(1.2)
    assert len(list(run)) == len(orders) - 1
    session.close()


def test_fault_53_closing_waits_for_no_hang(planted, tiny_folder):
    session = planted_session(tiny_folder, "hang")
    run = session.run(_closing(session, orders_of(session.limits)))
    began = time.monotonic()
    with pytest.raises(InvalidMeasurement, match="session-closed"):
        next(run)
    assert time.monotonic() - began < 2


def _closing(session, orders):
    yield orders[0]
    session.close()


def test_fault_50_memory_over_the_limit_is_named(planted, tiny_folder):
    text = ending(planted_session(tiny_folder, "grow", at=2, memory_mib=500), answered=1)
    assert text.startswith("[child-memory] needed: tiny-int4-ort-cpu within 500 MiB of resident")
    found = int(text.split("found: ")[1].split(" MiB during batch 2")[0])
    assert 500 < found < 1500


def test_fault_11_huge_declared_dimensions_end_at_the_memory_limit(tmp_path):
    """A few bytes of graph that ask for four GiB."""
    folder = write_package(tmp_path, Tiny())
    vocabulary = 268
    model = decoder_model(Tiny(), vocabulary)
    embed = next(node for node in model.graph.node if node.output[0] == "embedded")
    embed.output[0] = "small"
    shape = numpy_helper.from_array(np.array([1024, 1024, 1024]), "huge_shape")
    model.graph.initializer.append(shape)
    nodes = [
        helper.make_node("ConstantOfShape", ["huge_shape"], ["huge"], name="huge"),
        helper.make_node("ReduceMax", ["huge"], ["huge_max"], name="huge_max", keepdims=0),
        helper.make_node("Add", ["small", "huge_max"], ["embedded"], name="embedded_2"),
    ]
    at = list(model.graph.node).index(embed) + 1
    rest = [helper.make_node("Identity", ["input_ids"], ["unused"]), *model.graph.node][1:]
    del model.graph.node[:]
    model.graph.node.extend([*rest[:at], *nodes, *rest[at:]])
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.INT64
    (folder / "model.onnx.data").unlink()
    save_model(model, folder / "model.onnx")
    session = ProcessSession(spec_of(folder), bounds=Bounds(memory_mib=600, batch_seconds=60))
    assert "[child-memory]" in ending(session)
    assert session.peak_mib < 3500


def test_fault_52_logits_larger_than_the_memory_are_streamed(tmp_path):
    """900 rows of 60,000 logits are 216 MB; only a block of them is ever there."""
    folder = write_package(tmp_path, Tiny(context=1024, vocabulary=60_000))
    session = ProcessSession(spec_of(folder))
    ids = tuple(np.random.default_rng(0).integers(0, 260, 900).tolist())
    peaks = []
    for rows in (64, 900):
        request = LoglikelihoodRolling(ids, range(900 - rows, 900), (1,) * rows)
        (batch,) = make_plan([request], session.limits).batches()
        numbers = np.arange(rows)
        (readings,) = session.run([Order(batch, numbers, numbers, NONE)])
        assert len(readings.top) == rows
        time.sleep(0.25)  # the watch reads every tenth of a second
        peaks.append(session.peak_mib)
    session.close()
    assert peaks[1] - peaks[0] < 80


def test_fault_52_host_memory_that_is_not_there_is_a_named_fault(planted, tiny_folder):
    session = planted_session(tiny_folder, "memory_error")
    with pytest.raises(InvalidMeasurement, match=r"child-error.*MemoryError: Unable to allocate"):
        list(session.run(orders_of(session.limits)))
    session.close()


def test_errors_that_nobody_foresaw_are_told_and_the_session_goes_on(planted, tiny_folder):
    session = planted_session(tiny_folder, "error", at=2)
    orders = orders_of(session.limits)
    run = session.run(orders)
    first = next(run)
    with pytest.raises(InvalidMeasurement) as fault:
        next(run)
    assert fault.value.code == "child-error"
    assert "ValueError: seven is no even number (" in fault.value.found
    assert "misbehaving.py:" in fault.value.found
    assert "raise error" in fault.value.found
    expected = list(InlineSession(spec_of(tiny_folder)).run(orders))
    assert_same([first, *session.run(orders)], [expected[0], *expected])
    session.close()


def test_faults_keep_their_type_and_words(planted, tiny_folder):
    session = planted_session(tiny_folder, "refuse")
    with pytest.raises(UsageFault) as fault:
        list(session.run(orders_of(session.limits)))
    assert (fault.value.code, fault.value.found) == ("odd", "b \n ü")
    session.close()


def test_what_a_model_prints_breaks_nothing(planted, tiny_folder):
    session = planted_session(tiny_folder, "print", at=2)
    orders = orders_of(session.limits)
    expected = list(InlineSession(spec_of(tiny_folder)).run(orders))
    assert_same(list(session.run(orders)), expected)
    session.close()
    assert "printed by a grandchild" in session._child.last_words


def test_nonsense_from_a_child_ends_its_session(planted, tiny_folder):
    text = ending(planted_session(tiny_folder, "corrupt", at=2), answered=1)
    assert text.startswith("[frame-malformed]")


def test_a_child_killed_from_outside_is_named(planted, tiny_folder):
    session = planted_session(tiny_folder, "hang", at=1)
    orders = orders_of(session.limits)
    run = session.run(_killing(session, orders))
    with pytest.raises(InvalidMeasurement, match=r"child-died.*SIGTERM during batch 1.*scheduler"):
        next(run)


def _killing(session, orders):
    yield orders[0]
    os.kill(session._child.pid, 15)
    yield orders[1]
