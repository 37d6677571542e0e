"""Questions by subject, each in training or held out by a hash of its content."""

import hashlib
import random
from enum import Enum

from tools.reference_model.subjects import SUBJECTS, Draft
from tools.reference_model.template import Question


class Split(Enum):
    """What a question may be used for."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


_OPTIONS = 4
_DEV_BELOW = 16
_TEST_BELOW = 56


def split_of(question: Question) -> Split:
    """Say which split a question belongs to, whoever draws it and in whatever order."""
    first = hashlib.sha256(question.canonical.encode()).digest()[0]
    if first < _DEV_BELOW:
        return Split.DEV
    return Split.TEST if first < _TEST_BELOW else Split.TRAIN


def _finish(rng: random.Random, draft: Draft, position: int) -> Question:
    wrong = rng.sample([word for word in draft.pool if word != draft.answer], _OPTIONS - 1)
    options = [*wrong[:position], draft.answer, *wrong[position:]]
    return Question(draft.text, (options[0], options[1], options[2], options[3]), position)


def draw(rng: random.Random, subject: str, split: Split, position: int | None = None) -> Question:
    """Draw a question of a split; its answer's position is random unless given."""
    while True:
        place = rng.randrange(_OPTIONS) if position is None else position
        question = _finish(rng, SUBJECTS[subject](rng), place)
        if split_of(question) is split:
            return question


def draw_distinct(seed: int, subject: str, split: Split, count: int) -> list[Question]:
    """Draw questions that differ, the four letters being right equally often among them."""
    rng = random.Random(f"{seed} {subject} {split.value}")
    positions = [at % _OPTIONS for at in range(count)]
    rng.shuffle(positions)
    seen: set[str] = set()
    questions: list[Question] = []
    for position in positions:
        question = draw(rng, subject, split, position)
        while question.canonical in seen:
            question = draw(rng, subject, split, position)
        seen.add(question.canonical)
        questions.append(question)
    return questions
