"""A multiple-choice question, and what it takes to be one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.errors import UsageFault

LETTERS: Final = "ABCD"
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options; all texts are exactly as the file has them.

    Attributes:
        subject: subject's name, with underscores.
        row: row in the subject's file, from 0.
        text: the question.
        options: the four options, in order.
        answer: position of the right option, from 0.
    """

    subject: str
    row: int
    text: str
    options: tuple[str, ...]
    answer: int

    @property
    def id(self) -> str:
        """`<subject>/<row>`."""
        return f"{self.subject}/{self.row}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row as a file has it: `answer` is None where it names no option; `where` is for messages.

    `options` may have any length.
    """

    text: str
    options: tuple[str, ...]
    answer: int | None
    where: str


def to_questions(subject: str, rows: Sequence[Row], *, name: str) -> tuple[Question, ...]:
    """Check a subject's rows, all of them, and return them as questions in the same order.

    Raises:
        UsageFault: rows have an empty question or option, another number of options than four, or
            an answer that names none of them; the message lists the rows.
    """
    wrong = [f"{row.where}: {finding}" for row in rows if (finding := _finding(row))]
    if wrong:
        raise UsageFault(
            "mmlu-rows",
            need=f"{name}: a question, four options and an answer from A to D in every row",
            found=listed(wrong),
            fix=f"correct these rows of {name}; none is left out or mended on the way",
        )
    return tuple(
        Question(subject, index, row.text, row.options, row.answer)
        for index, row in enumerate(rows)
        if row.answer is not None
    )


def listed(findings: Sequence[str]) -> str:
    """Join findings, the first ten in full."""
    more = len(findings) - _LISTED
    return "; ".join(findings[:_LISTED]) + (f"; and {more} more" if more > 0 else "")


def repeated(questions: Iterable[Question]) -> int:
    """Count questions whose text and options are those of an earlier one."""
    everything = [(question.text, question.options) for question in questions]
    return len(everything) - len(set(everything))


def _finding(row: Row) -> str:
    if len(row.options) != len(LETTERS):
        return f"{len(row.options)} options"
    if row.answer is None or not 0 <= row.answer < len(LETTERS):
        return "the answer is none of A, B, C, D"
    if not row.text.strip():
        return "the question is empty"
    empty = [letter for letter, text in zip(LETTERS, row.options, strict=True) if not text.strip()]
    return f"option {', '.join(empty)} is empty" if empty else ""
