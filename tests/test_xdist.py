"""Under pytest-xdist a run finds and decides the same, and each model is loaded once.

Real `quantgate run -n 2` processes. Every interpreter that they start logs the graphs it loads, by
a `sitecustomize` on its path.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest

from tests.command_line import UNTIMED, Workspace
from tests.tiny_models import Tiny, write_package

FAILED, PASSED, REFUSED = 1, 0, 4
VOLATILE = {"seconds", "peak_mib", "kept"}
NAMES = ("reference", "int4", "int8")
# Appending less than a page to a file is atomic, so processes may share the log.
SPY = """\
import os, sys
from pathlib import Path
from quantgate.backends import ort, ort_session

def logged(model, folder, **options):
    session = ort_session.make_session(model, folder, **options)
    body = any(value.name == "input_ids" for value in model.graph.input)
    with Path(os.environ["LOADS"]).open("a") as log:
        log.write(f"{Path(folder).name} {'body' if body else 'head'}\\n")
    return session

ort.make_session = logged
"""
WORKER = "quantgate.execution.worker"
# Other engines and repetitions of an agreement, and generation, load bodies of their own.
SUITES = ("-m", f"not agreement and not generation and {UNTIMED}")
TWO = (*SUITES, "-n", "2")


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    tiny = {
        "reference": Tiny(context=1024),
        "int4": Tiny(context=1024, head="nbits"),
        "int8": Tiny(context=1024, head="bias"),
    }
    return {name: write_package(folder / name, tiny[name]) for name in NAMES}


@pytest.fixture(scope="module")
def make(tmp_path_factory, packages, mmlu_folder, text_file) -> Callable[[str], Workspace]:
    """Workspaces of three cases, each with a cache and a log of its own."""

    def make(name: str) -> Workspace:
        folder = tmp_path_factory.mktemp(name)
        workspace = Workspace(
            folder / "workspace",
            reference=packages["reference"],
            candidate=packages["int4"],
            mmlu=mmlu_folder,
            text=text_file,
            cache=folder / "cache",
        )
        (folder / "spy").mkdir()
        (folder / "spy" / "sitecustomize.py").write_text(SPY)
        workspace.manifest.write_text(
            workspace.manifest.read_text("utf-8")
            + '\n[[models.variants]]\nname = "int8"\nprecision = "int8"\n'
            + f'path = "{packages["int8"]}"\n'
        )
        return workspace

    return make


def environment(workspace: Workspace) -> dict[str, str]:
    folder = workspace.folder.parent
    return {"PYTHONPATH": str(folder / "spy"), "LOADS": str(folder / "loads")}


def loads(workspace: Workspace) -> Counter[str]:
    return Counter((workspace.folder.parent / "loads").read_text().splitlines())


def essence(results: dict[str, Any]) -> dict[str, Any]:
    """Everything measured and decided, to the last bit, in an order of its own."""
    for measurement in results["measurements"]:
        cost = measurement["cost"]
        measurement["cost"] = {key: cost[key] for key in cost if key not in VOLATILE}
    keys = ("case_id", "task", "metric")
    return {
        name: sorted(results[name], key=lambda each: [each.get(key, "") for key in keys])
        for name in ("measurements", "decisions")
    }


@pytest.fixture(scope="module")
def alone(make):
    """A run of one process, and its workspace."""
    workspace = make("alone")
    return workspace.run(*SUITES, **environment(workspace)), workspace


@pytest.fixture(scope="module")
def spread(make):
    """The same run on two workers."""
    workspace = make("spread")
    return workspace.run(*TWO, "-v", **environment(workspace)), workspace


def test_two_workers_find_and_decide_the_same(alone, spread):
    assert alone[0].verdicts() == {"NO_BASELINE"}
    assert (spread[0].status, alone[0].status) == (PASSED, PASSED), spread[0].text
    found, expected = essence(spread[0].results), essence(alone[0].results)
    assert len(expected["measurements"]) == 3 * 4
    assert found == expected


def test_each_body_loads_once_in_the_whole_run(alone, spread):
    """Heads may load more often: a candidate's process holds its reference's beside its own."""
    expected = {f"{name} body": 1 for name in NAMES}
    for _, workspace in (alone, spread):
        bodies = {name: count for name, count in loads(workspace).items() if "body" in name}
        assert bodies == expected


def test_results_and_table_come_once_and_from_the_controller(spread):
    outcome, workspace = spread
    left = {path.name for path in (workspace.folder / "reports").iterdir()}
    assert left == {"results.json", "summary.md", "junit.xml", "lm_eval"}
    rows = [line.strip() for line in outcome.text.splitlines() if line.startswith("| tiny-")]
    assert len(rows) == len(set(rows)) == 3 * 4, outcome.text


def test_tests_of_one_model_and_variant_stay_on_one_worker(spread):
    found = re.findall(r"\[(gw\d)\].* PASSED .*\[(tiny-\w+)-ort-cpu\]", spread[0].text)
    assert len(found) == 3 * 3, spread[0].text
    assert len(set(found)) == 3
    assert len({worker for worker, _ in found}) == 2


def test_second_run_on_workers_reads_the_reference_from_disk(spread):
    first, workspace = spread
    (workspace.folder.parent / "loads").unlink()
    again = workspace.run(*TWO, **environment(workspace))
    assert essence(again.results) == essence(first.results)
    bodies = {name for name in loads(workspace) if "body" in name}
    assert bodies == {"int4 body", "int8 body"}


def test_baselines_are_stored_by_the_controller(make, alone):
    workspace = make("update")
    stored = workspace.run(
        *TWO, "--gate-update-baselines", "--gate-reason=first", **environment(workspace)
    )
    assert stored.status == PASSED, stored.text
    names = sorted(path.name for path in workspace.folder.glob("baselines/tiny/*.json"))
    assert names == ["fp32-ort-cpu.json", "int4-ort-cpu.json", "int8-ort-cpu.json"]
    judged = workspace.run(*SUITES, **environment(workspace))
    assert judged.verdicts() == {"PASS"}, judged.text


def test_greedy_answers_of_two_workers_are_those_of_one_process(make):
    """Both candidates are held against one reference's answers, whoever generated these."""
    found = {}
    for workers in (0, 2):
        workspace = make(f"greedy-{workers}")
        workspace.edit("texts = 12\nquestions = 2\n", "texts = 3\nquestions = 1\n")
        outcome = workspace.run("-m", "generation", "-n", str(workers), **environment(workspace))
        assert outcome.status == PASSED, outcome.text
        found[workers] = essence(outcome.results)
    assert found[2] == found[0]
    cases = {(each["case_id"], each["task"]) for each in found[0]["measurements"]}
    assert cases == {(f"tiny-{name}-ort-cpu", "generation") for name in ("int4", "int8")}
    assert all(len(each["detail"]["generations"]) == 5 for each in found[0]["measurements"])
    values = [each["value"] for each in found[0]["decisions"]]
    assert len(values) == 2
    assert min(values) < 1, "or nothing is shown"


def empty_selection(workspace: Workspace) -> None:
    workspace.edit('degenerate = "warn"', 'degenerate = "warn"\nsubjects = ["astrology"]')


def long_window(workspace: Workspace) -> None:
    workspace.edit("window = 128", "window = 4096")


def other_pin(workspace: Workspace) -> None:
    workspace.edit('text = "text.txt"', f'text = "text.txt"\ntext_sha256 = "{"0" * 64}"')


def damaged_baseline(workspace: Workspace) -> None:
    path = workspace.folder / "baselines" / "tiny" / "int4-ort-cpu.json"
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")


def unchanged(workspace: Workspace) -> None: ...


@pytest.mark.parametrize(
    ("damage", "told", "words"),
    [
        (empty_selection, "astrology", ()),
        (long_window, "window-context", ()),
        (other_pin, "dataset-pin", ()),
        (damaged_baseline, "baseline-not-json", ()),
        (unchanged, "can't be rerun", ("--reruns=2",)),
    ],
)
def test_what_one_process_refuses_two_workers_refuse(make, damage, told, words):
    workspace = make(damage.__name__)
    damage(workspace)
    outcome = workspace.run(*TWO, *words, **environment(workspace))
    assert outcome.status == REFUSED, outcome.text
    assert outcome.text.count(told) == 1, outcome.text
    assert "INTERNALERROR" not in outcome.text
    assert outcome.results is None
    assert not (workspace.folder.parent / "loads").exists(), "before any model loads"


def test_fault_50_killed_worker_leaves_no_case_missing(make, alone):
    """Its case is INVALID, or measured by the worker that takes its place; others are the same."""
    workspace = make("killed")
    process = workspace.start(*TWO, **environment(workspace))
    killed = _kill_a_worker(process)
    outcome = workspace.finish(process)
    assert killed
    assert outcome.results is not None, outcome.text
    expected = {(case, task.partition(".")[0]) for case, task, _ in alone[0].decisions()}
    found = {(case, task.partition(".")[0]) for case, task, _ in outcome.decisions()}
    assert found == expected
    invalid = [each for each in outcome.decisions().values() if each["verdict"] == "INVALID"]
    assert invalid, outcome.text
    assert outcome.status == FAILED
    assert all("worker-died" in each["reason"] for each in invalid)
    expected_measured = {
        (each["case_id"], each["task"]): each for each in essence(alone[0].results)["measurements"]
    }
    for each in essence(outcome.results)["measurements"]:
        assert each == expected_measured[each["case_id"], each["task"]]
    orphans = [child for child in psutil.process_iter() if _is_model_of(child, workspace)]
    assert orphans == []


def _kill_a_worker(process: Popen[str]) -> bool:
    """Kill the first xdist worker that has a model's process under it."""
    while process.poll() is None:
        for model in _models(psutil.Process(process.pid)):
            parent = model.parent()
            if parent is not None and parent.pid != process.pid:
                parent.send_signal(signal.SIGKILL)
                return True
        time.sleep(0.02)
    return False


def _models(parent: psutil.Process) -> Iterator[psutil.Process]:
    for child in parent.children(recursive=True):
        try:
            if WORKER in " ".join(child.cmdline()):
                yield child
        except psutil.Error:
            continue


def _is_model_of(child: psutil.Process, workspace: Workspace) -> bool:
    try:
        return WORKER in " ".join(child.cmdline()) and child.environ().get("LOADS", "").startswith(
            str(workspace.folder.parent) + os.sep
        )
    except psutil.Error:
        return False
