"""Greedy answers of a candidate beside its reference's, from prompts to figures."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate.corpora import Corpora
from quantgate.errors import InvalidMeasurement
from quantgate.execution.orders import Generated
from quantgate.items import items_of
from quantgate.measure import Measurer
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.protocols import Protocols
from quantgate.tasks.generation import GenerationSamples, GenerationTask
from quantgate.tasks.generation_items import spread
from quantgate.tasks.generation_scores import Match, generation_detail, generation_scores, match
from quantgate.tasks.stops import Answer
from tests.generating import (
    DIALOGS,
    NEW,
    PROMPT,
    QUESTIONS,
    STOPS,
    TEXTS,
    load_generation_manifest,
)
from tests.running import evaluator_in
from tests.straightforward import PlainModel, mmlu_prompt, read_rows
from tests.tiny_corpora import SUBJECTS

CONTEXT = 1024


@pytest.fixture(scope="module")
def task(generation_manifest):
    return Protocols(generation_manifest, Corpora(generation_manifest)).task("generation")


@pytest.fixture(scope="module")
def items(task, tiny_folder):
    return task.encode(load_tokenizer(tiny_folder), CONTEXT)


@pytest.fixture
def candidate(generation_manifest):
    """A candidate by itself."""
    return replace(generation_manifest.cases()[1], reference=None)


# --- prompts ------------------------------------------------------------------------------------


def test_numbers_are_spread_evenly_and_each_is_taken_once():
    assert spread(3, 9) == [0, 3, 6]
    assert spread(4, 10) == [0, 2, 5, 7]
    assert spread(5, 3) == [0, 1, 2]
    assert spread(0, 3) == []
    assert spread(2, 0) == []


def test_passages_are_beginnings_of_paragraphs(items, tiny_folder, text_file):
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    paragraphs = text_file.read_text("utf-8").splitlines()
    numbers = [number * len(paragraphs) // TEXTS for number in range(TEXTS)]
    for number, request, name in zip(numbers, items.requests, items.names, strict=False):
        assert list(request.context) == plain.encode(paragraphs[number]).ids[:PROMPT]
        assert name == f"paragraph {number}"
        assert (request.limit, request.stop_strings) == (NEW, ())
        assert request.stop_ids == (plain.token_to_id("</s>"),)


def test_blank_paragraphs_begin_no_passage(task, tiny_folder):
    """A data set's empty rows are paragraphs, the last one often."""
    text = replace(task._text, paragraphs=("one", "", " ", "two", ""))
    few = replace(task._options, questions=0, dialogs=0)
    blank = GenerationTask(text, task._questions, few)
    found = blank.encode(load_tokenizer(tiny_folder), CONTEXT)
    assert found.names == ("paragraph 0", "paragraph 3")
    assert all(request.context for request in found.requests)


def test_questions_stand_behind_their_shots_and_dialogs_go_on(items, tiny_folder, mmlu_folder):
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    questions = [(subject, row) for subject in sorted(SUBJECTS) for row in range(8)]

    def prompt(subject, row):
        shots = read_rows(mmlu_folder, "dev", subject)[:2]
        return mmlu_prompt(subject, shots, read_rows(mmlu_folder, "test", subject)[row])

    for place, number in enumerate((0, 12)):
        subject, row = questions[number]
        question = items.requests[TEXTS + place]
        assert list(question.context) == plain.encode(prompt(subject, row)).ids
        assert items.names[TEXTS + place] == f"{subject}/{row} (2-shot)"
        first, second = items.requests[TEXTS + QUESTIONS + place].rounds
        assert list(first) == list(question.context)
        subject, row = questions[number + 1]
        whole = prompt(subject, row)
        assert plain.decode(list(second)) == "\n" + whole[whole.rindex("\n\n") + 2 :]


def test_ids_whose_text_holds_a_stop_string_end_an_answer(items, tiny_folder):
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    vocabulary = plain.get_vocab()
    expected = {vocabulary[name] for name in ("the", "Ġthe", "-")}
    for request in items.requests[TEXTS:]:
        assert set(request.stop_ids) == {*expected, plain.token_to_id("</s>")}
        assert request.stop_strings == STOPS


def test_shorter_context_shortens_passages_and_leaves_fewer_shots(task, tiny_folder, items):
    tokenizer = load_tokenizer(tiny_folder)
    lengths = [sum(map(len, request.rounds)) for request in items.requests]
    context = max(lengths) + 2 * NEW - 1
    shorter = task.encode(tokenizer, context)
    longest = lengths.index(max(lengths))
    assert "(1-shot)" in shorter.names[longest]
    for request in shorter.requests:
        assert sum(map(len, request.rounds)) + NEW * len(request.rounds) <= context
    assert shorter.digest != items.digest
    assert items.digest == task.encode(tokenizer, CONTEXT).digest


def test_question_that_does_not_fit_even_alone_is_an_error(task, tiny_folder):
    with pytest.raises(InvalidMeasurement) as caught:
        task.encode(load_tokenizer(tiny_folder), 30)
    assert caught.value.code == "context-overflow"
    assert "anatomy/0 (0-shot)" in caught.value.found
    assert "[tasks.generation]" in caught.value.fix


# --- figures ------------------------------------------------------------------------------------


def answer(text: str) -> Answer:
    """An answer whose ids are its characters."""
    return Answer(tuple(map(ord, text)), text, "limit")


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        (["abc"], ["abc"], Match(3, 3, None)),
        (["abd"], ["abc"], Match(2, 3, 0)),
        (["xbc"], ["abc"], Match(0, 3, 0)),
        (["ab"], ["abc"], Match(2, 3, 0)),
        (["abcd"], ["abc"], Match(3, 3, 0)),
        (["ab", "cd"], ["ab", "ce"], Match(3, 4, 1)),
        (["ax", "cd"], ["ab", "cd"], Match(1, 4, 0)),
    ],
)
def test_answers_match_up_to_the_first_id_that_differs(candidate, reference, expected):
    """What is equal again behind it counts for nothing, in later rounds as well."""
    assert match(list(map(answer, candidate)), list(map(answer, reference))) == expected


def ended(text: str, cut: str) -> Answer:
    """An answer that "|", its last id, ended, with what was generated behind it."""
    ids, rest = (tuple(map(ord, part)) for part in (f"{text}|", cut))
    return Answer(ids, text, "string", rest, f"|{cut}")


@pytest.mark.parametrize("second", ["cd", "ce"])
def test_rounds_behind_cut_text_that_differs_match_nothing(second):
    """Equal by luck or not; the round before matches whole, and its cut text counts nowhere."""
    reference = [ended("ab", "xy"), answer("cd")]
    found = match([ended("ab", "xz"), answer(second)], reference)
    assert found == Match(3, 5, 1, cut=True)
    assert found.share == 3 / 5
    same = match([ended("ab", "xy"), answer(second)], reference)
    assert same == (Match(5, 5, None) if second == "cd" else Match(4, 5, 1))


def test_cut_text_of_the_last_round_makes_no_difference():
    assert match([ended("ab", "x")], [ended("ab", "yz")]) == Match(3, 3, None)
    mine, other = ([answer("c"), ended("ab", rest)] for rest in ("x", ""))
    assert match(mine, other) == Match(4, 4, None)


def test_answer_that_differs_has_parted_before_what_is_cut_from_it():
    mine, other = ([ended(text, text), answer("c")] for text in ("ab", "ax"))
    assert match(mine, other) == Match(1, 4, 0)


def test_detail_of_a_parting_in_cut_text_shows_that_text(items):
    mine, other = (
        GenerationSamples(((ended("ab", rest), answer("cd")),)) for rest in ("xz", "xy and on")
    )
    scores = {score.metric: score.value for score in generation_scores(mine, other)}
    assert scores == {"matched_share": 3 / 5, "identical": 0.0, "match_length": 3.0}
    (row,) = generation_detail(mine, other, items)["generations"]
    assert (row["matched"], row["tokens"], row["identical"]) == (3, 5, False)
    assert (row["parted"], row["cut"]) == (1, True)
    assert (row["candidate"], row["reference"]) == ("z", "y and on")


def test_dialog_behind_cut_text_that_differs_is_no_match(task, items, tiny_folder):
    """From the ids as a model generates them: the stop string spans two, and both go on."""
    tokenizer = load_tokenizer(tiny_folder)
    dialog = items.requests[-1]
    only = replace(items, requests=(dialog,), names=items.names[-1:])
    stopped, second = tokenizer.encode(["B\u0765", "C"])

    def answered(rest: str) -> GenerationSamples:
        ids = (*stopped, *tokenizer.encode([rest])[0]), second
        return task.answer(only, lambda _: [ids], tokenizer)

    mine, other = answered("zz"), answered("yy")
    assert [answer.ids for answer in mine.answers[0]] == [stopped, second]
    assert mine.answers[0][0].text == "B"
    (found,) = (match(*pair) for pair in zip(mine.answers, other.answers, strict=True))
    assert found == Match(len(stopped), len(stopped) + len(second), 1, cut=True)
    (row,) = generation_detail(mine, other, only)["generations"]
    assert (row["candidate"], row["reference"]) == ("zz", "yy")


def test_figures_are_those_of_the_definitions(items):
    reference = [["abcd"], ["abcd"], ["ab", "cdef"], ["a"]]
    candidate = [["abcd"], ["abxd"], ["ab", "cxyz"], ["b"]]

    def samples(texts):
        return GenerationSamples(tuple(tuple(map(answer, rounds)) for rounds in texts))

    scores = {s.metric: s for s in generation_scores(samples(candidate), samples(reference))}
    shares = [1.0, 0.5, 0.5, 0.0]
    assert scores["matched_share"].value == np.mean(shares)
    assert scores["matched_share"].stderr == pytest.approx(np.std(shares, ddof=1) / 2)
    assert scores["identical"].value == 0.25
    assert scores["match_length"].value == np.mean([4, 2, 3, 0])
    assert {score.n for score in scores.values()} == {4}
    detail = generation_detail(samples(candidate), samples(reference), items)
    assert [row["identical"] for row in detail["generations"]] == [True, False, False, False]
    second = detail["generations"][2]
    assert (second["parted"], second["candidate"], second["reference"]) == (1, "xyz", "def")
    assert detail["ended"] == {"candidate": {"limit": 5}, "reference": {"limit": 5}}


# --- whole measurements ---------------------------------------------------------------------------


def greedy(model: PlainModel, rounds, limit, stops) -> list[tuple[int, ...]]:
    """One full forward for every id."""
    sequence, answers = [], []
    for ids in rounds:
        sequence += ids
        found: list[int] = []
        while not found or (len(found) < limit and found[-1] not in stops):
            found.append(int(model.logits([*sequence, *found])[-1].argmax()))
        sequence += found
        answers.append(tuple(found))
    return answers


def cut(plain: Tokenizer, request, ids) -> tuple[tuple[int, ...], str, tuple[int, ...]]:
    """Ids up to where a stop string is first complete, else all; why they end; and all."""
    for count in range(1, len(ids) + 1):
        text = plain.decode(list(ids[:count]))
        if any(string in text for string in request.stop_strings):
            return ids[:count], "string", ids
    return ids, "id" if ids[-1] in request.stop_ids else "limit", ids


def test_same_package_matches_whole(generated):
    found = generated["same"]
    assert {s.metric: s.value for s in found.scores if s.unit == "fraction"} == {
        "matched_share": 1.0,
        "identical": 1.0,
    }
    assert found.comparability.items == TEXTS + QUESTIONS + DIALOGS


def test_other_head_matches_as_far_as_plain_forwards_do(
    generated, items, tiny_folder, other_folder
):
    """Both packages decoded by one full forward an id, and compared by hand."""
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    answers = {}
    for folder in (tiny_folder, other_folder):
        model = PlainModel(folder)
        answers[folder] = [
            [cut(plain, r, ids) for ids in greedy(model, r.rounds, r.limit, r.stop_ids)]
            for r in items.requests
        ]
    shares, same = [], []
    for mine, other in zip(answers[other_folder], answers[tiny_folder], strict=True):
        matched = 0
        for (left, _, mine_whole), (right, _, other_whole) in zip(mine, other, strict=True):
            pairs = zip(left, right, strict=False)
            matched += len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
            if mine_whole != other_whole:
                break
        shares.append(matched / sum(len(ids) for ids, _, _ in other))
        *before, mine_last = mine
        *before_other, other_last = other
        same.append(before == before_other and mine_last[0] == other_last[0])
    found = generated["other"]
    assert found.score("matched_share").value == pytest.approx(np.mean(shares))
    assert found.score("identical").value == np.mean(same)
    assert 0 < np.mean(shares) < 1, "or nothing is shown"
    expected = Counter(ending for rounds in answers[tiny_folder] for _, ending, _ in rounds)
    assert found.detail["ended"]["reference"] == expected
    assert expected["string"] > 0, "or nothing is shown"


@pytest.mark.parametrize("listing", ["reference", "candidate"])
def test_both_sides_end_where_the_reference_ends_a_text(
    *, listing, items, tmp_path, tiny_folder, other_folder, mmlu_folder, text_file
):
    """One side lists an id more, which its reference generates second behind the first passage."""
    end = Tokenizer.from_file(str(tiny_folder / "tokenizer.json")).token_to_id("</s>")
    first = items.requests[0]
    (free,) = greedy(PlainModel(tiny_folder), first.rounds, NEW, ())
    folders = {"reference": tiny_folder, "candidate": other_folder}
    folders[listing] = shutil.copytree(folders[listing], tmp_path / listing)
    path = folders[listing] / "genai_config.json"
    config = json.loads(path.read_text("utf-8"))
    config["model"]["eos_token_id"] = [end, free[1]]
    path.write_text(json.dumps(config), "utf-8")
    manifest = load_generation_manifest(
        tmp_path,
        mmlu=mmlu_folder,
        text=text_file,
        reference=folders["reference"],
        other=folders["candidate"],
    )
    case, evaluator = manifest.cases()[2], evaluator_in(tmp_path / "cache")
    task = Protocols(manifest, Corpora(manifest)).task("generation")
    stops = {end, free[1]} if listing == "reference" else {end}
    for each, folder in ((case, other_folder), (case.reference, tiny_folder)):
        run = evaluator.run(each, task)
        for request, answers in zip(run.items.requests, run.samples.answers, strict=True):
            assert stops <= set(request.stop_ids)
            if not request.stop_strings:
                assert set(request.stop_ids) == stops
                expected = greedy(PlainModel(folder), request.rounds, NEW, stops)
                assert [answer.ids for answer in answers] == expected
    (answer,) = evaluator.run(case.reference, task).samples.answers[0]
    assert (answer.ids[-1] == free[1] and len(answer.ids) <= 2) == (listing == "reference")


def test_generations_are_paired_each_by_itself(generated):
    found = items_of(generated["other"])
    rows = generated["other"].detail["generations"]
    assert found.begins.tolist() == list(range(len(rows)))
    for metric in ("matched_share", "identical"):
        mean = found.sums[metric].sum() / found.counts[metric].sum()
        assert mean == pytest.approx(generated["other"].score(metric).value)
        assert set(found.counts[metric]) == {1.0}


def test_a_variant_without_a_reference_has_nothing_to_match(
    generation_manifest, candidate, tmp_path
):
    corpora = Corpora(generation_manifest)
    measurer = Measurer(generation_manifest, corpora, evaluator_in(tmp_path))
    with pytest.raises(KeyError, match="no reference"):
        measurer.measure(candidate, "generation")


# --- asking ---------------------------------------------------------------------------------------


class FakeSession:
    """Generates the number of the call, over and over."""

    def __init__(self, session, fault: InvalidMeasurement | None = None) -> None:
        self.identity, self.limits = session.identity, session.limits
        self.orders, self.fault, self.closed = [], fault, False

    def generate(self, order) -> Generated:
        self.orders.append(order)
        if self.fault and len(self.orders) == 2:
            raise self.fault
        ids = tuple((len(self.orders),) * order.limit for _ in order.rounds)
        return Generated(ids, np.zeros(len(ids)), np.zeros(0), ("limit",) * len(ids), 0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def fake(monkeypatch, tiny_folder):
    """A function that puts one session in the place of all."""

    def put(evaluator, case, **options) -> FakeSession:
        sessions = evaluator._sessions
        session = FakeSession(sessions.session(case), **options)
        monkeypatch.setattr(sessions, "session", lambda *_: session)
        monkeypatch.setattr(sessions, "close", session.close)
        return session

    return put


def test_answers_of_a_reference_are_kept_on_disk(task, generation_manifest, fake, tmp_path):
    reference = generation_manifest.cases()[0]
    first = evaluator_in(tmp_path)
    session = fake(first, reference)
    made = first.run(reference, task)
    assert len(session.orders) == TEXTS + QUESTIONS + DIALOGS
    again = evaluator_in(tmp_path)
    silent = fake(again, reference)
    found = again.run(reference, task)
    assert silent.orders == []
    assert found.samples == made.samples
    assert (made.cost["kept"], found.cost["kept"]) == (0.0, 1.0)
    assert found.cost["tokens_generated"] == made.cost["tokens_generated"] > 0


def test_answers_of_a_candidate_are_generated_anew(task, candidate, fake, tmp_path):
    for _ in range(2):
        evaluator = evaluator_in(tmp_path)
        session = fake(evaluator, candidate)
        evaluator.run(candidate, task)
        assert len(session.orders) == TEXTS + QUESTIONS + DIALOGS
        assert len({order.capacity for order in session.orders}) == 1, "one size of buffers"


@pytest.mark.parametrize("code", ["child-died", "logits-not-finite"])
def test_fault_names_the_generation_and_ends_a_session_that_is_lost(
    task, candidate, fake, tmp_path, code
):
    evaluator = evaluator_in(tmp_path)
    fault = InvalidMeasurement(code, need="a", found="b", fix="c")
    session = fake(evaluator, candidate, fault=fault)
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator.run(candidate, task)
    assert caught.value.code == code
    assert caught.value.found == "b, behind paragraph 5"
    assert session.closed is (code == "child-died")
