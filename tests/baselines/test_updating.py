"""Updates: what is stored, what is left alone, what is refused, and how it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from quantgate import storage
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.results import Limits, Tolerance
from tests.storing import CASE, COMPARABILITY, FACTS, TOLERANCE, answers, measure, update


def test_fault_45_nothing_stored_reads_as_none(store):
    assert store.read(CASE) is None


def test_update_stores_and_reads_back(store):
    assert update(store, measure(0.8125)) == [
        "mmlu accuracy none -> 0.8125: new, tolerance absolute 0.01"
    ]
    stored = store.read(CASE).tasks["mmlu"]
    assert stored.comparability.comparability() == COMPARABILITY
    entry = stored.metrics["accuracy"]
    assert (entry.value, entry.stderr, entry.n, entry.unit) == (0.8125, 0.05, 80, "fraction")
    assert entry.tolerance.tolerance() == TOLERANCE
    assert (stored.reason, stored.provenance) == ("first figures", FACTS)


def test_fault_75_stored_time_is_utc_and_text_is_utf8(store):
    update(store, measure(), reason="größere Vokabeln 模型")
    text = store.path(CASE).read_text("utf-8")
    assert "größere Vokabeln 模型" in text
    assert store.read(CASE).tasks["mmlu"].updated.endswith("Z")


def test_file_is_diffable(store, document):
    text = store.path(CASE).read_text("utf-8")
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["schema_version"] == 2
    assert document["case"] == CASE.id


def test_update_is_unrounded_and_tells_old_and_new(store):
    update(store, measure(1 / 3))
    assert update(store, measure(2 / 3)) == [
        "mmlu accuracy 0.3333333333333333 -> 0.6666666666666666: 33.33 points better"
    ]
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 2 / 3


def test_fault_49_update_touches_only_the_given_tasks(store):
    update(store, measure(0.8), measure(0.7, task="mmlu.greedy"))
    before = store.read(CASE).tasks["mmlu"]
    update(store, measure(0.75, task="mmlu.greedy"), reason="only greedy")
    stored = store.read(CASE)
    assert stored.tasks["mmlu"] == before
    assert stored.tasks["mmlu.greedy"].metrics["accuracy"].value == 0.75


def test_fault_49_update_without_measurements_leaves_the_file(store):
    update(store, measure())
    before = store.path(CASE).stat().st_mtime_ns
    assert update(store) == []
    assert store.path(CASE).stat().st_mtime_ns == before


def test_fault_49_update_is_refused_in_ci(store, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(UsageFault) as caught:
        update(store, measure())
    assert caught.value.code == "baseline-update-in-ci"
    assert not store.path(CASE).exists()


def test_fault_49_update_needs_a_reason(store):
    with pytest.raises(UsageFault, match="gate-reason"):
        update(store, measure(), reason="  ")


def test_fault_49_update_refuses_a_figure_that_is_not_finite(store):
    update(store, measure(0.8))
    with pytest.raises(InvalidMeasurement) as caught:
        update(store, measure(float("nan")))
    assert caught.value.code == "baseline-not-finite"
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_update_refuses_another_cases_measurement(store):
    with pytest.raises(ValueError, match="none of"):
        update(store, measure(case_id="other-int4-ort-cpu"))


def test_fault_44_update_refuses_a_limitless_tolerance(store):
    with pytest.raises(UsageFault, match="at most 1000"):
        update(
            store,
            measure(),
            limits=lambda *_: Limits(baseline=Tolerance(kind="absolute", value=1e9)),
        )


def test_update_tells_what_it_removes(store):
    update(store, measure(0.8))
    assert update(store, measure(0.8), limits=lambda *_: Limits()) == [
        "mmlu accuracy 0.8 -> none: removed, no policy asks for it"
    ]
    assert store.read(CASE).tasks == {}


def test_fault_55_full_disk_keeps_the_old_baseline(store, monkeypatch):
    update(store, measure(0.8))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", full)
        with pytest.raises(InvalidMeasurement):
            update(store, measure(0.9))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_57_what_cannot_be_serialized_keeps_the_old_baseline(store):
    update(store, measure(0.8))
    with pytest.raises(TypeError):
        update(store, measure(0.9, identity={"package": object()}))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def noisy(noise):
    found = measure()
    return replace(found, scores=(replace(found.scores[0], noise=noise),))


def test_fault_62_measured_noise_is_stored_and_read_back(store):
    update(store, noisy(0.0025))
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].noise == 0.0025
    assert b'"noise": 0.0025' in store.path(CASE).read_bytes()


def test_fault_62_noise_that_was_not_measured_is_left_out(store, document):
    """Files of before, and those of runs without repetitions, read and write alike."""
    entry = document["tasks"]["mmlu"]["metrics"]["accuracy"]
    assert "noise" not in entry
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].noise is None
    before = store.path(CASE).read_bytes()
    entry["noise"] = None
    store.path(CASE).write_text(json.dumps(document))
    update(store, noisy(None))
    assert (
        json.loads(store.path(CASE).read_bytes())["tasks"]["mmlu"]["metrics"]
        == (json.loads(before)["tasks"]["mmlu"]["metrics"])
    )


def test_new_only_stores_what_is_new_and_nothing_else(store):
    update(store, measure(0.8))
    before = store.read(CASE).tasks["mmlu"]
    lines = update(
        store, measure(0.1), measure(0.7, task="mmlu.greedy"), reason="a new suite", new_only=True
    )
    assert lines == ["mmlu.greedy accuracy none -> 0.7: new, tolerance absolute 0.01"]
    stored = store.read(CASE).tasks
    assert stored["mmlu"] == before
    assert stored["mmlu.greedy"].reason == "a new suite"


def test_new_only_without_anything_new_touches_no_file(store):
    update(store, measure(0.8, detail=answers({"law": 4})))
    times = [path.stat().st_mtime_ns for path in (store.path(CASE), store.items_path(CASE))]
    assert update(store, measure(0.1, detail=answers({"law": 4}, seed=1)), new_only=True) == []
    after = [path.stat().st_mtime_ns for path in (store.path(CASE), store.items_path(CASE))]
    assert after == times


def test_fault_49_new_only_is_refused_like_any_update(store, monkeypatch):
    with pytest.raises(UsageFault, match="gate-reason"):
        update(store, measure(), reason="", new_only=True)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(UsageFault) as caught:
        update(store, measure(), new_only=True)
    assert caught.value.code == "baseline-update-in-ci"
    assert not store.path(CASE).exists()
