"""MMLU-Pro's layout: categories as subjects, up to ten options, shots that all questions share."""

from pathlib import Path

import pytest

from quantgate.corpus.hub import HubLocation
from quantgate.corpus.mmlu import read_mmlu
from quantgate.errors import UsageFault
from tests.tiny_pro import CATEGORIES, pro_records, write_pro

COMMIT = "0" * 40


def refused(folder: Path, **selection) -> UsageFault:
    with pytest.raises(UsageFault) as caught:
        read_mmlu(".", base=folder, **selection)
    return caught.value


def with_row(folder: Path, **changes) -> Path:
    """A test file whose second row has other values."""
    rows = pro_records("test", 6)
    rows[1] |= changes
    return write_pro(folder, tests=rows)


def test_categories_are_subjects_and_questions_keep_their_numbers(tmp_path):
    corpus = read_mmlu(".", base=write_pro(tmp_path))
    rows = pro_records("test", 24)
    expected = [
        (f"{category.replace(' ', '_')}/{row['question_id']}", row)
        for category in sorted(CATEGORIES)
        for row in rows
        if row["category"] == category
    ]
    assert [q.id for q in corpus.questions] == [id_ for id_, _ in expected]
    for question, (_, row) in zip(corpus.questions, expected, strict=True):
        assert question.text == row["question"]
        assert list(question.options) == row["options"]
        assert question.letters[question.answer] == row["answer"]
    assert {len(q.options) for q in corpus.questions} == set(range(3, 11))
    assert not corpus.categorized


def test_common_shots_are_the_first_of_the_file_whatever_is_selected(tmp_path):
    write_pro(tmp_path)
    first = [row["question_id"] for row in pro_records("validation", 5)]
    for selection in ({}, {"subjects": ["philosophy"]}, {"limit": 1}):
        corpus = read_mmlu(".", base=tmp_path, **selection)
        assert [shot.row for shot in corpus.common_shots(5)] == first
    assert [shot.row for shot in corpus.shots_for("philosophy", 2)] == [2, 5]


def test_other_common_shots_are_another_corpus(tmp_path):
    shots = pro_records("validation", 15)
    plain = read_mmlu(".", base=write_pro(tmp_path / "a"), subjects=["law"])
    # The selected subject's own shots stay as they are, only another category's change places.
    turned = [*shots[:1], shots[4], *shots[2:4], shots[1], *shots[5:]]
    other = read_mmlu(".", base=write_pro(tmp_path / "b", shots=turned), subjects=["law"])
    assert other.shots == plain.shots
    assert other.digest != plain.digest


def test_missing_shots_are_told_where_the_template_wants_them(tmp_path):
    corpus = read_mmlu(".", base=write_pro(tmp_path, shots=pro_records("validation", 4)))
    assert len(corpus.common_shots(4)) == 4
    with pytest.raises(UsageFault, match="4 rows"):
        corpus.common_shots(5)
    bare = read_mmlu(".", base=write_pro(tmp_path / "bare", shots=[]))
    assert bare.common_shots(0) == ()
    with pytest.raises(UsageFault, match="no dev file"):
        bare.common_shots(1)


def test_mmlus_own_layouts_have_no_common_shots(tmp_path):
    corpus = read_mmlu("embedded", base=tmp_path)
    assert corpus.categorized
    with pytest.raises(UsageFault, match="MMLU-Pro's validation split"):
        corpus.common_shots(1)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"answer": "E"}, "the answer is none of A, B, C, D"),
        ({"answer": "b"}, "the answer is none of"),
        ({"answer": ""}, "the answer is none of"),
        ({"answer": None}, "the answer is none of"),
        ({"answer": "A", "answer_index": 1}, "the answer is A, and answer_index 1"),
        ({"answer": "A", "answer_index": None}, "the answer is A, and answer_index None"),
        ({"options": ["a", "", "c", "d"]}, "option B is empty"),
        ({"options": ["a", None, "c", " "]}, "option B, D is empty"),
        ({"options": ["a"], "answer": "A", "answer_index": 0}, "1 options"),
        ({"options": [*"abcdefghijk"], "answer": "A", "answer_index": 0}, "11 options"),
        ({"options": []}, "0 options"),
        ({"question": " "}, "the question is empty"),
        ({"question": None}, "the question is empty"),
        ({"category": None}, "the category is empty"),
        ({"category": " "}, "the category is empty"),
        ({"question_id": None}, "question_id is None"),
    ],
)
def test_fault_39_wrong_rows_are_listed(tmp_path, changes, found):
    right = {"options": [*"abcd"], "answer": "B", "answer_index": 1}
    error = refused(with_row(tmp_path, **right | changes))
    assert error.code == "mmlu-rows"
    assert error.found.startswith(f"row 1: {found}")
    assert "data/test" in error.need


def test_fault_39_question_numbers_are_given_once(tmp_path):
    rows = pro_records("test", 6)
    rows[3]["question_id"] = rows[0]["question_id"]
    assert refused(write_pro(tmp_path, tests=rows)).code == "mmlu-duplicate-ids"


def test_fault_38_padding_stays_and_is_counted(tmp_path):
    padded = {"options": ["a", "b", "N/A", "N/A"], "answer": "B", "answer_index": 1}
    corpus = read_mmlu(".", base=with_row(tmp_path, **padded))
    assert ("a", "b", "N/A", "N/A") in {q.options for q in corpus.questions}
    assert any("1 questions with an option 'N/A'" in note for note in corpus.notes)


def test_other_columns_are_refused(tmp_path):
    rows = pro_records("test", 3)
    for row in rows:
        del row["answer_index"]
    error = refused(write_pro(tmp_path, tests=rows))
    assert error.code == "parquet-unreadable"
    assert "answer_index" in error.found


def test_fault_36_unknown_category(tmp_path):
    error = refused(write_pro(tmp_path), subjects=["computer science"])
    assert error.code == "mmlu-subject"
    assert "'computer_science'" in error.fix


@pytest.mark.parametrize("name", ["TIGER-Lab/MMLU-Pro", "someone/copy:data"])
def test_hub_data_set_reads_as_its_files_do(tmp_path, monkeypatch, name):
    local = read_mmlu(".", base=write_pro(tmp_path))
    asked: list[tuple[HubLocation, list[str]]] = []

    def fetch(location, patterns):
        asked.append((location, list(patterns)))
        return tmp_path

    monkeypatch.setattr("quantgate.corpus.mmlu_tables.fetch", fetch)
    corpus = read_mmlu(f"hub:{name}@{COMMIT}", base=tmp_path)
    assert corpus.questions == local.questions
    assert corpus.digest == local.digest
    ((location, patterns),) = asked
    assert location.revision == COMMIT
    assert patterns == ["data/validation-*.parquet", "data/test-*.parquet"]
