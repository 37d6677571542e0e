"""Turns between processes: waited for, given up by the dead, done without when they don't come."""

import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from quantgate.backends.base import BackendSpec
from quantgate.execution.turns import Turns

SPEC = BackendSpec("ort", "models/fp32")
OTHERS = [
    BackendSpec("ort", "models/int4"),
    BackendSpec("torch", "models/fp32"),
    BackendSpec("ort", "models/fp32", provider="cuda"),
]
HOLDER = """
import sys
from pathlib import Path
from quantgate.backends.base import BackendSpec
from quantgate.execution.turns import Turns
turns = Turns(Path(sys.argv[1]))
with turns.device("cuda") if sys.argv[2] == "device" else turns.take(BackendSpec(*sys.argv[2:])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Processes that hold a turn until their standard input is closed."""
    with ExitStack() as stack:

        def hold(*what: str) -> subprocess.Popen:
            command = [sys.executable, "-c", HOLDER, str(tmp_path), *what]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout.readline() == "held\n"
            return process

        yield hold


def test_fault_59_turn_of_a_live_process_is_waited_for(tmp_path, holder):
    process = holder("ort", "models/fp32")
    released: list[float] = []

    def release() -> None:
        time.sleep(0.5)
        released.append(time.monotonic())
        process.stdin.close()

    thread = threading.Thread(target=release)
    thread.start()
    turns = Turns(tmp_path, patience=60)
    with turns.take(SPEC):
        assert released
    thread.join()
    assert turns.warnings == []


@pytest.mark.parametrize("what", [("ort", "models/fp32"), ("device",)])
def test_fault_59_turn_that_never_comes_is_done_without_and_names_its_owner(tmp_path, holder, what):
    process = holder(*what)
    turns = Turns(tmp_path, patience=0.2)
    entered = False
    with turns.take(SPEC) if what[0] == "ort" else turns.device("cuda"):
        entered = True
    assert entered
    (warning,) = turns.warnings
    assert "0 s" in warning or "0.2 s" in warning
    assert f"held by process {process.pid} on {socket.gethostname()}" in warning
    assert process.poll() is None


def test_fault_59_lock_of_a_dead_process_is_no_obstacle(tmp_path, holder):
    process = holder("ort", "models/fp32")
    process.kill()
    process.wait()
    assert list(tmp_path.glob("*.lock")), "the dead process' file is still there"
    started = time.monotonic()
    turns = Turns(tmp_path, patience=30)
    with turns.take(SPEC):
        assert time.monotonic() - started < 10
    assert turns.warnings == []


def test_turns_of_other_models_and_devices_are_others(tmp_path, holder):
    holder("ort", "models/fp32")
    holder("device")
    turns = Turns(tmp_path, patience=0.2)
    with ExitStack() as stack:
        for spec in OTHERS:
            stack.enter_context(turns.take(spec))
        stack.enter_context(turns.device("dml"))
    assert turns.warnings == []


def test_turn_ends_with_an_error_inside(tmp_path):
    turns = Turns(tmp_path, patience=0.2)
    with pytest.raises(ZeroDivisionError), turns.take(SPEC):
        raise ZeroDivisionError
    with Turns(tmp_path, patience=0.2).take(SPEC):
        pass
    assert turns.warnings == []


def test_error_inside_passes_through_where_there_is_no_turn(tmp_path, holder):
    holder("ort", "models/fp32")
    turns = Turns(tmp_path, patience=0.1)
    with pytest.raises(ZeroDivisionError), turns.take(SPEC):
        raise ZeroDivisionError
    assert len(turns.warnings) == 1


def test_options_and_threads_share_a_models_turn(tmp_path, holder):
    """A reference is scored once, whatever the number of threads of who comes first."""
    holder("ort", "models/fp32")
    turns = Turns(Path(tmp_path), patience=0.1)
    with turns.take(BackendSpec("ort", "models/fp32", threads=3, options={"packing": False})):
        pass
    assert len(turns.warnings) == 1
