"""The multiple-choice template, to the character."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LETTERS: Final = "ABCD"


@dataclass(frozen=True)
class Question:
    """A multiple-choice question; ``answer`` is the position of the right option."""

    text: str
    options: tuple[str, str, str, str]
    answer: int

    @property
    def letter(self) -> str:
        """The right option's letter."""
        return LETTERS[self.answer]

    @property
    def canonical(self) -> str:
        """The question and its set of options, whatever their order."""
        return "\n".join([self.text, *sorted(self.options)])


def header(subject: str) -> str:
    """Write the line a prompt begins with; the two spaces are the template's own."""
    name = subject.replace("_", " ")
    return f"The following are multiple choice questions (with answers) about  {name}.\n\n"


def body(question: Question) -> str:
    """Write a question with its options, up to the colon after ``Answer``."""
    lines = [question.text]
    lines += [f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=True)]
    return "\n".join([*lines, "Answer:"])


def shot(question: Question) -> str:
    """Write a question that is answered."""
    return f"{body(question)} {question.letter}\n\n"


def prompt(subject: str, shots: Sequence[Question], question: Question) -> str:
    """Write the whole prompt, which the answer's letter would follow."""
    return header(subject) + "".join(map(shot, shots)) + body(question)
