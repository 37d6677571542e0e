"""MMLU-Pro in the hub's layout: `data/{validation,test}-*.parquet`, as `TIGER-Lab/MMLU-Pro` has it.

Columns question_id, question, options (a list of text, at most ten), answer (letter), answer_index
(position, from 0) and category; others are not read. Categories are the subjects. Options stay as
the file has them: some copies pad the lists to ten with `N/A`, which lm-evaluation-harness's
`leaderboard_mmlu_pro` lists like any other, while the authors' own script drops them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantgate.corpus.files import DataFile
from quantgate.corpus.hub import parquet_files, parquet_rows
from quantgate.corpus.questions import LETTERS, Question, Row, to_questions

DATA: Final = "data"
TEST: Final = "test"
VALIDATION: Final = "validation"
PADDING: Final = "N/A"
_COLUMNS: Final = ("question_id", "question", "options", "answer", "answer_index", "category")
# The data set's questions have three or more; two are the fewest that leave a choice.
_OPTIONS: Final = range(2, len(LETTERS) + 1)


@dataclass(frozen=True, slots=True)
class ProSplit:
    """A split: its questions by subject, the same in the files' order, and the files."""

    by_subject: Mapping[str, tuple[Question, ...]]
    in_order: tuple[Question, ...]
    files: tuple[DataFile, ...]


def is_pro(folder: Path) -> bool:
    """Whether a folder has MMLU-Pro's test files."""
    return any((folder / DATA).glob(f"{TEST}-*.parquet"))


def parse_pro(folder: Path, split: str) -> ProSplit:
    """Parse a split (`validation` or `test`); one without files has no questions.

    Raises:
        UsageFault: a file can't be read, or has rows that are no questions.
    """
    files = parquet_files(folder, DATA, split)
    rows: dict[str, list[Row]] = {}
    order: list[tuple[str, int]] = []
    for number, record in enumerate(parquet_rows(files, _COLUMNS) if files else []):
        subject = str(record["category"] or "").strip().replace(" ", "_")
        listed = rows.setdefault(subject, [])
        order.append((subject, len(listed)))
        listed.append(_row(record, subject, f"row {number}"))
    name = f"{DATA}/{split}"
    by_subject = {
        subject: to_questions(subject, listed, name=name, options=_OPTIONS)
        for subject, listed in rows.items()
    }
    in_order = tuple(by_subject[subject][index] for subject, index in order)
    return ProSplit(by_subject, in_order, tuple(files))


def _row(record: dict[str, Any], subject: str, where: str) -> Row:
    answer, index = record["answer"], record["answer_index"]
    options = tuple(option or "" for option in record["options"] or ())
    named = {letter: n for n, letter in enumerate(LETTERS[: len(options)])}.get(answer)
    number = record["question_id"]
    wrong = ""
    if not subject:
        wrong = "the category is empty"
    elif not isinstance(number, int):
        wrong = f"question_id is {number!r}"
    elif named is not None and index != named:
        wrong = f"the answer is {answer}, and answer_index {index}"
    return Row(record["question"] or "", options, named, where, number=number, wrong=wrong)
