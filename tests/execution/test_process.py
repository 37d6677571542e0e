"""A session in a child gives what one in this process gives, and leaves nothing behind."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from quantgate.backends.base import BackendSpec
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.execution import inline
from quantgate.execution.inline import InlineSession
from quantgate.execution.orders import Comparison, Order, Readings
from quantgate.execution.process import ProcessSession
from quantgate.plan import make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling
from tests.execution import misbehaving
from tests.execution.misbehaving import ROOT

FIELDS = ("logprobs", "top", "hidden", "kl", "abs_log_ratio", "same_top")
NONE = np.array([], dtype=np.int64)


def spec_of(folder: Path, backend: str = "ort", **options) -> BackendSpec:
    return BackendSpec(backend, str(folder), threads=1, options=options)


def requests():
    """Questions with a common beginning, and windows."""
    random = np.random.default_rng(5)
    stem = tuple(random.integers(0, 260, 50).tolist())
    for number in range(20):
        context = (*stem, *random.integers(0, 260, 3 + number % 5).tolist())
        yield Loglikelihood(context, (5,))
        yield Loglikelihood(context, (6, 7, 8))
    for _ in range(3):
        ids = tuple(random.integers(0, 260, 200).tolist())
        yield LoglikelihoodRolling(ids, range(90, 200), (*ids[91:], NO_TARGET))


def orders_of(limits, *, compare=None) -> list[Order]:
    """Orders over a whole plan: targets, kept rows, and comparisons with `compare`'s rows."""
    random = np.random.default_rng(6)
    orders = []
    for batch in make_plan(list(requests()), limits).batches():
        count = len(batch.wanted)
        rows = np.sort(random.integers(0, count, count + 3))
        targets = random.integers(-1, 260, len(rows))
        orders.append(Order(batch, rows, targets, np.arange(0, count, 3)))
    if compare is None:
        return orders
    return [
        Order(o.batch, o.rows, o.targets, o.keep, Comparison(o.keep, hidden, 268))
        for o, hidden in zip(orders, compare(orders), strict=True)
    ]


def assert_same(found: list[Readings], expected: list[Readings]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for name in FIELDS:
            one, other = getattr(a, name), getattr(b, name)
            if other is None:
                assert one is None
            else:
                assert (one.dtype, one.shape) == (other.dtype, other.shape)
                assert one.tobytes() == other.tobytes(), name


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "suffixes"])
def test_readings_equal_those_of_a_session_in_this_process(tiny_folder, other_folder, packing):
    spec, anchor = spec_of(other_folder, packing=packing), spec_of(tiny_folder)
    reference = InlineSession(anchor)

    def rows_of_reference(orders):
        return [readings.hidden for readings in reference.run(orders)]

    here, there = InlineSession(spec, anchor), ProcessSession(spec, anchor, name="a case")
    assert dict(there.identity) == dict(here.identity)
    assert there.limits == here.limits
    orders = orders_of(here.limits, compare=rows_of_reference)
    assert len(orders) >= 3
    expected = list(here.run(orders))
    assert all((readings.kl > 0).any() for readings in expected)
    assert_same(list(there.run(orders)), expected)
    assert there.peak_mib > 20
    there.close()
    here.close()


def test_a_reference_compares_with_itself(tiny_folder):
    here, there = (kind(spec_of(tiny_folder)) for kind in (InlineSession, ProcessSession))
    orders = orders_of(here.limits, compare=lambda orders: [None] * len(orders))
    found = list(there.run(orders))
    assert_same(found, list(here.run(orders)))
    assert max(np.abs(readings.kl).max() for readings in found) < 1e-9
    there.close()


def wide_orders(count: int, rows: int, width: int) -> list[Order]:
    limits = misbehaving.Wide(width).limits
    numbers = np.arange(rows)
    orders = []
    for seed in range(count):
        ids = tuple(np.random.default_rng(seed).integers(0, 99, rows + 1).tolist())
        (batch,) = make_plan(
            [LoglikelihoodRolling(ids, range(rows), (NO_TARGET,) * rows)], limits
        ).batches()
        hidden = np.random.default_rng(-seed % 7).standard_normal((rows, width), np.float32)
        comparison = Comparison(numbers, hidden, width)
        orders.append(Order(batch, numbers, numbers % width, numbers, comparison))
    return orders


def test_large_orders_and_readings_pass_each_other(planted, tmp_path, monkeypatch):
    """Tens of megabytes fill both pipes at once, many times over."""
    monkeypatch.setattr(inline, "open_backend", misbehaving.open_backend)
    spec = spec_of(tmp_path, "wide", width=80_000)
    orders = wide_orders(3, 70, 80_000)
    assert orders[0].comparison.hidden.nbytes > 20e6
    session = ProcessSession(spec, spec)
    found = list(session.run(orders))
    assert all(readings.hidden.nbytes > 20e6 for readings in found)
    assert_same(found, list(InlineSession(spec, spec).run(orders)))
    session.close()


def test_the_child_works_ahead_by_one_order(planted, tmp_path):
    session = ProcessSession(spec_of(tmp_path, "wide", width=10))
    asked = []

    def orders():
        for number, order in enumerate(wide_orders(6, 5, 10)):
            asked.append(number)
            yield Order(order.batch, order.rows, order.targets, NONE)

    for number, _ in enumerate(session.run(orders())):
        assert asked[-1] == min(number + 1, 5)
    session.close()


def test_runs_may_be_left_and_interleaved(tiny_folder):
    here, there = (kind(spec_of(tiny_folder)) for kind in (InlineSession, ProcessSession))
    orders = orders_of(here.limits)
    expected = list(here.run(orders))
    left = there.run(orders)
    next(left)
    left.close()
    pairs = zip(there.run(orders), there.run(reversed(orders)), strict=True)
    one, other = (list(each) for each in zip(*pairs, strict=True))
    assert_same(one, expected)
    assert_same(other, expected[::-1])
    assert_same(list(there.run(orders)), expected)
    there.close()


def test_an_error_while_making_orders_is_the_callers(tiny_folder):
    session = ProcessSession(spec_of(tiny_folder))
    orders = orders_of(session.limits)

    def failing():
        yield orders[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(session.run(failing()))
    assert len(list(session.run(orders))) == len(orders)
    session.close()


@pytest.mark.parametrize(
    "spec",
    [
        BackendSpec("ort", "/nowhere"),
        BackendSpec("no-such", "/nowhere"),
        BackendSpec("ort", "{tiny}", "cuda"),
    ],
)
def test_faults_of_opening_are_those_of_this_process(tiny_folder, spec):
    spec = BackendSpec(spec.backend, spec.folder.format(tiny=tiny_folder), spec.provider)
    with pytest.raises(GateError) as here:
        InlineSession(spec)
    session = ProcessSession(spec)
    with pytest.raises(GateError) as there:
        _ = session.limits
    assert type(there.value) is type(here.value)
    assert str(there.value) == str(here.value)
    with pytest.raises(type(here.value)) as again:
        list(session.run([]))
    assert str(again.value) == str(here.value)
    session.close()


def descriptors() -> list[str]:
    folder = Path("/proc/self/fd")
    return [str(each) for each in folder.iterdir() if each.is_symlink()]


def test_nothing_is_left_of_a_closed_or_forgotten_session(tiny_folder):
    before = len(descriptors()), threading.active_count()
    closed, forgotten, unopened = (ProcessSession(spec_of(tiny_folder)) for _ in range(3))
    orders = orders_of(closed.limits)
    assert len(list(closed.run(orders))) == len(orders)
    next(forgotten.run(orders))  # busy when it is dropped
    children = [psutil.Process(s._child.pid) for s in (closed, forgotten, unopened)]
    closed.close()
    closed.close()
    unopened.close()
    del forgotten
    gc.collect()
    assert not any(child.is_running() for child in children)  # no zombie either
    assert (len(descriptors()), threading.active_count()) == before
    with pytest.raises(InvalidMeasurement, match="session-closed"):
        list(closed.run(orders))


def python(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT}"},
        text=True,
    )


PARENT = """
import json, sys, time
from quantgate.backends.base import BackendSpec
from quantgate.execution.process import ProcessSession
from tests.execution.test_process import orders_of, spec_of
session = ProcessSession(spec_of(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3])))
orders = orders_of(session.limits)
print(session._child.pid, flush=True)
"""


def test_a_parent_that_forgets_to_close_ends_in_order(tiny_folder):
    parent = python(PARENT + "next(session.run(orders))", tiny_folder, "ort", "{}")
    out, errors = parent.communicate(timeout=30)
    assert (parent.returncode, errors) == (0, "")
    assert not psutil.pid_exists(int(out))


@pytest.mark.parametrize("at", [2, 1000], ids=["computing", "waiting"])
def test_fault_50_no_child_survives_its_killed_parent(planted, tiny_folder, at):
    """Not one that waits for orders, nor one within a long call of native code."""
    code = PARENT + "print('began', flush=True); list(session.run(orders)); time.sleep(60)"
    options = f'{{"does": "compute", "at": {at}}}'
    parent = python(code, tiny_folder, "planted", options)
    child = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "began\n"
    time.sleep(0.5)
    assert child.is_running()
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    psutil.wait_procs([child], timeout=2)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE  # adopted by init


@pytest.mark.usefixtures("interruptible")
def test_fault_54_an_interrupt_ends_the_child(planted, tiny_folder):
    session = ProcessSession(spec_of(tiny_folder, "planted", does="hang"))
    orders = orders_of(session.limits)
    child = psutil.Process(session._child.pid)
    assert os.getpgid(child.pid) != os.getpgid(0)  # the terminal interrupts the parent alone
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(session.run(orders))
    timer.join()
    assert not child.is_running()
    assert time.monotonic() - began < 3


def test_a_child_imports_no_more_than_its_backend_needs(tiny_folder):
    code = """
import sys
from quantgate.execution import worker
from quantgate.backends.base import BackendSpec
from quantgate.execution.inline import InlineSession
session = InlineSession(BackendSpec("ort", sys.argv[1]))
session.identity, session.limits
heavy = {"torch", "transformers", "pytest", "datasets", "pydantic", "tokenizers", "psutil"}
print(sorted(heavy & set(sys.modules)))
"""
    out, errors = python(code, tiny_folder).communicate(timeout=30)
    assert out == "[]\n", errors
