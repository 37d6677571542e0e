"""Per-item results of a measurement: what a later run, or a baseline, is paired against.

They are read from a measurement's `detail`, so whatever keeps a measurement (`results.json`, the
side file of a baseline) can be paired. Two shapes are enough: answers to questions, and sums over
the windows or documents of a text, over generations, or over the rounds of a timing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from quantgate.corpus.questions import LETTERS
from quantgate.metrics.choice import UNREADABLE
from quantgate.results import Measurement

NOT_ASKED: Final = -2
_MARKS: Final = {"-": UNREADABLE, ".": NOT_ASKED}


@dataclass(frozen=True, slots=True)
class ChoiceItems:
    """Answers to questions, by subject and in the corpus' order, all `[questions]`.

    Attributes:
        subjects: subject of each question.
        chosen: number of the option chosen; `UNREADABLE`, or `NOT_ASKED` where a sequential run
            stopped before.
        gold: number of the right option.
    """

    subjects: tuple[str, ...]
    chosen: NDArray[np.int8]
    gold: NDArray[np.int8]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which questions have an answer."""
        asked: NDArray[np.bool_] = self.chosen != NOT_ASKED
        return asked

    @property
    def correct(self) -> NDArray[np.float64]:
        """1.0 where the answer is right, else 0.0."""
        right: NDArray[np.bool_] = self.chosen == self.gold
        return right.astype(np.float64)


@dataclass(frozen=True, slots=True)
class WindowItems:
    """Sums over windows of a text, or over its documents.

    Attributes:
        begins: the first id of each window, or the number of each document, `[windows]`.
        counts: by metric, how many positions (tokens, words, bytes) each window holds.
        sums: by metric, the sum over them: nats of negative log-probability for perplexities, the
            figure itself for those of a divergence.
    """

    begins: NDArray[np.int64]
    counts: Mapping[str, NDArray[np.float64]]
    sums: Mapping[str, NDArray[np.float64]]


ItemResults = ChoiceItems | WindowItems


def items_of(measurement: Measurement) -> ItemResults | None:
    """The per-item results that a measurement holds; None where it holds none.

    Raises:
        KeyError, TypeError or ValueError: its detail is damaged.
    """
    detail = measurement.detail
    if "answers" in detail:
        return _choices(detail["answers"])
    if "documents" in detail:
        return _documents(detail["documents"])
    if "generations" in detail:
        return _generations(detail["generations"])
    if "windows" in detail:
        return _windows(detail["windows"])
    if "paired_rounds" in detail:
        return _rounds(detail["paired_rounds"])
    return None


def _choices(answers: Mapping[str, Mapping[str, str]]) -> ChoiceItems:
    names = sorted(answers)
    subjects = tuple(name for name in names for _ in answers[name]["gold"])
    chosen = "".join(answers[name]["chosen"] for name in names)
    gold = "".join(answers[name]["gold"] for name in names)
    if len(chosen) != len(gold):
        raise ValueError(f"{len(chosen)} answers to {len(gold)} questions")
    return ChoiceItems(subjects, _numbers(chosen), _numbers(gold))


def _numbers(letters: str) -> NDArray[np.int8]:
    return np.array(
        [_MARKS[letter] if letter in _MARKS else LETTERS.index(letter) for letter in letters],
        dtype=np.int8,
    )


def _windows(windows: Sequence[Mapping[str, Any]]) -> WindowItems:
    """Windows of a perplexity have sums of nats; those of a divergence have means by metric."""
    begins = np.array([window["begin"] for window in windows], dtype=np.int64)
    counts, sums = {}, {}
    if windows and "nll_nats" in windows[0]:
        counts["perplexity"] = _column(windows, "n")
        sums["perplexity"] = _column(windows, "nll_nats")
    for metric in ("kl_mean", "top1_agreement", "log_perplexity_ratio"):
        if windows and metric in windows[0]:
            size = "n_next" if metric == "log_perplexity_ratio" else "n"
            counts[metric] = _column(windows, size)
            sums[metric] = _column(windows, metric) * counts[metric]
    return WindowItems(begins, counts, sums)


def _documents(documents: Sequence[Mapping[str, Any]]) -> WindowItems:
    nats = _column(documents, "nll_nats")
    words, size = _column(documents, "words"), _column(documents, "bytes")
    return WindowItems(
        np.arange(len(documents)),
        {"word_perplexity": words, "byte_perplexity": size, "bits_per_byte": size},
        {
            "word_perplexity": nats,
            "byte_perplexity": nats,
            "bits_per_byte": nats / float(np.log(2)),
        },
    )


def _rounds(ratios: Mapping[str, Sequence[float]]) -> WindowItems:
    """Ratios to the reference by metric, one a round; a round counts as one position."""
    sums = {metric: np.array(each, dtype=np.float64) for metric, each in ratios.items()}
    count = max(map(len, sums.values()), default=0)
    if any(len(each) != count for each in sums.values()):
        raise ValueError(f"figures of {sorted({len(each) for each in sums.values()})} rounds")
    return WindowItems(np.arange(count), {metric: np.ones(count) for metric in sums}, sums)


def _generations(generations: Sequence[Mapping[str, Any]]) -> WindowItems:
    """Every generation counts the same, however long it is."""
    one = np.ones(len(generations))
    sums = {
        "matched_share": _column(generations, "matched") / _column(generations, "tokens"),
        "identical": _column(generations, "identical"),
    }
    return WindowItems(np.arange(len(generations)), dict.fromkeys(sums, one), sums)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)
