"""Decisions on multiple-choice questions.

`loglikelihood`: the option whose letter has the highest log-likelihood; of equal ones the first,
as lm-evaluation-harness decides; ties are counted. `greedy`: the option whose letter the model's
own continuation begins with, white space left out, as ModelOpt's script decides; it measures
obedience to the format as well, and an answer that begins with no letter is never right. Accuracy
is the share of right decisions over the question set fixed before the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEGENERATE_SHARE = 0.9
CHANCE_Z = 1.6448536269514722  # one-sided 95 % quantile of the normal distribution
UNREADABLE = -1


@dataclass(frozen=True, slots=True)
class Decisions:
    """Per question, all `[questions]`.

    Attributes:
        chosen: number of the option chosen, `UNREADABLE` where the answer names none.
        gold: number of the right option.
        tied: whether the best two were equal.
        options: how many there are to choose from.
    """

    chosen: NDArray[np.int64]
    gold: NDArray[np.int64]
    tied: NDArray[np.bool_]
    options: NDArray[np.int64]

    @property
    def correct(self) -> NDArray[np.float64]:
        """1.0 where the decision is right, else 0.0."""
        right: NDArray[np.bool_] = self.chosen == self.gold
        return right.astype(np.float64)

    @property
    def unreadable(self) -> int:
        """Number of answers that name no option."""
        return int((self.chosen == UNREADABLE).sum())


def decide_by_loglikelihood(
    loglikelihoods: NDArray[np.float64], gold: NDArray[np.int64]
) -> Decisions:
    """Decide `[questions, options]` log-likelihoods; NaN marks options a question lacks."""
    lacking = np.isnan(loglikelihoods)
    filled = np.where(lacking, -np.inf, loglikelihoods)
    chosen = filled.argmax(axis=1)
    best = filled[np.arange(len(filled)), chosen]
    tied = (filled == best[:, None]).sum(axis=1) > 1
    return Decisions(chosen, gold, tied, (~lacking).sum(axis=1))


def decide_by_text(
    texts: Sequence[str], letters: Sequence[str], gold: NDArray[np.int64]
) -> Decisions:
    """Decide by what a model wrote; `letters` are each question's own, such as `ABCD`."""
    begun = [text.strip()[:1] for text in texts]
    chosen = [
        listed.find(first) if first else UNREADABLE
        for first, listed in zip(begun, letters, strict=True)
    ]
    return Decisions(
        np.array(chosen, dtype=np.int64),
        gold,
        np.zeros(len(texts), dtype=np.bool_),
        np.array([len(listed) for listed in letters], dtype=np.int64),
    )


def degenerate_reason(decisions: Decisions, letters: str) -> str:
    """Why the answers are degenerate, or "" where they aren't.

    Degenerate are answers of which more than 90 % are one letter or name no option, and an accuracy
    whose one-sided 95 % bound (normal approximation, standard error of fair guesses) reaches down
    to chance. `letters` are those of the question with the most options.
    """
    count = len(decisions.chosen)
    if decisions.unreadable / count > DEGENERATE_SHARE:
        return f"{decisions.unreadable / count:.1%} of the answers begin with no letter"
    readable = decisions.chosen[decisions.chosen != UNREADABLE]
    shares = np.bincount(readable, minlength=len(letters)) / count
    letter = int(shares.argmax())
    if shares[letter] > DEGENERATE_SHARE:
        return f"{letters[letter]} is {shares[letter]:.1%} of the answers"
    guess = 1 / decisions.options
    chance = float(guess.mean())
    spread = CHANCE_Z * float((guess * (1 - guess)).mean() / count) ** 0.5
    accuracy = float(decisions.correct.mean())
    if accuracy <= chance + spread:
        return f"accuracy {accuracy:.1%} is no better than guessing ({chance:.0%}) on {count}"
    return ""


def flips(candidate: Decisions, reference: Decisions) -> dict[str, NDArray[np.bool_]]:
    """Which answers changed: right to wrong, wrong to right, and every change of choice."""
    was, now = reference.correct == 1.0, candidate.correct == 1.0
    return {
        "right_to_wrong": was & ~now,
        "wrong_to_right": ~was & now,
        "changed": candidate.chosen != reference.chosen,
    }
