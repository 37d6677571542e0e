"""Asking a model that runs out of memory, dies or was interrupted, and what is told of it."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from quantgate.baselines.entry import make_entry
from quantgate.cases import Case, Package
from quantgate.errors import InvalidMeasurement
from quantgate.execution.journal import RunJournal
from quantgate.gate.decision import decide
from quantgate.results import (
    Comparability,
    Direction,
    Limits,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)
from quantgate.tasks.base import Run
from quantgate.tasks.text import TextTask
from tests.planted import Deeds
from tests.running import case_of, evaluator_in, mmlu_task, text_task
from tests.tiny_models import Tiny, write_package

SAME_NATS = 1e-4


@pytest.fixture
def deeds(monkeypatch) -> Deeds:
    planted = Deeds()
    planted.plant(monkeypatch)
    return planted


@pytest.fixture
def mmlu(mmlu_folder):
    """Questions without shots: short sequences that are packed into wide rows."""
    return mmlu_task(mmlu_folder, shots=0)


@pytest.fixture
def text(text_file):
    """Windows of 128 tokens and of 96, each scored as a whole: nothing shorter can be asked."""
    return text_task(text_file)


@pytest.fixture
def case(tiny_folder) -> Case:
    """A candidate: its answers are never kept as a whole."""
    return replace(case_of(tiny_folder), is_reference=False)


@pytest.fixture
def asked(deeds, case, tmp_path) -> tuple[Deeds, Case, Path]:
    """Who is asked, and a folder for caches."""
    return deeds, case, tmp_path


# --- memory -------------------------------------------------------------------------------------


def test_fault_51_out_of_memory_halves_the_batch_and_is_told(deeds, mmlu, case, tmp_path):
    usual = evaluator_in(tmp_path).run(case, mmlu)
    widest = deeds.widest
    deeds.asked.clear()
    deeds.out_of_memory_above = widest - 1
    narrow = evaluator_in(tmp_path).run(case, mmlu)
    (warning,) = narrow.warnings
    assert f"out of device memory with {widest} tokens at once" in warning
    assert f"at most {widest // 2} from here on" in warning
    differences = np.abs(narrow.samples.loglikelihoods - usual.samples.loglikelihoods)
    assert differences.max() < SAME_NATS
    assert narrow.plan != usual.plan


def test_fault_51_batches_are_halved_until_they_fit(deeds, mmlu, case, tmp_path):
    usual = evaluator_in(tmp_path).run(case, mmlu)
    longest = max(len(ids) for ids in usual.items.contexts)
    assert deeds.widest > 2 * longest
    deeds.asked.clear()
    deeds.out_of_memory_above = longest + 8
    narrow = evaluator_in(tmp_path).run(case, mmlu)
    told = [int(line.split(" tokens at once")[0].split()[-1]) for line in narrow.warnings]
    assert len(told) > 1
    assert told == sorted(set(told), reverse=True)
    assert np.abs(narrow.samples.loglikelihoods - usual.samples.loglikelihoods).max() < SAME_NATS


def test_fault_51_later_tasks_stay_within_what_fits(deeds, mmlu, case, tmp_path, mmlu_folder):
    evaluator_in(tmp_path).run(case, mmlu)
    deeds.out_of_memory_above = deeds.widest - 1
    evaluator = evaluator_in(tmp_path)
    assert evaluator.run(case, mmlu).warnings
    deeds.asked.clear()
    other = mmlu_task(mmlu_folder, template="lm_eval", shots=0)
    other.name = "mmlu again"
    assert evaluator.run(case, other).warnings == ()
    assert deeds.widest <= deeds.out_of_memory_above


def test_fault_51_sequence_that_never_fits_is_invalid(deeds, text, case, tmp_path):
    """A window of text can't be cut; what doesn't fit alone fails, and soon."""
    deeds.out_of_memory_above = 100
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path).run(case, text)
    assert caught.value.code == "out-of-memory"
    assert len(deeds.asked) < 20


def test_fault_51_stored_baseline_of_the_full_batches_is_another_plan(deeds, mmlu, case, tmp_path):
    usual = measurement(evaluator_in(tmp_path).run(case, mmlu), mmlu)
    limits = Limits(baseline=Tolerance(kind="absolute", value=0.5))
    stored = make_entry(usual, lambda *_: limits, None, reason="first", provenance={})
    deeds.out_of_memory_above = deeds.widest - 1
    narrow = measurement(evaluator_in(tmp_path).run(case, mmlu), mmlu)
    judged = [
        decide(each, "accuracy", limits=limits, baseline=stored, reference=None)
        for each in (usual, narrow)
    ]
    assert [each.verdict for each in judged] == [Verdict.PASS, Verdict.INVALID]
    assert "plan" in judged[1].reason


def measurement(run: Run, task) -> Measurement:
    accuracy = run.samples.decisions(run.items.items, "loglikelihood").correct.mean()
    return Measurement(
        case_id="tiny-int4-ort-cpu",
        task="mmlu",
        scores=(
            Score(
                metric="accuracy",
                value=float(accuracy),
                n=len(run.items.items),
                unit="fraction",
                direction=Direction.HIGHER,
            ),
        ),
        comparability=Comparability(
            protocol="p",
            items=len(run.items.items),
            ids_digest=run.items.digest,
            corpus=task.corpus_digest,
            tokenizer=run.tokenizer,
            plan=run.plan,
        ),
        identity=run.identity,
    )


def test_other_faults_are_not_tried_again(deeds, mmlu, case, tmp_path):
    deeds.fails_at = 1
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path).run(case, mmlu)
    assert caught.value.code == "run-failed"
    assert len(deeds.asked) == 1


# --- sessions that end --------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "opened"), [("child-died", 2), ("run-failed", 1)])
def test_next_task_opens_a_dead_session_anew_and_a_live_one_not(asked, mmlu, text, code, opened):
    deeds, case, tmp_path = asked
    deeds.fails_at, deeds.code = 1, code
    evaluator = evaluator_in(tmp_path)
    with pytest.raises(InvalidMeasurement, match=code):
        evaluator.run(case, mmlu)
    assert evaluator.run(case, text).samples.strided.size
    assert deeds.opened == opened


def test_fault_names_the_item_that_the_batch_in_flight_begins_with(deeds, mmlu, case, tmp_path):
    evaluator_in(tmp_path).run(case, mmlu)
    deeds.fails_at = 2 * len(deeds.asked)  # the last batch of the second run
    with pytest.raises(InvalidMeasurement, match="the batch that begins with") as caught:
        evaluator_in(tmp_path).run(case, mmlu)
    items = mmlu.encode(evaluator_in(tmp_path)._sessions.tokenizer(case), 1024)
    named = caught.value.found.split("begins with ")[1]
    assert named in {items.name(number) for number in range(len(items.requests))}


# --- the journal --------------------------------------------------------------------------------


@pytest.fixture
def stored(monkeypatch) -> list[int]:
    """Numbers of the batches that went into the journal."""
    numbers: list[int] = []
    real = RunJournal.store

    def store(self, number, readings):
        numbers.append(number)
        real(self, number, readings)

    monkeypatch.setattr(RunJournal, "store", store)
    return numbers


@dataclass(frozen=True)
class Interrupted:
    """A run that ended before its last two batches, which the journal lacks.

    Attributes:
        whole: what a run finds that isn't interrupted.
        count: its batches.
        proof: batches that are asked before, to prove that sharing is sound.
        cache: folder of the journal.
    """

    whole: Run
    count: int
    proof: int
    cache: Path

    def resume(self, case: Case, task: TextTask) -> Run:
        return evaluator_in(self.cache, resume=True).run(case, task)


@pytest.fixture
def interrupted(asked, text, stored) -> Interrupted:
    deeds, case, tmp_path = asked
    whole = evaluator_in(tmp_path / "whole").run(case, text)
    count, proof = len(stored), len(deeds.asked) - len(stored)
    assert count > 3
    deeds.asked.clear()
    stored.clear()
    deeds.fails_at = proof + count - 1
    with pytest.raises(InvalidMeasurement, match="run-failed"):
        evaluator_in(tmp_path / "cache").run(case, text)
    assert stored == list(range(count - 2))
    deeds.fails_at = 0
    deeds.asked.clear()
    stored.clear()
    return Interrupted(whole, count, proof, tmp_path / "cache")


def test_fault_61_resumed_run_asks_only_for_what_is_missing(deeds, text, case, interrupted, stored):
    run = interrupted.resume(case, text)
    assert stored == [interrupted.count - 2, interrupted.count - 1]
    assert len(deeds.asked) == interrupted.proof + 2
    found = asdict(run.samples)
    for name, samples in asdict(interrupted.whole.samples).items():
        assert _same(found[name], samples), name


def test_fault_61_whole_run_is_not_asked_again(deeds, text, case, interrupted, stored):
    """Its batches stay until a session ends in order."""
    interrupted.resume(case, text)
    deeds.asked.clear()
    stored.clear()
    interrupted.resume(case, text)
    assert stored == []
    assert len(deeds.asked) <= interrupted.proof


def test_fault_61_another_package_does_not_resume(text, case, interrupted, stored, tmp_path):
    folder = write_package(tmp_path / "other", Tiny(context=1024, seed=1))
    interrupted.resume(replace(case, package=Package(path=folder)), text)
    assert stored == list(range(interrupted.count))


def test_fault_61_another_option_does_not_resume(text, case, interrupted, stored):
    options = '{"session_options": {"enable_cpu_mem_arena": "0"}}'
    interrupted.resume(replace(case, options_json=options), text)
    assert stored == list(range(interrupted.count))


def test_fault_61_another_protocol_does_not_resume(text_file, case, interrupted, stored):
    interrupted.resume(case, text_task(text_file, stride=32))
    assert stored == list(range(len(stored)))
    assert len(stored) >= interrupted.count


def test_fault_61_other_name_and_place_of_the_same_content_resume(
    text, case, interrupted, stored, own_package
):
    moved = replace(case, model="renamed", variant="moved", package=Package(path=own_package))
    interrupted.resume(moved, text)
    assert len(stored) == 2


# --- what an answer cost ------------------------------------------------------------------------


def test_cost_counts_what_the_backend_computed(deeds, mmlu, case, tmp_path, stored):
    run = evaluator_in(tmp_path).run(case, mmlu)
    asked = deeds.asked[len(deeds.asked) - len(stored) :]  # behind the proof
    prefixes = {batch.prefix for batch in asked} - {()}
    computed = sum(batch.tokens for batch in asked) + sum(map(len, prefixes))
    assert run.cost["tokens_computed"] == computed
    assert run.cost["rows"] == sum(len(batch.rows) for batch in asked)
    assert run.cost["prefixes"] == len(prefixes)
    assert run.cost["kept"] == 0


def _same(found, expected) -> bool:
    if isinstance(expected, dict):
        return all(_same(found[name], value) for name, value in expected.items())
    if isinstance(expected, np.ndarray):
        return np.array_equal(found, expected, equal_nan=True)
    return bool(found == expected)


# --- the disk -----------------------------------------------------------------------------------


def test_fault_55_journal_counts_in_the_room_for_a_references_rows(
    text, tiny_folder, tmp_path, monkeypatch
):
    """It has the same rows, on the same disk, until the session has ended."""
    reference = case_of(tiny_folder)
    evaluator_in(tmp_path / "whole").run(reference, text)
    (kept,) = (tmp_path / "whole").rglob("hidden.npy")
    room = shutil.disk_usage(tmp_path)._replace(free=kept.stat().st_size * 3 // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path / "short").run(reference, text)
    assert caught.value.code == "storage-full"
    assert not list((tmp_path / "short" / "traces").iterdir())
