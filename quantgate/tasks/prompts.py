"""MMLU prompts, to the character.

Template `hendrycks` (Hendrycks et al. 2021, `evaluate.py`): the header names the subject after two
spaces, because the original joins "about" and a subject that begins with one; the question is not
stripped. A shot is a body, one space, the letter and two newlines.
"""

from __future__ import annotations

from collections.abc import Sequence

from quantgate.corpus.questions import LETTERS, Question

HEADERS = {
    "hendrycks": "The following are multiple choice questions (with answers) about  {subject}.\n\n",
}


def header(template: str, subject: str) -> str:
    """First line of every prompt of `subject`; KeyError for an unknown template."""
    return HEADERS[template].format(subject=subject.replace("_", " "))


def body(question: Question) -> str:
    """Question, options and `Answer:`, joined by newlines; nothing after the colon."""
    options = (f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=True))
    return "\n".join((question.text, *options, "Answer:"))


def shot(question: Question) -> str:
    """A solved question."""
    return f"{body(question)} {LETTERS[question.answer]}\n\n"


def prompt(template: str, shots: Sequence[Question], question: Question) -> str:
    """Header, shots and the question to answer."""
    return header(template, question.subject) + "".join(map(shot, shots)) + body(question)
