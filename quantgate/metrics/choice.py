"""Decisions on multiple-choice questions.

`loglikelihood`: the option whose letter has the highest log-likelihood; of equal ones the first,
as lm-evaluation-harness decides; ties are counted. Accuracy is the share of right decisions over
the question set fixed before the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DEGENERATE_SHARE = 0.9
CHANCE_Z = 1.6448536269514722  # one-sided 95 % quantile of the normal distribution


@dataclass(frozen=True, slots=True)
class Decisions:
    """Per question: `chosen` and `gold` option numbers, and whether the best two tied."""

    chosen: NDArray[np.int64]
    gold: NDArray[np.int64]
    tied: NDArray[np.bool_]

    @property
    def correct(self) -> NDArray[np.float64]:
        """1.0 where the decision is right, else 0.0."""
        right: NDArray[np.bool_] = self.chosen == self.gold
        return right.astype(np.float64)


def decide_by_loglikelihood(
    loglikelihoods: NDArray[np.float64], gold: NDArray[np.int64]
) -> Decisions:
    """Decide `[questions, options]` log-likelihoods; NaN marks options a question lacks."""
    filled = np.where(np.isnan(loglikelihoods), -np.inf, loglikelihoods)
    chosen = filled.argmax(axis=1)
    best = filled[np.arange(len(filled)), chosen]
    tied = (filled == best[:, None]).sum(axis=1) > 1
    return Decisions(chosen, gold, tied)


def degenerate_reason(decisions: Decisions, options: int, letters: str) -> str:
    """Why the answers are degenerate, or "" where they aren't.

    Degenerate are answers of which more than 90 % are one letter, and an accuracy whose one-sided
    95 % bound (normal approximation, standard error of a fair guess) reaches down to chance.
    """
    count = len(decisions.chosen)
    shares = np.bincount(decisions.chosen, minlength=options) / count
    letter = int(shares.argmax())
    if shares[letter] > DEGENERATE_SHARE:
        return f"{letters[letter]} is {shares[letter]:.1%} of the answers"
    chance = 1 / options
    spread = CHANCE_Z * (chance * (1 - chance) / count) ** 0.5
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
