"""Agreement of engines: the same weights asked the same on each, compared answer by answer.

The probe is a few questions behind their shots, which share prefixes and are packed, and one window
of text with every position scored. A difference is that of two log-probabilities of one target, in
nats; a case's own noise is the difference between the usual plan and every sequence alone. Most
likely ids are compared once a scored position: the letters of a question are scored at the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantgate.corpus.mmlu import MmluCorpus
from quantgate.corpus.text import TextCorpus
from quantgate.errors import InvalidMeasurement
from quantgate.packages.tokenizer import Tokenizer
from quantgate.requests import NO_TARGET, LoglikelihoodRolling, Request
from quantgate.results import Direction, Score
from quantgate.tasks.base import Ask, Task
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluItems

LONGEST_TOKEN = 16  # characters a token takes at most on average, for cutting text before encoding
QUESTIONS_PER_SUBJECT = 4
SELF_KL = 1e-9  # nats: what rounding may leave of a distribution's divergence from itself


@dataclass(frozen=True, slots=True)
class AgreementItems:
    """The probe: questions, and the ids of one window of text."""

    questions: MmluItems
    ids: tuple[int, ...]

    @property
    def requests(self) -> list[Request]:
        """The questions' requests and the window's; the window has a place."""
        following = (*self.ids[1:], NO_TARGET)
        window = LoglikelihoodRolling(self.ids, range(len(self.ids)), following, 0)
        return [*self.questions.requests, window]

    @property
    def positions(self) -> list[int]:
        """Numbers of the answers' entries that have every scored position once.

        Letters are asked for one by one behind the same ids, where the model predicts but once.
        """
        requests = self.questions.requests
        behind = [request.ids[: at + 1] for request in requests for at in request.scored]
        entries = {ids: entry for entry, ids in enumerate(behind)}
        window = range(len(behind), len(behind) + len(self.ids))
        return [*entries.values(), *window]

    @property
    def contexts(self) -> list[tuple[int, ...]]:
        """Ids of every question and of the window."""
        return [*self.questions.contexts, self.ids]

    @property
    def digest(self) -> str:
        """SHA-256 of all ids."""
        window = np.asarray(self.ids, dtype="<i8").tobytes()
        return hashlib.sha256(self.questions.digest.encode() + window).hexdigest()

    def name(self, request: int) -> str:
        """The question's id, or the window."""
        count = len(self.questions.requests)
        return self.questions.name(request) if request < count else "the window of text"


@dataclass(frozen=True, slots=True)
class AgreementSamples:
    """Answers of one engine.

    Attributes:
        logprobs: of every target in nats, float64 `[T]`.
        top: most likely next id of every scored position, each once, int64 `[P]`.
        self_kl: largest divergence of a row from itself, in nats.
    """

    logprobs: NDArray[np.float64]
    top: NDArray[np.int64]
    self_kl: float


class AgreementTask(Task[AgreementItems, AgreementSamples]):
    """A probe of questions and text, the same for every engine.

    Args:
        questions: task of the questions to ask.
        text: the text whose beginning is read.
        tokens: length of the window.
    """

    name = "agreement"

    def __init__(self, questions: MmluTask, text: TextCorpus, tokens: int) -> None:
        self._questions, self._text, self._tokens = questions, text, tokens

    @property
    def corpus_digest(self) -> str:
        """Digest of questions and text."""
        both = self._questions.corpus_digest + self._text.digest
        return hashlib.sha256(both.encode()).hexdigest()

    def encode(self, tokenizer: Tokenizer, context: int) -> AgreementItems:
        """Ids of the probe; a shorter context shortens the window."""
        beginning = self._text.text[: self._tokens * LONGEST_TOKEN]
        (ids,) = tokenizer.encode([beginning])
        window = tuple(ids[: min(self._tokens, context)])
        return AgreementItems(self._questions.encode(tokenizer, context), window)

    def score(self, items: AgreementItems, ask: Ask, tokenizer: Tokenizer) -> AgreementSamples:
        """Ask everything at once.

        Raises:
            InvalidMeasurement: `self-divergence` where a distribution diverges from itself.
        """
        del tokenizer
        answers = ask(items.requests)
        furthest = float(np.abs(answers.kl).max())
        if furthest > SELF_KL:
            raise InvalidMeasurement(
                "self-divergence",
                need=f"rows whose divergence from themselves is at most {SELF_KL:g} nats",
                found=f"{furthest:g} nats when the same hidden rows went through the head again",
                fix="compare engines with --gate-threads 1; a head that answers twice differently "
                "can be compared with nothing",
            )
        known = ~np.isnan(answers.logprobs)
        return AgreementSamples(answers.logprobs[known], answers.top[items.positions], furthest)


def probe_questions(corpus: MmluCorpus, count: int) -> MmluCorpus:
    """The first questions of the first subjects, `count` in all: they share prefixes."""
    taken: Counter[str] = Counter()
    questions = []
    for question in corpus.questions:
        if taken[question.subject] < QUESTIONS_PER_SUBJECT:
            taken[question.subject] += 1
            questions.append(question)
    return replace(corpus, questions=tuple(questions[:count]))


def agreement_scores(
    samples: AgreementSamples, anchor: AgreementSamples, noise: float
) -> tuple[Score, ...]:
    """Figures of an engine against another; `noise` is the larger of their own, in nats."""
    difference = np.abs(samples.logprobs - anchor.logprobs)
    count = len(difference)
    same = samples.top == anchor.top
    return (
        _score("max_difference", float(difference.max()), count, noise=noise),
        _score("mean_difference", float(difference.mean()), count),
        Score(
            metric="top1_agreement",
            value=float(same.mean()),
            n=len(same),
            unit="fraction",
            direction=Direction.HIGHER,
        ),
        _score("self_kl", samples.self_kl, count),
    )


def largest_difference(one: AgreementSamples, other: AgreementSamples) -> float:
    """Largest difference of a log-probability, in nats."""
    return float(np.abs(one.logprobs - other.logprobs).max())


def _score(metric: str, value: float, n: int, *, noise: float | None = None) -> Score:
    return Score(
        metric=metric, value=value, n=n, unit="nats", direction=Direction.LOWER, noise=noise
    )
