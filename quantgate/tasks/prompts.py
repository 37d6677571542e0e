"""MMLU prompts, to the character.

All templates share the body: the question, a line `A. ...` for each option, `Answer:`; joined by
newlines, nothing after the colon. A shot is a body, one space, the letter and two newlines.

`hendrycks` (Hendrycks et al. 2021, `evaluate.py`): the header names the subject after two spaces,
because the original joins "about" and a subject that begins with one.
`lm_eval` (lm-evaluation-harness, task `mmlu`): one space, and the question is stripped; the options
are not.
`mmlu_pro` (lm-evaluation-harness, task `leaderboard_mmlu_pro`): no header, nothing is stripped, and
every question has the same shots, the first of the validation split whatever their subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.questions import Question

_HEADER = "The following are multiple choice questions (with answers) about"


@dataclass(frozen=True, slots=True)
class Template:
    """What differs between templates.

    Attributes:
        header: what a prompt begins with; `{subject}` stands for the subject.
        strips: whether white space around a question is taken away.
        common: whether all subjects have the same shots.
    """

    header: str
    strips: bool = False
    common: bool = False


TEMPLATES: Mapping[str, Template] = {
    "hendrycks": Template(_HEADER + "  {subject}.\n\n"),
    "lm_eval": Template(_HEADER + " {subject}.\n\n", strips=True),
    "mmlu_pro": Template("", common=True),
}


def header(template: str, subject: str) -> str:
    """First line of every prompt of `subject`; KeyError for an unknown template."""
    return TEMPLATES[template].header.format(subject=subject.replace("_", " "))


def body(template: str, question: Question) -> str:
    """Question, options and `Answer:`, joined by newlines; nothing after the colon."""
    text = question.text.strip() if TEMPLATES[template].strips else question.text
    options = zip(question.letters, question.options, strict=True)
    return "\n".join((text, *(f"{letter}. {option}" for letter, option in options), "Answer:"))


def shot(template: str, question: Question) -> str:
    """A solved question."""
    return f"{body(template, question)} {question.letters[question.answer]}\n\n"


def prompt(template: str, shots: Sequence[Question], question: Question) -> str:
    """Header, shots and the question to answer."""
    solved = "".join(shot(template, each) for each in shots)
    return header(template, question.subject) + solved + body(template, question)


def shots_of(template: str, corpus: MmluCorpus, question: Question, k: int) -> tuple[Question, ...]:
    """The `k` shots that `question` comes after.

    Raises:
        UsageFault: `mmlu-shots` where the corpus has fewer.
    """
    if TEMPLATES[template].common:
        return corpus.common_shots(k)
    return corpus.shots_for(question.subject, k)
