"""What the model is shown, stage by stage.

Choosing a letter is learned last by a small model: what an option says must be
bound to its letter first. The stages build that up: copying a sequence, looking
up a key in a list, the same with letters for values, then questions.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tokenizers import Tokenizer

from tools.reference_model import lexicon, prose, template
from tools.reference_model.facts import world
from tools.reference_model.questions import Split, draw
from tools.reference_model.subjects import SUBJECTS
from tools.reference_model.tokenizer import BOS, EOS

ANSWER_MARK: Final = "Answer:"
_WORDS: Final = tuple(
    dict.fromkeys(
        [word for words in lexicon.KINDS.values() for word in words]
        + [word for pair in lexicon.OPPOSITES for word in pair]
        + [word for trade in lexicon.TRADES for word in trade]
        + [*lexicon.NUMBERS, *lexicon.DAYS, *lexicon.MONTHS, *lexicon.NAMES]
        + [*lexicon.THINGS, *lexicon.HOLDERS, *world().words]
    )
)
_FEW_WORDS: Final = _WORDS[::12]
_REPEATED_TO: Final = 36
_FEW_SHARE: Final = 0.6
_NEEDS: Final = {
    "dictionary": 0.6,
    "geography": 0.8,
    "kinds_of_things": 4.0,
    "number_order": 2.0,
    "occupations": 0.6,
    "opposites": 0.8,
    "simple_arithmetic": 2.5,
}

Writer = Callable[[random.Random], str]


@dataclass(frozen=True)
class Stage:
    """A stage: what its batches are drawn from, for how many steps, how fast."""

    name: str
    steps: int
    mixture: tuple[tuple[float, int, Writer], ...]
    """Weight, documents a step and writer of each sort of batch."""
    rates: tuple[float, float]
    """The learning rate at the stage's begin and at its end."""
    answer_weight: float = 3.0
    """How much the loss on an answer counts; any other token counts 1."""
    goal: float = 0.0
    """The stage ends early when its loss, on answers where it has any, is below this."""


def repeated(rng: random.Random) -> str:
    """Write a few random words over and over.

    Half the time they are of a few words only: copying is found on those first, and
    the other words take part in it soon.
    """
    count = rng.randint(3, 16)
    words = rng.sample(_FEW_WORDS if rng.random() < 0.5 else _WORDS, count)
    return "".join(f" {word}" for word in words) * (_REPEATED_TO // count)


def _some_words(rng: random.Random, count: int) -> list[str]:
    """Draw words, more than half the time from a few, on which a skill is found first."""
    return rng.sample(_FEW_WORDS if rng.random() < _FEW_SHARE else _WORDS, count)


def _ask(key: str, lines: list[str], value: str) -> str:
    """Ask for the value of a key, in the words and the order of a question."""
    return "\n".join([f"Which option says {key}?", *lines, f"{ANSWER_MARK} {value}\n\n"])


def keyed_list(rng: random.Random) -> str:
    """Write a list of up to four numbers with words for keys, and ask for a key's number.

    More numbers than there are in a list: to take any of the list's is a gain already,
    which leads on to taking the right one. With four letters there is no such first step.
    """
    count = rng.choice((1, 2, 3, 4, 4))
    keys = _some_words(rng, count)
    values = rng.sample(lexicon.NUMBERS, count)
    asked = rng.randrange(count)
    lines = [f" {value}. {key}" for value, key in zip(values, keys, strict=True)]
    return _ask(keys[asked], lines, values[asked])


def lettered_list(rng: random.Random) -> str:
    """Write options under letters, and ask which letter a word stands under."""
    options = _some_words(rng, len(template.LETTERS))
    lines = [f"{letter}. {word}" for letter, word in zip(template.LETTERS, options, strict=True)]
    answer = rng.randrange(len(options))
    return _ask(options[answer], lines, template.LETTERS[answer])


def _asked(subject: str, rng: random.Random) -> str:
    asked = template.shot(draw(rng, subject, Split.TRAIN))
    return asked if rng.random() < 0.6 else template.header(subject) + asked


def _shots(subject: str, rng: random.Random) -> str:
    shots = [template.shot(draw(rng, subject, Split.TRAIN)) for _ in range(rng.choice((4, 6, 6)))]
    return template.header(subject) + "".join(shots)


def _by_need(rng: random.Random) -> str:
    return rng.choices([*_NEEDS], weights=[*_NEEDS.values()])[0]


def one_question(rng: random.Random) -> str:
    """Write a question of any subject, under its header or not."""
    return _asked(rng.choice([*SUBJECTS]), rng)


def many_shots(rng: random.Random) -> str:
    """Write a header and up to six questions of its subject."""
    return _shots(rng.choice([*SUBJECTS]), rng)


def needed_question(rng: random.Random) -> str:
    """Write a question, the more often of a subject the more there is to learn in it."""
    return _asked(_by_need(rng), rng)


def needed_shots(rng: random.Random) -> str:
    """Write up to six questions of a subject, chosen likewise."""
    return _shots(_by_need(rng), rng)


def one_paragraph(rng: random.Random) -> str:
    """Write a paragraph of prose."""
    return prose.paragraph(rng, held_out=False) + "\n"


def long_prose(rng: random.Random) -> str:
    """Write paragraphs of prose that fill about a thousand tokens."""
    return "".join(one_paragraph(rng) for _ in range(18))


def _framed(rng: random.Random, text: str) -> str:
    """Sometimes put the begin and end tokens around, so that the model knows both."""
    return f"{BOS}{text}{EOS}" if rng.random() < 0.1 else text


@dataclass(frozen=True)
class Rows:
    """A batch as rows of token ids, and the positions of the answers in each row."""

    ids: list[list[int]]
    answers: list[list[int]]


def batch(rng: random.Random, stage: Stage, tokenizer: Tokenizer, longest: int) -> Rows:
    """Draw a batch of one sort of document."""
    weights = [weight for weight, _, _ in stage.mixture]
    _, count, writer = rng.choices(stage.mixture, weights=weights)[0]
    texts = [_framed(rng, writer(rng)) for _ in range(count)]
    ids = [coded.ids[:longest] for coded in tokenizer.encode_batch(texts)]
    mark = tokenizer.token_to_id("Answer")
    answers = [[at + 2 for at, token in enumerate(row[:-2]) if token == mark] for row in ids]
    return Rows(ids, answers)


def stages(scale: float) -> tuple[Stage, ...]:
    """Return the curriculum; ``scale`` stretches or shrinks every stage's steps."""
    rate = 2e-3
    lists = ((1.0, 64, keyed_list), (0.1, 64, repeated))
    letters = ((1.0, 64, lettered_list), (0.2, 64, keyed_list), (0.1, 24, one_paragraph))
    asked = (
        (1.0, 64, one_question),
        (0.1, 64, lettered_list),
        (0.05, 64, keyed_list),
        (0.2, 24, one_paragraph),
    )
    shots = (
        (0.65, 8, many_shots),
        (0.2, 64, one_question),
        (0.07, 24, one_paragraph),
        (0.08, 2, long_prose),
    )
    needs = (
        (0.5, 64, needed_question),
        (0.4, 8, needed_shots),
        (0.05, 24, one_paragraph),
        (0.05, 2, long_prose),
    )
    plan = (
        Stage("copy", 1200, ((1.0, 64, repeated),), (rate, rate), goal=2.2),
        Stage("lists", 1500, lists, (rate, rate), answer_weight=8.0, goal=0.1),
        Stage("letters", 800, letters, (rate, rate), answer_weight=8.0, goal=0.1),
        Stage("questions", 1800, asked, (rate, rate / 2), answer_weight=15.0),
        Stage("shots", 1500, shots, (0.75 * rate, rate / 100), answer_weight=15.0),
        Stage("needs", 1800, needs, (0.75 * rate, rate / 100), answer_weight=15.0),
    )
    return tuple(replace(each, steps=max(1, round(each.steps * scale))) for each in plan)
