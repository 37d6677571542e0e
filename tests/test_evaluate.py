"""Each model loads once, each result is made once, and a kept reference is read back."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from quantgate.backends import ort
from quantgate.errors import InvalidMeasurement
from quantgate.evaluate import Evaluator
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.tasks.base import Run
from tests.running import case_of, evaluator_in, mmlu_task, text_task
from tests.tiny_models import Tiny, write_package


@pytest.fixture
def loads(monkeypatch) -> Counter:
    """Sessions made since the test began, by package folder."""
    counts: Counter = Counter()
    real = ort.make_session

    def count(model, folder, **options):
        counts[folder] += 1
        return real(model, folder, **options)

    monkeypatch.setattr(ort, "make_session", count)
    return counts


def kept(run: Run) -> bool:
    """Whether the results were found on disk."""
    return run.cost["kept"] == 1.0


@pytest.fixture
def tasks(mmlu_folder, text_file):
    return mmlu_task(mmlu_folder), text_task(text_file, window=512, stride=256, kl_window=512)


@pytest.fixture
def cases(tiny_folder, other_folder):
    reference = case_of(tiny_folder)
    return reference, case_of(other_folder, "int4", reference=reference)


def test_body_and_head_load_once_a_case(loads, tasks, cases, tmp_path):
    """And the reference's head once more beside its candidate, to compare with."""
    evaluator = evaluator_in(tmp_path)
    evaluator.select([(case, task) for case in cases for task in tasks])
    for case in cases:
        for task in (*tasks, *tasks):
            evaluator.run(case, task)
    assert loads == {cases[0].package.path: 3, cases[1].package.path: 2}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_candidate_asked_for_first_loads_nothing_twice(loads, tasks, cases, tmp_path, order):
    evaluator = evaluator_in(tmp_path)
    evaluator.select([(case, task) for case in cases for task in tasks])
    for number in order:
        evaluator.run(cases[1], tasks[number])
    assert loads == {cases[0].package.path: 3, cases[1].package.path: 2}


def test_asking_again_gives_the_same_object(tasks, cases, tmp_path, loads):
    evaluator = evaluator_in(tmp_path)
    first = evaluator.run(cases[1], tasks[0])
    before = loads.total()
    assert evaluator.run(cases[1], tasks[0]) is first
    assert loads.total() == before


def test_kept_reference_loads_only_its_head(loads, tasks, cases, tmp_path):
    runs = []
    for _ in range(2):
        loads.clear()
        evaluator = evaluator_in(tmp_path)
        runs.append([[evaluator.run(case, task) for task in tasks] for case in cases])
    reference, candidate = cases
    assert loads == {reference.package.path: 1, candidate.package.path: 2}
    assert [kept(run) for run in runs[0][0]] == [False, False]
    assert [kept(run) for run in runs[1][0]] == [True, True]
    for before, after in zip(runs[0][0] + runs[0][1], runs[1][0] + runs[1][1], strict=True):
        assert before.plan == after.plan
    first, second = runs[0][1][1].samples, runs[1][1][1].samples
    assert np.array_equal(first.divergence.kl, second.divergence.kl)


def test_kept_reference_of_mmlu_alone_loads_nothing(loads, tasks, cases, tmp_path):
    for _ in range(2):
        loads.clear()
        evaluator_in(tmp_path).run(cases[0], tasks[0])
    assert not loads


def test_candidate_is_never_read_from_disk(loads, tasks, cases, tmp_path):
    for _ in range(2):
        loads.clear()
        run = evaluator_in(tmp_path).run(cases[1], tasks[0])
        assert not kept(run)
    assert loads[cases[1].package.path] == 2


def test_reference_is_kept_by_content_and_not_by_place(loads, tasks, cases, own_package, tmp_path):
    evaluator_in(tmp_path).run(cases[0], tasks[0])
    loads.clear()
    assert kept(evaluator_in(tmp_path).run(case_of(own_package), tasks[0]))
    assert not loads


def test_fault_61_other_protocol_is_scored_afresh(tasks, cases, tmp_path, mmlu_folder):
    evaluator_in(tmp_path).run(cases[0], tasks[0])
    assert not kept(evaluator_in(tmp_path).run(cases[0], mmlu_task(mmlu_folder, shots=1)))


def test_fault_60_damaged_reference_is_scored_again(tasks, cases, tmp_path):
    first = evaluator_in(tmp_path).run(cases[0], tasks[1])
    (path,) = (tmp_path / "traces").glob("*/hidden.npy")
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    again = evaluator_in(tmp_path).run(cases[0], tasks[1])
    assert not kept(again)
    assert np.array_equal(first.samples.next_token[:-1], again.samples.next_token[:-1])
    assert kept(evaluator_in(tmp_path).run(cases[0], tasks[1]))


def faulty(tmp_path):
    return write_package(tmp_path / "poisoned", Tiny(poison="nan", context=1024))


def test_fault_20_fault_is_remembered_and_raised_again(loads, tasks, tmp_path):
    evaluator = evaluator_in(tmp_path)
    case = case_of(faulty(tmp_path))
    with pytest.raises(InvalidMeasurement) as first:
        evaluator.run(case, tasks[0])
    before = loads.total()
    with pytest.raises(InvalidMeasurement) as second:
        evaluator.run(case, tasks[0])
    assert second.value is first.value
    assert loads.total() == before == 2


def test_faulty_reference_makes_the_candidate_invalid(loads, tasks, other_folder, tmp_path):
    reference = case_of(faulty(tmp_path))
    candidate = case_of(other_folder, "int4", reference=reference)
    with pytest.raises(InvalidMeasurement, match="NaN") as caught:
        evaluator_in(tmp_path).run(candidate, tasks[0])
    assert caught.value.code == "logits-not-finite"
    assert loads[other_folder] == 0


def test_faulty_candidate_leaves_the_reference_valid(tasks, tiny_folder, tmp_path):
    evaluator = evaluator_in(tmp_path)
    reference = case_of(tiny_folder)
    with pytest.raises(InvalidMeasurement):
        evaluator.run(case_of(faulty(tmp_path), "int4", reference=reference), tasks[0])
    assert evaluator.run(reference, tasks[0]).samples.loglikelihoods.shape == (24, 4)


def test_fault_of_one_task_leaves_the_others(tasks, cases, tmp_path, mmlu_folder, tiny_folder):
    evaluator = evaluator_in(tmp_path)
    small = write_package(tmp_path / "small", Tiny(context=256))
    with pytest.raises(InvalidMeasurement):
        evaluator.run(case_of(small), tasks[0])
    task = text_task(mmlu_folder / "test" / "anatomy_test.csv", window=64, stride=32, kl_window=64)
    assert evaluator.run(case_of(small), task).samples.strided.size > 64


def test_candidate_of_another_context_reads_other_items(cases, tmp_path, mmlu_folder, tiny_folder):
    """A shorter context excludes other questions, and a paired comparison would be none."""
    task = mmlu_task(mmlu_folder, overflow="exclude")
    items = task.encode(load_tokenizer(tiny_folder), 1024).items
    small = write_package(
        tmp_path / "small", Tiny(context=sorted(item.longest for item in items)[12])
    )
    case = case_of(small, "int4", reference=cases[0])
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path).run(case, task)
    assert caught.value.code == "items-differ"


def test_listener_is_told_every_token(tasks, cases, tmp_path):
    heard: list[tuple[str, int]] = []

    class Ear:
        def begin(self, case, task, tokens):
            heard.append((f"{case.variant} {task}", tokens))

        def advance(self, tokens):
            heard.append(("advance", tokens))

        def end(self):
            heard.append(("end", 0))

    evaluator = evaluator_in(tmp_path)
    ear = Evaluator(replace(evaluator._asker, listener=Ear()))
    ear.run(cases[1], tasks[0])
    begins = [entry for entry in heard if entry[0] not in {"advance", "end"}]
    assert [name for name, _ in begins] == ["fp32 mmlu", "int4 mmlu"]
    advanced = sum(tokens for name, tokens in heard if name == "advance")
    assert advanced == sum(tokens for _, tokens in begins)
    assert [name for name, _ in heard].count("end") == 2
