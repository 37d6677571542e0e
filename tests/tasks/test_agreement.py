"""Two engines on the same weights, asked the same: how far apart their answers are."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate.answers import Answers
from quantgate.corpus.mmlu import read_mmlu
from quantgate.corpus.text import read_text
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.requests import NO_TARGET
from quantgate.results import Direction
from quantgate.tasks.agreement import (
    AgreementSamples,
    AgreementTask,
    agreement_scores,
    largest_difference,
    probe_questions,
)
from tests.running import case_of, evaluator_in, mmlu_task
from tests.straightforward import PlainModel

TOKENS = 100


@pytest.fixture(scope="module")
def task(mmlu_folder, text_file) -> AgreementTask:
    questions = mmlu_task(mmlu_folder)
    corpus = probe_questions(read_mmlu(str(mmlu_folder), base=mmlu_folder), 6)
    questions._corpus = corpus
    return AgreementTask(questions, read_text(str(text_file), base=text_file.parent), TOKENS)


@pytest.fixture
def items(task, tiny_folder):
    return task.encode(load_tokenizer(tiny_folder), 1024)


def samples(logprobs, top=(1, 2, 3), self_kl=0.0) -> AgreementSamples:
    return AgreementSamples(np.array(logprobs), np.array(top), self_kl)


def test_probe_is_the_first_questions_of_the_first_subjects(mmlu_folder):
    corpus = read_mmlu(str(mmlu_folder), base=mmlu_folder)
    probe = probe_questions(corpus, 10)
    counts = Counter(question.subject for question in probe.questions)
    assert list(counts.values()) == [4, 4, 2]
    for subject, count in counts.items():
        first = [q for q in corpus.questions if q.subject == subject][:count]
        assert [q for q in probe.questions if q.subject == subject] == first
    assert probe.shots == corpus.shots
    assert len(probe_questions(corpus, 999).questions) == 12


def test_window_is_the_beginning_of_the_text(items, tiny_folder, text_file):
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    ids = plain.encode(text_file.read_text("utf-8")).ids[:TOKENS]
    assert list(items.ids) == ids
    window = items.requests[-1]
    assert (window.ids, window.scored, window.place) == (tuple(ids), range(TOKENS), 0)
    assert window.targets == (*ids[1:], NO_TARGET)


def test_window_fits_a_shorter_context(task, tiny_folder, items):
    tokenizer = load_tokenizer(tiny_folder)
    questions = task._questions
    short = AgreementTask(questions, task._text, 5000).encode(tokenizer, 700)
    assert len(short.ids) == 700
    assert short.digest != items.digest


def test_requests_are_named(items):
    count = len(items.questions.requests)
    assert count == 6 * 4
    assert items.name(count) == "the window of text"
    assert items.name(0) == items.questions.name(0)
    assert len(items.contexts) == len(items.questions.contexts) + 1


def test_figures_are_those_of_the_definitions():
    anchor = samples([-1.0, -2.0, -3.5], top=(5, 6, 7))
    other = samples([-1.5, -1.75, -3.5], top=(5, 9, 7), self_kl=1e-12)
    scores = {score.metric: score for score in agreement_scores(other, anchor, 0.125)}
    assert scores["max_difference"].value == 0.5
    assert scores["max_difference"].noise == 0.125
    assert scores["mean_difference"].value == 0.25
    assert scores["top1_agreement"].value == pytest.approx(2 / 3)
    assert scores["self_kl"].value == 1e-12
    assert {score.n for score in scores.values()} == {3}
    assert scores["top1_agreement"].direction is Direction.HIGHER
    assert scores["max_difference"].direction is Direction.LOWER
    assert largest_difference(other, anchor) == largest_difference(anchor, other) == 0.5


def answered(task, items, top) -> AgreementSamples:
    """Samples of a model whose most likely id behind some ids is `top(ids)`."""

    def ask(requests) -> Answers:
        answers = Answers.blank(requests, compared=True)
        answers.kl[:] = 0.0
        answers.logprobs[:] = [
            0.0 if t != NO_TARGET else np.nan for r in requests for t in r.targets
        ]
        answers.top[:] = [top(r.ids[: at + 1]) for r in requests for at in r.scored]
        return answers

    return task.score(items, ask, None)


def differing_at(*places: tuple[int, ...]):
    """Most likely ids that are others behind `places`."""
    return lambda ids: 1 + (ids in places)


def test_position_that_several_letters_are_scored_at_counts_once(task, items):
    """One question of six that differs is one position of 106, not four of 124."""
    other = items.questions.items[2].context
    anchor, engine = (answered(task, items, differing_at(*x)) for x in ((), (other,)))
    scores = {score.metric: score for score in agreement_scores(engine, anchor, 0.0)}
    assert scores["top1_agreement"].n == 6 + TOKENS
    assert scores["top1_agreement"].value == (6 + TOKENS - 1) / (6 + TOKENS)
    assert scores["mean_difference"].n == 6 * 4 + TOKENS - 1


def test_letters_of_several_tokens_count_once_a_position(task, items):
    """Letters 7 8, 7 9, 5 and 6 8 are predicted behind the question, behind 7 and behind 6."""
    first, *others = items.questions.items
    longer = replace(first, continuations=((7, 8), (7, 9), (5,), (6, 8)))
    changed = replace(items, questions=replace(items.questions, items=(longer, *others)))
    behind = [(*first.context, *letter) for letter in ((), (7,), (6,))]
    anchor = answered(task, changed, differing_at())
    for places, differ in (((), 0), (behind[1:2], 1), (behind[2:], 1), (behind, 3)):
        engine = answered(task, changed, differing_at(*places))
        assert len(engine.top) == 6 + 2 + TOKENS
        assert (engine.top != anchor.top).sum() == differ


def test_engine_agrees_with_plain_forwards(task, items, tiny_folder, tmp_path):
    """Every target of the probe, each sequence by itself through ONNX Runtime."""
    found = evaluator_in(tmp_path).run(replace(case_of(tiny_folder), is_reference=False), task)
    model = PlainModel(tiny_folder)
    expected, top = [], {}
    for request in items.requests:
        logprobs = model.logprobs(request.ids)
        for position, target in zip(request.scored, request.targets, strict=True):
            top[request.ids[: position + 1]] = int(logprobs[position].argmax())
            if target != NO_TARGET:
                expected.append(logprobs[position, target])
    assert np.abs(found.samples.logprobs - expected).max() < 1e-4
    assert (found.samples.top == list(top.values())).mean() > 0.99
    assert found.samples.self_kl < 1e-9


def test_other_weights_do_not_agree(task, tiny_folder, other_folder, tmp_path):
    runs = [
        evaluator_in(tmp_path / name).run(replace(case_of(folder), is_reference=False), task)
        for name, folder in (("one", tiny_folder), ("other", other_folder))
    ]
    assert largest_difference(runs[0].samples, runs[1].samples) > 1e-3


@pytest.mark.parametrize("kl", [2e-9, -2e-9])
def test_fault_25_distribution_that_diverges_from_itself_is_invalid(task, items, kl):
    def ask(requests) -> Answers:
        answers = Answers.blank(requests, compared=True)
        answers.kl[:] = 0.0
        answers.kl[7] = kl
        return answers

    with pytest.raises(InvalidMeasurement) as caught:
        task.score(items, ask, None)
    assert caught.value.code == "self-divergence"
