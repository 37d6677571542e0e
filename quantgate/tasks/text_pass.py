"""A text's windows as requests, and per-token vectors from their answers.

A candidate is compared with its reference's kept rows, a reference with its own, sent through its
head once more: its divergence of 0 proves the way that later runs will take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    def places(self) -> list[int | None]:
        """Where the rows of each window that is compared are kept: they follow each other.

        Where all windows are there, that is where they begin.
        """
        sizes = [window.end - window.begin if window.whole else 0 for window in self.windows]
        starts = (np.cumsum(sizes) - sizes).tolist()
        return [start if w.whole else None for w, start in zip(self.windows, starts, strict=True)]

    @property
    def requests(self) -> list[LoglikelihoodRolling]:
        """One request per window; a target may lie just behind its window."""
        ids = (*self.ids.tolist(), NO_TARGET)
        return [
            LoglikelihoodRolling(
                ids[w.begin : w.end],
                w.scored,
                tuple(ids[w.begin + w.scored.start + 1 : w.begin + w.scored.stop + 1]),
                place,
            )
            for w, place in zip(self.windows, self.places, strict=True)
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
    """Per position `[N]`: see `metrics.divergence`; NaN where no window was compared."""

    kl: Vector
    abs_log_ratio: Vector
    same_top: Vector

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Which positions have a divergence, `[N]`."""
        compared: NDArray[np.bool_] = ~np.isnan(self.kl)
        return compared


def read_answers(items: TextItems, answers: Answers) -> TextSamples:
    """Per-token figures from the windows' answers."""
    strided, disjoint, following = np.full((3, len(items.ids)), np.nan)
    given = np.stack([answers.kl, answers.abs_log_ratio, answers.same_top])
    compared = np.full((3, len(items.ids)), np.nan)
    for number, (window, place) in enumerate(zip(items.windows, items.places, strict=True)):
        logprobs = answers.logprobs[answers.of(number)]
        first = window.begin + window.scored.start + 1
        for vector, due in ((strided, window.targets), (disjoint, window.disjoint)):
            vector[due.start : due.stop] = logprobs[due.start - first : due.stop - first]
        if window.whole:
            following[window.begin : window.end] = logprobs
        if place is not None and given.size:
            size = window.end - window.begin
            compared[:, window.begin : window.end] = given[:, place : place + size]
    found = DivergenceSamples(*compared) if given.size else None
    return TextSamples(strided, disjoint, following, found)


def merge_samples(parts: Sequence[TextSamples]) -> TextSamples:
    """The figures of windows that were asked in parts; no two parts share a target."""
    found = [part.divergence for part in parts if part.divergence is not None]
    return TextSamples(
        _filled([part.strided for part in parts]),
        _filled([part.disjoint for part in parts]),
        _filled([part.next_token for part in parts]),
        DivergenceSamples(
            _filled([each.kl for each in found]),
            _filled([each.abs_log_ratio for each in found]),
            _filled([each.same_top for each in found]),
        )
        if found
        else None,
    )


def _filled(vectors: Sequence[Vector]) -> Vector:
    whole = vectors[0].copy()
    for vector in vectors[1:]:
        np.copyto(whole, vector, where=~np.isnan(vector))
    return whole
