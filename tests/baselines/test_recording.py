"""What a run's end stores: complete and valid figures, and it says what it left out."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quantgate import journal
from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case
from quantgate.options import RunOptions
from quantgate.recorder import Recorder
from quantgate.records import to_record
from quantgate.results import Decision, Limits, Measurement, Verdict
from quantgate.summary import finish
from tests.storing import CASE, TOLERANCE, answers, measure, update

OTHER = replace(CASE, variant="int8")


@dataclass
class Manifest:
    """As much of a manifest as storing needs."""

    tasks: None = None

    def cases(self) -> list[Case]:
        return [CASE, OTHER]

    def limits(self, case: Case, task: str, metric: str) -> Limits:
        return Limits(baseline=TOLERANCE)


@pytest.fixture
def options(tmp_path) -> RunOptions:
    return RunOptions(
        cache=tmp_path / "cache",
        reports=tmp_path / "reports",
        baselines=tmp_path / "baselines",
        baseline_ref=None,
        update=True,
        reason="a reason",
        accept_dataset=False,
        strict=False,
    )


def decide(measurement: Measurement, verdict: Verdict) -> Decision:
    return Decision(
        case_id=measurement.case_id, task=measurement.task, metric="accuracy", verdict=verdict,
        value=0.8, reason="",
    )  # fmt: skip


def record(options, *found) -> Recorder:
    recorder = Recorder(Manifest(), options)
    recorder.take([to_record(each) for each in found])
    return recorder


@pytest.mark.parametrize(
    ("verdict", "detail", "why"),
    [
        (Verdict.INVALID, {}, "INVALID"),
        (Verdict.PASS, {"sequential": {"stopped": True}}, "omit --gate-sequential"),
        (Verdict.PASS, {"sequential": {"stopped": False}}, "omit --gate-sequential"),
        (None, {}, "not decided"),
    ],
)
def test_fault_49_what_is_not_complete_and_valid_is_left_out(options, verdict, detail, why):
    bad = measure(0.1, detail=detail)
    good = measure(0.7, task="mmlu.greedy")
    told = [] if verdict is None else [decide(bad, verdict)]
    done = record(options, bad, good, *told, decide(good, Verdict.REGRESSION)).update_baselines({})
    assert done.stored == {(CASE.id, "mmlu.greedy", "accuracy")}
    (line,) = done.left_out
    assert line.startswith(f"{CASE.id} mmlu: ")
    assert why in line
    assert BaselineStore(options.baselines).read(CASE).tasks.keys() == {"mmlu.greedy"}


def test_fault_49_one_invalid_metric_leaves_its_task_out(options):
    found = measure(0.8)
    decisions = [decide(found, Verdict.PASS)]
    decisions.append(replace(decisions[0], metric="accuracy_macro", verdict=Verdict.INVALID))
    assert record(options, found, *decisions).update_baselines({}).stored == set()


def test_a_case_that_cannot_be_stored_keeps_no_other_from_it(options):
    path = BaselineStore(options.baselines).path(CASE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<<<<<<< HEAD\n")
    found = [measure(0.8), measure(0.9, case_id=OTHER.id)]
    recorder = record(options, *found, *(decide(each, Verdict.PASS) for each in found))
    done = recorder.update_baselines({})
    assert done.changed == [f"{OTHER.id}: mmlu accuracy none -> 0.9: new, tolerance absolute 0.01"]
    (fault,) = done.faults
    assert "baseline-merge-conflict" in fault
    assert path.read_bytes() == b"<<<<<<< HEAD\n"


def end(recorder, options, monkeypatch) -> tuple[str, bool]:
    """The words at the end of a run, whose manifest claims every baseline."""
    monkeypatch.setattr(Recorder, "unused_baselines", lambda _: [])
    lines, clean = finish(recorder, options, configuration={}, given={}, exit_status=0)
    return "\n".join(map(str, lines)), clean


def test_new_only_is_told_and_counts_what_is_missing_still(options, monkeypatch):
    store = BaselineStore(options.baselines)
    update(store, measure(0.5, task="mmlu.greedy"))
    options = replace(options, update=False, update_new_only=True)
    fresh, known = measure(0.8), measure(0.7, task="mmlu.greedy")
    added = replace(decide(known, Verdict.NO_BASELINE), metric="accuracy_macro")
    found = [fresh, known, decide(fresh, Verdict.NO_BASELINE), decide(known, Verdict.PASS), added]
    text, clean = end(record(options, *found), options, monkeypatch)
    assert clean
    assert "BASELINES UPDATED" in text
    assert f"{CASE.id}: mmlu accuracy none -> 0.8" in text
    assert "greedy accuracy" not in text
    assert "NO BASELINE still for 1 figures" in text
    options = replace(options, strict=True)
    text, clean = end(record(options, *found), options, monkeypatch)
    assert not clean
    assert "none, nothing was without a baseline" in text


def test_failed_update_is_no_clean_end(options, monkeypatch):
    path = BaselineStore(options.baselines).path(CASE)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"[]")
    found = measure(0.8)
    recorder = record(options, found, decide(found, Verdict.PASS))
    text, clean = end(recorder, options, monkeypatch)
    assert not clean
    assert f"not written: {CASE.id}: [baseline-schema]" in text
    assert Path(options.reports / "results.json").exists()


def test_items_that_should_be_there_are_told_for_what_was_measured(options, monkeypatch):
    store = BaselineStore(options.baselines)
    found = measure(0.8, detail=answers({"law": 4}))
    update(store, found, measure(0.8, task="mmlu.greedy", detail=answers({"law": 4})))
    options = replace(options, update=False)
    recorder = record(options, found, decide(found, Verdict.PASS))
    assert recorder.unpaired() == []
    store.items_path(CASE).unlink()
    (line,) = recorder.unpaired()
    assert line.startswith(f"{CASE.id} mmlu: not paired")
    assert str(store.items_path(CASE)) in line
    text, clean = end(recorder, options, monkeypatch)
    assert clean
    assert line in text


def results_of(options) -> dict:
    return json.loads((options.reports / "results.json").read_bytes())["run"]


def test_results_tell_of_the_baselines_they_were_held_against(options, monkeypatch):
    store = BaselineStore(options.baselines)
    update(store, measure(0.8), measure(0.7, task="mmlu.greedy"))
    options = replace(options, update=False)
    found = measure(0.5)
    end(record(options, found, decide(found, Verdict.REGRESSION)), options, monkeypatch)
    stored = store.read(CASE).tasks["mmlu"]
    told = results_of(options)["baselines"]
    assert told == {
        CASE.id: {
            "mmlu": {
                "updated": stored.updated, "reason": stored.reason, "identity": stored.identity,
                "provenance": stored.provenance,
            },
        },
    }  # fmt: skip
    assert stored.identity == {"package": "e" * 64}


@pytest.mark.parametrize("damaged", [True, False])
def test_results_tell_of_no_baseline_that_had_no_say(options, monkeypatch, damaged):
    store = BaselineStore(options.baselines)
    update(store, measure(0.8))
    if damaged:
        store.path(CASE).write_bytes(b"[]")
    options = replace(options, update=not damaged)
    found = measure(0.8)
    end(record(options, found, decide(found, Verdict.PASS)), options, monkeypatch)
    assert results_of(options)["baselines"] == {}


def test_a_run_begins_when_it_is_said_to_and_not_with_its_first_record(options, monkeypatch):
    began = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    recorder = Recorder(Manifest(), options, began)
    end(recorder, options, monkeypatch)
    assert results_of(options)["started"] == "2026-01-02T03:04:05.000Z"


def fill(monkeypatch):
    """Have every write find a full disk."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(journal.os, "write", full)


def test_fault_55_figures_stay_where_the_disk_refuses_them(options, monkeypatch):
    first, second = measure(0.8), measure(0.7, task="mmlu.greedy")
    with monkeypatch.context() as full:
        fill(full)
        recorder = record(options, first, decide(first, Verdict.PASS))
    recorder.take([to_record(second)])
    assert recorder.measurements == [first, second]
    (told,) = (line for line in recorder.warnings() if "storage-full" in line)
    assert "in memory alone" in told
    text, clean = end(recorder, replace(options, update=False), monkeypatch)
    assert clean, "the results are whole, and so the journal isn't missed"
    assert f"note: {told}" in text
    assert [path.name for path in options.reports.glob("*.json*")] == ["results.json"]


def test_fault_57_report_folder_that_cannot_be_written_ends_no_run(options, monkeypatch):
    options.reports.write_text("a file where the folder is to be", encoding="utf-8")
    found = measure(0.8)
    recorder = record(options, found, decide(found, Verdict.PASS))
    assert recorder.measurements == [found]
    text, clean = end(recorder, options, monkeypatch)
    assert not clean
    assert "\nnot written: [storage-failed]" in text
