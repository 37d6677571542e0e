"""Every template: prompts to the character, and log-likelihoods against full forwards."""

import csv

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantgate.corpus.mmlu import read_mmlu
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.tasks.mmlu_scores import mmlu_detail, mmlu_scores
from quantgate.tasks.prompts import TEMPLATES, prompt, shots_of
from tests.running import case_of, evaluator_in, mmlu_task
from tests.straightforward import (
    PlainModel,
    harness_prompt,
    letter_loglikelihoods,
    mmlu_prompt,
    pro_prompt,
    read_rows,
)
from tests.tiny_corpora import write_mmlu
from tests.tiny_models import WORD_MERGES, Tiny, byte_tokenizer, write_package
from tests.tiny_pro import CATEGORIES, pro_records, write_pro

LETTERS = "ABCDEFGHIJ"
TEN = [("Ġ", letter) for letter in LETTERS]
NAIVE = {"hendrycks": mmlu_prompt, "lm_eval": harness_prompt}
SUBJECTS = ("formal_logic", "high_school_us_history")


@pytest.fixture(scope="module")
def spaced(tmp_path_factory):
    """MMLU whose texts have white space around them, question and options alike."""
    folder = write_mmlu(tmp_path_factory.mktemp("spaced"), subjects=SUBJECTS, questions=3)
    for path in folder.rglob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        wide = [[f" \n{row[0]}\t ", *(f" {text} " for text in row[1:5]), row[5]] for row in rows]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(wide)
    return folder


@pytest.fixture(scope="module")
def pro(tmp_path_factory):
    """MMLU-Pro with one question of each number of options."""
    return write_pro(tmp_path_factory.mktemp("pro"), tests=pro_records("test", 8))


@pytest.fixture(scope="module")
def ten_letters(tmp_path_factory):
    """A package whose tokenizer has the ten letters as tokens."""
    tokenizer = byte_tokenizer(merges=[*TEN, *WORD_MERGES])
    return write_package(tmp_path_factory.mktemp("ten"), Tiny(context=1024), tokenizer=tokenizer)


def pro_prompts(shots: int, records) -> list[str]:
    """In the order of subjects and files."""
    solved = pro_records("validation", 15)[:shots]
    return [
        pro_prompt(solved, record)
        for category in sorted(CATEGORIES)
        for record in records
        if record["category"] == category
    ]


def prompts_of(folder, template: str, shots: int) -> list[str]:
    corpus = read_mmlu(str(folder), base=folder)
    return [
        prompt(template, shots_of(template, corpus, question, shots), question)
        for question in corpus.questions
    ]


@pytest.mark.parametrize("shots", range(6))
@pytest.mark.parametrize("template", NAIVE)
def test_prompts_are_the_protocols_to_the_character(spaced, template, shots):
    expected = [
        NAIVE[template](subject, read_rows(spaced, "dev", subject)[:shots], row)
        for subject in SUBJECTS
        for row in read_rows(spaced, "test", subject)
    ]
    assert prompts_of(spaced, template, shots) == expected


def test_templates_differ_where_the_protocols_do(spaced):
    theirs, ours = prompts_of(spaced, "lm_eval", 1)[0], prompts_of(spaced, "hendrycks", 1)[0]
    assert "about formal logic.\n\n" in theirs
    assert "about  formal logic.\n\n" in ours
    assert "\nA.   " not in theirs
    assert "\nA.  " in theirs, "options keep their white space"


@pytest.mark.parametrize("shots", range(6))
def test_pro_prompts_are_the_protocols_to_the_character(pro, shots):
    expected = pro_prompts(shots, pro_records("test", 8))
    assert prompts_of(pro, "mmlu_pro", shots) == expected
    assert len({text[:40] for text in expected}) == (1 if shots else len(expected))


def test_mmlus_templates_take_the_categorys_own_shots(pro):
    records = [each for each in pro_records("test", 8) if each["category"] == "computer science"]
    solved = [e for e in pro_records("validation", 15) if e["category"] == "computer science"]
    header = "The following are multiple choice questions (with answers) about"
    expected = f"{header}  computer science.\n\n{pro_prompt(solved[:2], records[0])}"
    assert prompts_of(pro, "hendrycks", 2)[0] == expected


def test_pro_template_has_no_shots_in_mmlus_own_layout(spaced, tiny_folder):
    tokenizer = load_tokenizer(tiny_folder)
    with pytest.raises(UsageFault, match="MMLU-Pro's validation split"):
        mmlu_task(spaced, template="mmlu_pro").encode(tokenizer, 1024)
    assert mmlu_task(spaced, template="mmlu_pro", shots=0).encode(tokenizer, 1024).items


@pytest.mark.parametrize("shots", [0, 5])
def test_harness_letters_equal_one_full_forward_each(tiny_folder, spaced, tmp_path, shots):
    task = mmlu_task(spaced, template="lm_eval", shots=shots)
    found = evaluator_in(tmp_path).run(case_of(tiny_folder), task).samples.loglikelihoods
    model = PlainModel(tiny_folder)
    tokenizer = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    expected = [
        letter_loglikelihoods(
            model,
            tokenizer,
            harness_prompt(subject, read_rows(spaced, "dev", subject)[:shots], row),
        )
        for subject in SUBJECTS
        for row in read_rows(spaced, "test", subject)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("single_tokens", [True, False])
def test_pro_letters_equal_one_full_forward_each(
    ten_letters, tiny_folder, pro, tmp_path, single_tokens
):
    """The usual tokenizer has E to J as two tokens each, and A to D as one."""
    package = ten_letters if single_tokens else tiny_folder
    run = evaluator_in(tmp_path).run(case_of(package), mmlu_task(pro, template="mmlu_pro", shots=2))
    lengths = {len(ids) for item in run.items.items for ids in item.continuations}
    assert lengths == ({1} if single_tokens else {1, 2})
    model, tokenizer = PlainModel(package), Tokenizer.from_file(str(package / "tokenizer.json"))
    found = run.samples.loglikelihoods
    assert found.shape == (8, 10)
    for item, row, text in zip(
        run.items.items, found, pro_prompts(2, pro_records("test", 8)), strict=True
    ):
        count = len(item.question.options)
        expected = letter_loglikelihoods(model, tokenizer, text, LETTERS[:count])
        np.testing.assert_allclose(row[:count], expected, atol=1e-4)
        assert np.isnan(row[count:]).all()


def test_pro_figures_count_up_to_ten_letters_and_no_categories(ten_letters, pro, tmp_path):
    run = evaluator_in(tmp_path).run(
        case_of(ten_letters), mmlu_task(pro, template="mmlu_pro", shots=2)
    )
    detail = mmlu_detail(run.samples, run.items, "loglikelihood", None)
    names = [s.metric for s in mmlu_scores(run.samples, run.items, "loglikelihood", None)]
    assert detail["categories"] == {}
    assert set(detail["subjects"]) == {"law", "computer_science", "philosophy"}
    assert [name for name in names if "." in name] == [
        f"subject.{subject}" for subject in ("computer_science", "law", "philosophy")
    ]
    best = np.nanargmax(run.samples.loglikelihoods, axis=1)
    letters = "".join(answers["chosen"] for answers in detail["answers"].values())
    assert letters == "".join(LETTERS[number] for number in best)
    gold = "".join(answers["gold"] for answers in detail["answers"].values())
    assert gold == "".join(
        record["answer"]
        for category in sorted(CATEGORIES)
        for record in pro_records("test", 8)
        if record["category"] == category
    )


def test_requests_of_unequal_numbers_are_named_by_their_question(ten_letters, pro):
    items = mmlu_task(pro, template="mmlu_pro").encode(load_tokenizer(ten_letters), 4096)
    names = [items.name(number) for number in range(len(items.requests))]
    expected = [item.question.id for item in items.items for _ in item.question.options]
    assert names == expected


def test_fault_29_merging_letter_matters_where_it_is_an_option(spaced, tmp_path):
    """A tokenizer that merges ` F` with the colon is fit for MMLU and unfit for MMLU-Pro."""
    tokenizer = byte_tokenizer(merges=[("Ġ", "F"), (":", "ĠF")], splits_words=False)
    package = write_package(tmp_path / "package", Tiny(context=1024), tokenizer=tokenizer)
    loaded = load_tokenizer(package)
    assert mmlu_task(spaced).encode(loaded, 4096).items
    six = [record for record in pro_records("test", 8) if len(record["options"]) >= 6]
    folder = write_pro(tmp_path / "pro", tests=six)
    with pytest.raises(InvalidMeasurement, match="' F' as tokens of its own") as caught:
        mmlu_task(folder, template="mmlu_pro").encode(loaded, 4096)
    assert caught.value.code == "letter-merges"


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_fault_31_overflow_is_told_dropped_or_excluded(template, ten_letters, pro):
    """Shots are the same for all or the category's; each policy keeps its word either way."""
    tokenizer = load_tokenizer(ten_letters)

    def encode(limit: int, overflow: str):
        return mmlu_task(pro, template=template, overflow=overflow).encode(tokenizer, limit)

    whole = encode(100_000, "error")
    sizes = {item.question.id: item.longest for item in whole.items}
    limit = int(np.median(list(sizes.values())))
    with pytest.raises(InvalidMeasurement) as caught:
        encode(limit, "error")
    assert caught.value.code == "context-overflow"
    excluded = encode(limit, "exclude")
    assert excluded.excluded == tuple(name for name, size in sizes.items() if size > limit)
    assert 0 < len(excluded.items) < 8
    dropped = encode(limit, "drop_shots")
    assert [item.question.id for item in dropped.items] == list(sizes)
    assert dropped.excluded == ()
    for item in dropped.items:
        assert (item.shots == 5) == (sizes[item.question.id] <= limit)
        assert item.longest <= limit
        solved = shots_of(template, mmlu_task(pro)._corpus, item.question, 5)
        text = prompt(template, solved[5 - item.shots :], item.question)
        assert tokenizer.encode([text]) == [item.context]
        if item.shots < 5:
            longer = prompt(template, solved[4 - item.shots :], item.question)
            assert len(tokenizer.encode([longer])[0]) > limit


def test_protocol_names_template_shots_decision_and_overflow(pro):
    task = mmlu_task(pro, template="mmlu_pro", shots=3, decision="greedy", overflow="drop_shots")
    assert task.options.protocol == "mmlu_pro 3-shot greedy, overflow drop_shots"
    assert mmlu_task(pro).options.protocol == "hendrycks 5-shot loglikelihood, overflow error"
