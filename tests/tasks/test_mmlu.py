"""MMLU from questions to log-likelihoods, against one full forward per letter."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate.cases import Case
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.tasks.prompts import prompt
from tests.running import case_of, evaluator_in, mmlu_task
from tests.straightforward import PlainModel, letter_loglikelihoods, mmlu_prompt, read_rows
from tests.tiny_corpora import SUBJECTS, write_mmlu
from tests.tiny_models import (
    LETTER_MERGES,
    SPECIALS,
    WORD_MERGES,
    Tiny,
    byte_tokenizer,
    write_package,
)


def naive_loglikelihoods(package, mmlu, shots: int = 5) -> np.ndarray:
    model, tokenizer = PlainModel(package), Tokenizer.from_file(str(package / "tokenizer.json"))
    return np.array(
        [
            letter_loglikelihoods(model, tokenizer, mmlu_prompt(subject, dev[:shots], row))
            for subject in SUBJECTS
            for dev in [read_rows(mmlu, "dev", subject)]
            for row in read_rows(mmlu, "test", subject)
        ]
    )


def scored(case: Case, mmlu, folder, **options) -> np.ndarray:
    run = evaluator_in(folder).run(case, mmlu_task(mmlu, **options))
    return run.samples.loglikelihoods


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Three subjects of three questions: the naive way takes a forward per letter."""
    return write_mmlu(tmp_path_factory.mktemp("few"), questions=3)


def test_prompts_are_the_protocols_to_the_character(mmlu_folder):
    task = mmlu_task(mmlu_folder)
    corpus = task._corpus
    prompts = [prompt("hendrycks", corpus.shots_for(q.subject, 5), q) for q in corpus.questions]
    expected = [
        mmlu_prompt(subject, read_rows(mmlu_folder, "dev", subject), row)
        for subject in SUBJECTS
        for row in read_rows(mmlu_folder, "test", subject)
    ]
    assert prompts == expected
    assert "about  formal logic.\n\n" in prompts[8]
    assert all(text.endswith("\nAnswer:") for text in prompts)


@pytest.mark.parametrize("shots", [0, 2, 5])
def test_letters_equal_one_full_forward_each(tiny_folder, few, tmp_path, shots):
    found = scored(case_of(tiny_folder), few, tmp_path, shots=shots)
    expected = naive_loglikelihoods(tiny_folder, few, shots)
    np.testing.assert_allclose(found, expected, atol=1e-4)


# As for the logits in tests/backends: what kernels that round activations to 8 bits may do.
NOISE = {"fp32": 1e-4, "int8": 0.05, "int4": 0.05, "fp16": 0.02}


@pytest.mark.parametrize("precision", NOISE)
def test_letters_of_built_packages_equal_full_forwards_within_noise(
    built, few, tmp_path, precision
):
    found = scored(case_of(built[precision]), few, tmp_path)
    expected = naive_loglikelihoods(built[precision], few)
    np.testing.assert_allclose(found, expected, atol=NOISE[precision])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_letters_without_packing_equal_those_of_full_forwards(built, few, tmp_path, precision):
    case = replace(case_of(built[precision]), options_json='{"packing": false}')
    found = scored(case, few, tmp_path)
    expected = naive_loglikelihoods(built[precision], few)
    np.testing.assert_allclose(found, expected, atol=NOISE[precision])


def test_fault_28_tokenizer_that_adds_bos_adds_it_once(few, tmp_path):
    package = write_package(
        tmp_path / "package", Tiny(context=1024), tokenizer=byte_tokenizer(adds_bos=True)
    )
    found = scored(case_of(package), few, tmp_path)
    np.testing.assert_allclose(found, naive_loglikelihoods(package, few), atol=1e-4)
    items = mmlu_task(few).encode(load_tokenizer(package), 1024)
    bos = byte_tokenizer().token_to_id(SPECIALS[0])
    assert all(item.context.count(bos) == 1 for item in items.items)
    assert all(bos not in ids for item in items.items for ids in item.continuations)


def test_fault_28_bos_added_by_one_side_only(tiny_folder, few, tmp_path):
    other = write_package(
        tmp_path / "package", Tiny(context=1024), tokenizer=byte_tokenizer(adds_bos=True)
    )
    case = case_of(other, "int4", reference=case_of(tiny_folder))
    with pytest.raises(InvalidMeasurement, match="item 0 differs at id 0") as caught:
        evaluator_in(tmp_path).run(case, mmlu_task(few))
    assert caught.value.code == "tokenizer-mismatch"
    assert SPECIALS[0] in caught.value.found


def test_fault_27_other_tokenizer_is_no_candidate(tiny_folder, few, tmp_path):
    other = write_package(
        tmp_path / "package",
        Tiny(context=1024, vocabulary=268),
        tokenizer=byte_tokenizer(merges=[*LETTER_MERGES, *reversed(WORD_MERGES[:1]), ("h", "i")]),
    )
    case = case_of(other, "int4", reference=case_of(tiny_folder))
    with pytest.raises(InvalidMeasurement) as caught:
        evaluator_in(tmp_path).run(case, mmlu_task(few))
    assert caught.value.code == "tokenizer-mismatch"


def test_fault_29_letters_of_several_tokens_are_scored_whole(few, tmp_path):
    tokenizer = byte_tokenizer(merges=WORD_MERGES)
    package = write_package(tmp_path / "package", Tiny(context=1024), tokenizer=tokenizer)
    items = mmlu_task(few).encode(load_tokenizer(package), 1024)
    assert {len(ids) for item in items.items for ids in item.continuations} == {2}
    found = scored(case_of(package), few, tmp_path)
    np.testing.assert_allclose(found, naive_loglikelihoods(package, few), atol=1e-4)


def test_fault_29_letters_of_unequal_lengths_are_scored_whole(few, tmp_path):
    tokenizer = byte_tokenizer(merges=[("Ġ", "A"), ("Ġ", "C"), *WORD_MERGES])
    package = write_package(tmp_path / "package", Tiny(context=1024), tokenizer=tokenizer)
    items = mmlu_task(few).encode(load_tokenizer(package), 1024)
    assert [len(ids) for ids in items.items[0].continuations] == [1, 2, 1, 2]
    found = scored(case_of(package), few, tmp_path)
    np.testing.assert_allclose(found, naive_loglikelihoods(package, few), atol=1e-4)


def test_fault_29_tokenizer_that_merges_the_letter_is_refused(few, tmp_path):
    tokenizer = byte_tokenizer(merges=[(":", "Ġ"), (":Ġ", "A")], splits_words=False)
    package = write_package(tmp_path / "package", Tiny(context=1024), tokenizer=tokenizer)
    with pytest.raises(InvalidMeasurement, match="' A' as tokens of its own") as caught:
        scored(case_of(package), few, tmp_path)
    assert caught.value.code == "letter-merges"


def test_fault_31_overflow_is_an_error_by_default(tiny_folder, mmlu_folder):
    tokenizer = load_tokenizer(tiny_folder)
    with pytest.raises(InvalidMeasurement, match="with 5 shots") as caught:
        mmlu_task(mmlu_folder).encode(tokenizer, 400)
    assert caught.value.code == "context-overflow"
    assert "anatomy/" in caught.value.need


def lengths(tiny_folder, mmlu_folder) -> list[int]:
    items = mmlu_task(mmlu_folder).encode(load_tokenizer(tiny_folder), 10_000)
    return [item.longest for item in items.items]


def test_fault_31_excluded_questions_are_stored_by_id(tiny_folder, mmlu_folder):
    tokenizer = load_tokenizer(tiny_folder)
    sizes = lengths(tiny_folder, mmlu_folder)
    limit = int(np.median(sizes))
    items = mmlu_task(mmlu_folder, overflow="exclude").encode(tokenizer, limit)
    ids = [f"{subject}/{row}" for subject in SUBJECTS for row in range(8)]
    assert items.excluded == tuple(i for i, n in zip(ids, sizes, strict=True) if n > limit)
    assert [item.question.id for item in items.items] == [
        i for i, n in zip(ids, sizes, strict=True) if n <= limit
    ]
    whole = mmlu_task(mmlu_folder).encode(tokenizer, 10_000)
    assert items.digest != whole.digest


def test_fault_31_excluding_everything_is_an_error(tiny_folder, mmlu_folder):
    with pytest.raises(InvalidMeasurement):
        mmlu_task(mmlu_folder, overflow="exclude").encode(load_tokenizer(tiny_folder), 50)


def test_fault_32_oldest_shots_are_dropped_whole_and_counted(tiny_folder, mmlu_folder):
    limit = 300
    task = mmlu_task(mmlu_folder, overflow="drop_shots")
    items = task.encode(load_tokenizer(tiny_folder), limit)
    assert len(items.items) == 24
    assert len({item.shots for item in items.items}) > 1
    plain = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    for item in items.items:
        subject, row = item.question.subject, item.question.row
        dev = read_rows(mmlu_folder, "dev", subject)
        question = read_rows(mmlu_folder, "test", subject)[row]

        def context(k, subject=subject, dev=dev, question=question):
            return tuple(plain.encode(mmlu_prompt(subject, dev[5 - k :], question)).ids)

        assert item.context == context(item.shots)
        assert len(item.context) <= limit
        assert item.shots == 5 or len(context(item.shots + 1)) > limit


def test_fault_32_question_that_fits_without_shots_only(tiny_folder, mmlu_folder):
    tokenizer = load_tokenizer(tiny_folder)
    sizes = [
        item.longest for item in mmlu_task(mmlu_folder, shots=0).encode(tokenizer, 10_000).items
    ]
    items = mmlu_task(mmlu_folder, overflow="drop_shots").encode(tokenizer, max(sizes))
    assert 0 in {item.shots for item in items.items}
    with pytest.raises(InvalidMeasurement, match="with 0 shots"):
        mmlu_task(mmlu_folder, overflow="drop_shots").encode(tokenizer, max(sizes) - 1)


def test_fault_31_window_of_the_model_bounds_the_whole_request(tiny_folder, mmlu_folder):
    tokenizer = load_tokenizer(tiny_folder)
    longest = max(lengths(tiny_folder, mmlu_folder))
    assert len(mmlu_task(mmlu_folder).encode(tokenizer, longest).items) == 24
    with pytest.raises(InvalidMeasurement):
        mmlu_task(mmlu_folder).encode(tokenizer, longest - 1)


def test_questions_are_scored_in_the_files_order_whatever_the_plan(tiny_folder, tmp_path):
    """Equal questions must get equal figures, wherever they stand."""
    mmlu = write_mmlu(tmp_path / "mmlu", subjects=("anatomy",), questions=4)
    path = mmlu / "test" / "anatomy_test.csv"
    rows = read_rows(mmlu, "test", "anatomy")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([*rows, *reversed(rows)])
    found = scored(case_of(tiny_folder), mmlu, tmp_path)
    assert np.array_equal(found[:4], found[:3:-1])
