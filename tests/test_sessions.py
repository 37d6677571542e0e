"""A model that is opened again is the one whose facts are known (faults 5 and 61)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from quantgate.errors import InvalidMeasurement
from quantgate.sessions import Execution, Sessions
from tests.running import THREADS, case_of, evaluator_in, mmlu_task, text_task
from tests.tiny_models import Tiny, write_package

RETRAINED = Tiny(context=1024, seed=1)


@pytest.fixture(params=[True, False], ids=["inline", "child"])
def sessions(request, tmp_path):
    sessions = Sessions(tmp_path / "cache", Execution(threads=THREADS, inline=request.param))
    yield sessions
    sessions.close()


def touch(folder: Path) -> None:
    """Write the weights anew, and the same."""
    weights = folder / "model.onnx.data"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))


def files_under(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def told(call) -> str:
    with pytest.raises(InvalidMeasurement) as caught:
        call()
    assert caught.value.code == "files-changed"
    return str(caught.value)


def test_fault_05_package_exported_anew_is_not_opened_again(sessions, own_package):
    case = case_of(own_package)
    before = sessions.facts(case).identity["package"]
    sessions.close()
    write_package(own_package, RETRAINED)
    for _ in range(2):  # and no session is left behind that would be taken for the known model's
        text = told(lambda: sessions.session(case))
        assert case.id in text
        assert f"package {before} -> " in text


def test_fault_05_package_exported_anew_is_not_timed(sessions, own_package):
    case = case_of(own_package)
    sessions.facts(case)
    write_package(own_package, RETRAINED)
    with pytest.raises(InvalidMeasurement, match="files-changed"), sessions.beside([case]):
        pass


def test_fault_05_repetition_runs_the_same_weights(sessions, own_package):
    case = case_of(own_package)
    first = sessions.facts(case).identity
    again = sessions.facts(replace(case, repeat=2)).identity
    assert again["threads"] != first["threads"]
    write_package(own_package, RETRAINED)
    told(lambda: sessions.facts(replace(case, repeat=3)))


def test_files_written_anew_and_the_same_are_opened_again(sessions, own_package):
    case = case_of(own_package)
    sessions.facts(case)
    sessions.close()
    touch(own_package)
    assert sessions.session(case).identity == sessions.facts(case).identity


def test_fault_05_reference_changed_before_its_candidate_opens(sessions, own_package, other_folder):
    reference = case_of(own_package)
    sessions.facts(reference)
    touch(own_package)
    candidate = case_of(other_folder, "int4", reference=reference)
    for _ in range(2):
        assert str(own_package) in told(lambda: sessions.facts(candidate))


def test_fault_05_reference_changed_before_its_head_opens(
    own_package, other_folder, tmp_path, mmlu_folder, text_file
):
    evaluator = evaluator_in(tmp_path / "cache")
    reference = case_of(own_package)
    candidate = case_of(other_folder, "int4", reference=reference)
    text = text_task(text_file)
    evaluator.run(reference, text)
    evaluator.run(candidate, mmlu_task(mmlu_folder, shots=0))  # compares nothing
    write_package(own_package, RETRAINED)
    assert str(own_package) in told(lambda: evaluator.run(candidate, text))


def test_fault_61_trace_of_other_weights_is_not_kept_for_the_first(
    own_package, tiny_folder, tmp_path, mmlu_folder, text_file
):
    evaluator, traces = evaluator_in(tmp_path / "cache"), tmp_path / "cache" / "traces"
    case = case_of(own_package)
    evaluator.run(case, mmlu_task(mmlu_folder, shots=0))
    evaluator.run(case_of(tiny_folder, "other"), mmlu_task(mmlu_folder, shots=0))
    write_package(own_package, RETRAINED)
    before = files_under(traces)
    told(lambda: evaluator.run(case, text_task(text_file)))
    assert files_under(traces) == before
