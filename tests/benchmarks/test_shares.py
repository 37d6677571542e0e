"""The fixed part of MMLU's questions, and what times are multiplied by."""

import csv
import json

import pytest

from benchmarks.peers.local_data import write_mmlu
from benchmarks.peers.questions import read_task
from benchmarks.peers.shares import Scale
from tests import tiny_corpora
from tests.straightforward import read_rows

SHARE = 10


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Subjects of 23, of 10 and of 3 questions."""
    folder = tmp_path_factory.mktemp("questions")
    for number, (subject, count) in enumerate({"anatomy": 23, "virology": 10, "law": 3}.items()):
        tiny_corpora.write_mmlu(folder, subjects=[subject], questions=count, seed=number)
    return folder


@pytest.mark.parametrize(
    ("subject", "rows"), [("anatomy", [0, 10, 20]), ("virology", [0]), ("law", [0])]
)
def test_every_tenth_question_is_written_for_the_peers(questions, tmp_path, subject, rows):
    folder = write_mmlu(questions, [subject], tmp_path, share=SHARE)
    lines = (folder / subject / "test.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    source = read_rows(questions, "test", subject)
    assert [[w["question"], *w["choices"], "ABCD"[w["answer"]]] for w in written] == [
        source[row] for row in rows
    ]


def test_shots_are_all_written(questions, tmp_path):
    folder = write_mmlu(questions, ["anatomy"], tmp_path, share=SHARE)
    lines = (folder / "anatomy" / "dev.jsonl").read_text("utf-8").splitlines()
    shots = read_rows(questions, "dev", "anatomy")
    assert [json.loads(line)["question"] for line in lines] == [row[0] for row in shots]
    assert len(lines) == 5


def test_our_part_is_the_peers_part(questions, tmp_path):
    subjects = ["anatomy", "law", "virology"]
    folder = write_mmlu(questions, subjects, tmp_path, share=SHARE)
    theirs = [
        json.loads(line)["question"]
        for subject in subjects
        for line in (folder / subject / "test.jsonl").read_text("utf-8").splitlines()
    ]
    task = read_task(questions, subjects, shots=5, share=SHARE)
    ours = [question.text for question in task._corpus.questions]
    assert ours == theirs
    assert len(ours) == 5


def test_without_a_share_all_questions_are_asked(questions, tmp_path):
    folder = write_mmlu(questions, ["anatomy"], tmp_path)
    lines = (folder / "anatomy" / "test.jsonl").read_text("utf-8").splitlines()
    with (questions / "test" / "anatomy_test.csv").open(encoding="utf-8", newline="") as file:
        assert len(lines) == len(list(csv.reader(file))) == 23
    assert len(read_task(questions, ["anatomy"], shots=5)._corpus.questions) == 23


def test_times_are_scaled_by_tokens():
    # Every second: 100 + 300 of 600, and 50 of 60.
    scale = Scale.of([[100, 200, 300], [50, 10]], 2)
    assert scale == Scale(subjects=2, whole=(300, 200, 100, 50, 10), part=(300, 100, 50))
    assert scale.by_questions == pytest.approx(5 / 3)
    assert scale.by_tokens() == pytest.approx(660 / 450)


def test_a_batch_computes_its_longest_prompt_for_all():
    scale = Scale.of([[100, 200, 300], [50, 10]], 2)
    # Sorted and cut in twos: (300, 200), (100, 50), (10); of the part (300, 100), (50).
    assert scale.by_tokens(2) == pytest.approx((2 * 300 + 2 * 100 + 10) / (2 * 300 + 50))
    assert scale.by_tokens(8) == pytest.approx(5 * 300 / (3 * 300))


def test_a_share_of_one_scales_nothing():
    scale = Scale.of([[7, 8, 9]], 1)
    assert (scale.by_questions, scale.by_tokens(), scale.by_tokens(8)) == (1.0, 1.0, 1.0)
