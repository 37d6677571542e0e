"""Killed at any moment, a run resumes and ends with the very results of one that wasn't.

Real `quantgate run` processes on tiny packages. `QUANTGATE_KILLS` sets how many random moments
are tried for parent and child each; docs/backends.md tells how many were tried.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command_line import Workspace
from tests.tiny_corpora import write_mmlu, write_text
from tests.tiny_models import Tiny, write_package

KILLS = int(os.environ.get("QUANTGATE_KILLS", "2"))
VOLATILE = {"seconds", "kept", "peak_mib"}  # of a measurement's cost: how, not what
WORKER = "quantgate.execution.worker"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> tuple[Path, Path]:
    """Enough text for several batches of every case."""
    folder = tmp_path_factory.mktemp("corpora")
    mmlu = write_mmlu(folder / "mmlu", questions=12)
    return mmlu, write_text(folder / "text.txt", words=3000)


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("packages")
    heads = {"reference": "matmul", "candidate": "nbits"}
    return tuple(write_package(folder / n, Tiny(head=h, context=1024)) for n, h in heads.items())


@pytest.fixture
def make(tmp_path, corpora, packages) -> Callable[[str], Workspace]:
    """Workspaces with a cache of their own."""

    def workspace(name: str) -> Workspace:
        return Workspace(
            tmp_path / name,
            reference=packages[0],
            candidate=packages[1],
            mmlu=corpora[0],
            text=corpora[1],
            cache=tmp_path / f"{name}_cache",
        )

    return workspace


def essence(results: dict[str, Any]) -> str:
    """Everything measured and decided, to the last bit."""
    for measurement in results["measurements"]:
        cost = measurement["cost"]
        measurement["cost"] = {key: cost[key] for key in cost if key not in VOLATILE}
    order = {"measurements": ("case_id", "task"), "decisions": ("case_id", "task", "metric")}
    parts = {
        name: sorted(results[name], key=lambda each: [each[key] for key in keys])
        for name, keys in order.items()
    }
    return json.dumps(parts, sort_keys=True)


def models_of(process: subprocess.Popen) -> Iterator[psutil.Process]:
    """The child processes that hold a model."""
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if WORKER in " ".join(child.cmdline()):
                yield child
        except psutil.Error:
            continue


def wait_for_model(process: subprocess.Popen) -> psutil.Process | None:
    """The first model's process, or None where the run ended before."""
    while process.poll() is None:
        for child in models_of(process):
            return child
        time.sleep(0.01)
    return None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, corpora, packages) -> tuple[str, float]:
    """What a run finds that nobody kills, and how long its models are at work."""
    folder = tmp_path_factory.mktemp("undisturbed")
    workspace = Workspace(
        folder / "run",
        reference=packages[0],
        candidate=packages[1],
        mmlu=corpora[0],
        text=corpora[1],
        cache=folder / "cache",
    )
    process = workspace.start()
    assert wait_for_model(process) is not None
    begun = time.monotonic()
    outcome = workspace.finish(process)
    assert outcome.results is not None, outcome.text
    assert outcome.verdicts() == {"NO_BASELINE", "PASS"}
    return essence(outcome.results), time.monotonic() - begun


@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_parent_resumes_to_the_same_bytes(make, undisturbed, moment):
    """And no model outlives it."""
    expected, seconds = undisturbed
    workspace = make("killed")
    process = workspace.start()
    model = wait_for_model(process)
    time.sleep(random.Random(moment).uniform(0, seconds))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if model is not None:
        assert psutil.wait_procs([model], timeout=10)[1] == []
    outcome = workspace.run()
    assert outcome.results is not None, outcome.text
    assert essence(outcome.results) == expected


@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_child_is_told_and_resumes_to_the_same_bytes(make, undisturbed, moment):
    """Its case is INVALID with the signal's name, the pytest process lives and goes on."""
    expected, seconds = undisturbed
    workspace = make("killed")
    process = workspace.start()
    wait_for_model(process)
    time.sleep(random.Random(100 + moment).uniform(0, seconds))
    killed = [child for child in models_of(process) if _kill(child)]
    outcome = workspace.finish(process)
    assert outcome.results is not None, outcome.text
    assert outcome.status in {0, 1}
    if outcome.status:
        assert killed
        assert "SIGKILL" in outcome.text
        assert outcome.verdicts() <= {"NO_BASELINE", "PASS", "INVALID"}
    again = workspace.run()
    assert again.results is not None, again.text
    assert essence(again.results) == expected


def _kill(child: psutil.Process) -> bool:
    try:
        child.kill()
    except psutil.Error:
        return False
    return True


@pytest.mark.usefixtures("interruptible")
def test_fault_54_interrupted_run_ends_with_2_and_resumes(make, undisturbed):
    expected, seconds = undisturbed
    workspace = make("interrupted")
    process = workspace.start()
    model = wait_for_model(process)
    time.sleep(seconds / 3)
    process.send_signal(signal.SIGINT)
    outcome = workspace.finish(process)
    assert outcome.status == 2, outcome.text
    assert model is None or not model.is_running()
    assert outcome.results is None or not outcome.results["run"]["configuration"]["complete"]
    again = workspace.run()
    assert again.results is not None
    assert again.results["run"]["configuration"]["complete"]
    assert essence(again.results) == expected
