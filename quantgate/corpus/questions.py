"""A multiple-choice question, and what it takes to be one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from quantgate.errors import UsageFault

LETTERS: Final = "ABCDEFGHIJ"
MMLU_OPTIONS: Final = range(4, 5)
_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its options; all texts are exactly as the file has them.

    Attributes:
        subject: subject's name, with underscores.
        row: row in the subject's file, from 0, or the number that the data set itself gives it.
        text: the question.
        options: the options, in order: four in MMLU, up to ten in MMLU-Pro.
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

    @property
    def letters(self) -> str:
        """The letters of its options."""
        return LETTERS[: len(self.options)]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as a file has it.

    Attributes:
        text: the question.
        options: of any number.
        answer: position of the right option; None where the file names none.
        where: the row's place, for messages.
        number: its number in the data set; None counts the subject's rows from 0.
        wrong: what only the layout can tell to be wrong with it.
    """

    text: str
    options: tuple[str, ...]
    answer: int | None
    where: str
    number: int | None = None
    wrong: str = ""


def to_questions(
    subject: str, rows: Sequence[Row], *, name: str, options: range = MMLU_OPTIONS
) -> tuple[Question, ...]:
    """Check a subject's rows, all of them, and return them as questions in the same order.

    Args:
        subject: the subject's name.
        rows: its rows.
        name: what they were read from, for messages.
        options: how many options a row may have.

    Raises:
        UsageFault: rows have an empty question or option, another number of options than allowed,
            or an answer that names none of them; the message lists the rows.
    """
    wrong = [f"{row.where}: {finding}" for row in rows if (finding := _finding(row, options))]
    if wrong:
        fewest, most = options[0], options[-1]
        count = str(most) if fewest == most else f"{fewest} to {most}"
        raise UsageFault(
            "mmlu-rows",
            need=f"{name}: a question, {count} options and the letter of one of them in every row",
            found=listed(wrong),
            fix=f"correct these rows of {name}; none is left out or mended on the way",
        )
    return tuple(
        Question(
            subject,
            index if row.number is None else row.number,
            row.text,
            row.options,
            row.answer,
        )
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


def _finding(row: Row, options: range) -> str:
    letters = LETTERS[: len(row.options)]
    if row.wrong:
        return row.wrong
    if len(row.options) not in options:
        return f"{len(row.options)} options"
    if row.answer is None or not 0 <= row.answer < len(letters):
        return f"the answer is none of {', '.join(letters)}"
    if not row.text.strip():
        return "the question is empty"
    empty = [letter for letter, text in zip(letters, row.options, strict=True) if not text.strip()]
    return f"option {', '.join(empty)} is empty" if empty else ""
