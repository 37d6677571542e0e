"""Populations of items whose complete run's verdict is known, hard cases of stopping early.

Answers are all questions of a set with what became of each; windows are standardised harms, held
against what is allowed. Settings that lie beyond what is claimed say so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantgate.sequential.betting import Limit

Vector = NDArray[np.float64]
ALLOWED = 0.5  # standard deviations of a window


@dataclass(frozen=True)
class Answers:
    """A population of answers: how many were lost and won, of which `anchored` were right before.

    `subjects` are how many of the subjects hold the lost ones; 0 for all.
    """

    name: str
    sizes: tuple[int, ...]
    lost: int
    won: int
    limit: Limit
    subjects: int = 0
    anchored: float = 0.6

    @property
    def total(self) -> int:
        return sum(self.sizes)

    def kinds(self) -> NDArray[np.int64]:
        """Each question's kind: 0 right before and now, 1 lost, 2 won, 3 never right."""
        rng = np.random.default_rng(7)
        codes = np.repeat(np.arange(len(self.sizes)), self.sizes)
        kinds = np.full(self.total, 3)
        within = codes < (self.subjects or len(self.sizes))
        lost = rng.choice(np.flatnonzero(within), self.lost, replace=False)
        kinds[lost] = 1
        rest = rng.permutation(np.flatnonzero(kinds == 3))
        right = round(self.anchored * self.total) - self.lost
        kinds[rest[:right]] = 0
        kinds[rest[right : right + self.won]] = 2
        return kinds


@dataclass(frozen=True)
class Windows:
    """A population of windows: standardised harms less what is allowed, by `shift` of their sd."""

    name: str
    total: int
    shape: Callable[[np.random.Generator, int], Vector]
    shift: float
    claimed: bool = True

    def values(self) -> Vector:
        values = self.shape(np.random.default_rng(11), self.total)
        standard: Vector = (values - values.mean()) / values.std()
        return standard + self.shift


def normal(rng: np.random.Generator, count: int) -> Vector:
    """Windows as most are."""
    return rng.normal(size=count)


def student(rng: np.random.Generator, count: int) -> Vector:
    """Student's t with 3 degrees of freedom: infinite kurtosis."""
    return rng.standard_t(3, size=count)


def skewed(rng: np.random.Generator, count: int) -> Vector:
    """Log-normal with sigma 1: a skewness of 6, where 1.3 is the most that was measured."""
    return np.exp(rng.normal(size=count))


def skewed_down(rng: np.random.Generator, count: int) -> Vector:
    """The same, far better in a few windows."""
    return -skewed(rng, count)


def concentrated(rng: np.random.Generator, count: int, windows: int = 10) -> Vector:
    """All the harm in a few windows, each 25 standard deviations of the others away."""
    harms = np.where(np.arange(count) < windows, 5.0, 0.0)
    return harms + 0.2 * rng.normal(size=count)


def answer_settings() -> list[list[Answers]]:
    """Settings by question set: MMLU's 14,042 questions, and ten of each subject."""
    first = (*(100,) * 20, *(152,) * 14, *(236,) * 12, *(346,) * 6, 783, 895, 311, 1534)
    mmlu = (*first, 14_042 - sum(first))
    at, share = 140, Limit(0.0, share=0.01)
    one, point = Limit(at / 14_042), Limit(0.01)
    few, rare = Limit(14 / 14_042), Limit(0.001)
    small, fine, two = Limit(17 / 570), Limit(0.005), Limit(2 * at / 14_042)
    return [
        [
            Answers("equal: 2 % lost, 2 % won, allowed 1 point", mmlu, 281, 281, point),
            Answers("equal: 1 % lost, 1 % won, allowed 1 point", mmlu, 140, 140, point),
            Answers("equal: nothing changed, allowed 0.1 points", mmlu, 0, 0, rare),
            Answers("slightly worse: -0.5 points, allowed 1", mmlu, 351, 281, point),
            Answers("worse: -2 points, allowed 1", mmlu, 562, 281, point),
            Answers("much worse: -3 points, allowed 1", mmlu, 842, 421, point),
            Answers("much worse: -10 points, allowed 1", mmlu, 2106, 702, point),
            Answers("at the tolerance: 3 % lost, 2 % won", mmlu, 281 + at, 281, one),
            Answers("one answer beyond it", mmlu, 282 + at, 281, one),
            Answers("at it, lost in 3 subjects only", mmlu, at, 0, one, subjects=3),
            Answers("one answer beyond it, lost in 3 subjects", mmlu, at + 1, 0, one, subjects=3),
            Answers("at 2 points, 20 % lost, 18 % won", mmlu, 2528 + 2 * at, 2528, two),
            Answers("one answer beyond it, 20 % lost", mmlu, 2529 + 2 * at, 2528, two),
            Answers("rare: 14 lost, 14 allowed", mmlu, 14, 0, few),
            Answers("rare: 15 lost, 14 allowed", mmlu, 15, 0, few),
            Answers("at 99 % of the reference's accuracy", mmlu, 365, 281, share),
            Answers("one answer beyond 99 %", mmlu, 366, 281, share),
        ],
        [
            Answers("equal: 2 % lost, 2 % won, allowed 3 points", (10,) * 57, 11, 11, small),
            Answers("slightly worse: -1.1 points, allowed 3", (10,) * 57, 17, 11, small),
            Answers("much worse: -12 points, allowed 3", (10,) * 57, 86, 17, small),
            Answers("at the tolerance", (10,) * 57, 28, 11, small),
            Answers("one answer beyond it", (10,) * 57, 29, 11, small),
            Answers("at it, lost in 3 subjects only", (10,) * 57, 17, 0, small, subjects=3),
            Answers("one answer beyond it, in 3 subjects", (10,) * 57, 18, 0, small, subjects=3),
            Answers("allowed 0.5 points, below what can be seen", (10,) * 57, 14, 11, fine),
            Answers("the same, -5 points", (10,) * 57, 46, 17, fine),
        ],
    ]


def window_settings() -> list[Windows]:
    """Settings of 280 windows, as WikiText-2 has of 1,024 tokens, and a few of 140."""
    worse, tiny = 1e-9, -1e-9
    five = partial(concentrated, windows=5)
    shapes = {
        "normal": normal,
        "Student's t, 3 degrees of freedom": student,
        "log-normal, sigma 1": skewed,
        "log-normal, better": skewed_down,
        "all harm in 10 windows": concentrated,
    }
    at = [
        Windows(f"{name}: {told} the tolerance", count, shape, shift)
        for count in (280, 140)
        for name, shape in shapes.items()
        for told, shift in (("at", tiny), ("just beyond", worse))
    ]
    return [
        Windows("equal: 0.5 sd below the tolerance", 280, normal, -0.5),
        Windows("slightly worse: 0.25 sd below", 280, normal, -0.25),
        Windows("worse: 0.25 sd beyond", 280, normal, 0.25),
        Windows("much worse: 1 sd beyond", 280, normal, 1.0),
        *at,
        Windows("all harm in 5 windows: just beyond", 280, five, worse, claimed=False),
    ]
