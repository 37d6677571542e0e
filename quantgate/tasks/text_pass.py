"""A text's windows as requests, and per-token vectors from their answers.

A candidate is compared with its reference's kept rows, a reference with its own, sent through its
head once more: its divergence of 0 proves the way that later runs will take.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantgate.answers import Answers
from quantgate.requests import NO_TARGET, LoglikelihoodRolling
from quantgate.tasks.windows import DISJOINT, Window

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextItems:
    """A text as one id sequence and the windows over it."""

    ids: NDArray[np.int64]
    windows: tuple[Window, ...]

    @property
    def requests(self) -> list[LoglikelihoodRolling]:
        """One request per window; a target may lie just behind its window."""
        ids = (*self.ids.tolist(), NO_TARGET)
        return [
            LoglikelihoodRolling(
                ids[w.begin : w.end],
                w.scored,
                tuple(ids[w.begin + w.scored.start + 1 : w.begin + w.scored.stop + 1]),
                w.begin if w.whole else None,
            )
            for w in self.windows
        ]

    def name(self, request: int) -> str:
        """The window's span."""
        window = self.windows[request]
        return f"tokens {window.begin} to {window.end} of the text"

    @property
    def contexts(self) -> list[list[int]]:
        """The one sequence."""
        return [self.ids.tolist()]

    @property
    def digest(self) -> str:
        """SHA-256 over the ids."""
        return hashlib.sha256(self.ids.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class TextSamples:
    """Per-token figures of one model, over N ids.

    Attributes:
        strided: log-probability of id t in its strided window, `[N]`; NaN where none scores it.
        disjoint: the same in its disjoint window of the perplexity.
        next_token: log-probability of id t+1 at position t of its divergence window, `[N]`; NaN
            at N-1, which has no next.
        divergence: figures against the reference, or None for a reference.
    """

    strided: Vector
    disjoint: Vector
    next_token: Vector
    divergence: DivergenceSamples | None

    def logprobs(self, protocol: str) -> Vector:
        """Log-probabilities by a perplexity protocol, `[N]`."""
        return self.disjoint if protocol == DISJOINT else self.strided


@dataclass(frozen=True, slots=True)
class DivergenceSamples:
    """Per position `[N]`: see `metrics.divergence`."""

    kl: Vector
    abs_log_ratio: Vector
    same_top: Vector


def read_answers(items: TextItems, answers: Answers) -> TextSamples:
    """Per-token figures from the windows' answers."""
    strided, disjoint, following = np.full((3, len(items.ids)), np.nan)
    for number, window in enumerate(items.windows):
        logprobs = answers.logprobs[answers.of(number)]
        first = window.begin + window.scored.start + 1
        for vector, due in ((strided, window.targets), (disjoint, window.disjoint)):
            vector[due.start : due.stop] = logprobs[due.start - first : due.stop - first]
        if window.whole:
            following[window.begin : window.end] = logprobs
    found = DivergenceSamples(answers.kl, answers.abs_log_ratio, answers.same_top)
    return TextSamples(strided, disjoint, following, found if len(answers.kl) else None)
