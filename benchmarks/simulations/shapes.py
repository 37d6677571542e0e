"""Random data shaped like what the suites measure, with known truths.

Measured on the carried model over WikiText-2 and MMLU, and over its own text:

* by window of 1,024 tokens the mean divergence has a coefficient of variation of 0.11 to 0.17, a
  skewness of -1.0 to 1.3 and a kurtosis up to 9, its tokens a median of 0.02 to 0.5 of their mean;
  differences of log-perplexity by window have tails hardly heavier than a normal distribution's;
* in WikiText-2, whose articles last several windows, both have a correlation of 0.13 to 0.26 to the
  next window, which fades over about eight; in the carried text, whose paragraphs are independent,
  none that can be told from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
WINDOWS_KEPT = 20_000
SHARED = 0.33  # share of a window's variance that lasts from window to window ...
LASTING = 0.75  # ... and how much of it is left in the next one: correlations 0.25, 0.19, 0.14, ...


@dataclass(frozen=True)
class Windows:
    """Runs over a text of as many windows, all of one size.

    Attributes:
        means: mean of each window in nats, `[runs, windows]`.
        truth: what they are drawn around.
    """

    means: Array
    truth: float


def log_ratios(rng: np.random.Generator, runs: int, windows: int, *, lasting: bool) -> Windows:
    """Differences of log-perplexity: heavy-tailed tokens, correlated within their window."""
    kept, truth = _ratio_windows(), 0.01
    noise = kept[rng.integers(kept.size, size=(runs, windows))]
    if lasting:
        subject = float(kept.std()) * _subjects(rng, runs, windows)
        noise = np.sqrt(1 - SHARED) * noise + np.sqrt(SHARED) * subject
    return Windows(truth + noise, truth)


def divergences(
    rng: np.random.Generator, runs: int, windows: int, *, lasting: bool, sigma: float = 1.5
) -> Windows:
    """Divergences: six tokens of ten near 0, the others log-normal, so that the median is near 0.

    `sigma` 1.5 gives windows a skewness of 1.5, 1.75 one of 5, more than ever measured.
    """
    kept = _divergence_windows(sigma)
    found = kept[rng.integers(kept.size, size=(runs, windows))]
    if not lasting:
        return Windows(found, float(kept.mean()))
    spread = float(kept.std() / kept.mean()) * np.sqrt(SHARED / (1 - SHARED))
    factor = np.exp(spread * _subjects(rng, runs, windows) - spread**2 / 2)
    return Windows(found * factor, float(kept.mean()))


def divergence_tokens(rng: np.random.Generator, size: tuple[int, ...], sigma: float) -> Array:
    """Divergences of single tokens, in nats."""
    changed = rng.random(size) < 0.4
    return np.where(changed, 0.1, 1e-4) * rng.lognormal(0, sigma, size)


@dataclass(frozen=True)
class Answers:
    """How many answers of a subject were lost and won, in many runs, `[runs, subjects]`.

    Attributes:
        sizes: questions of each subject, `[subjects]`.
        drop: true drop in accuracy, a fraction.
    """

    lost: NDArray[np.int64]
    won: NDArray[np.int64]
    sizes: NDArray[np.int64]
    drop: float

    def vectors(self, run: int) -> tuple[Array, Array, NDArray[np.int64]]:
        """Right or wrong now and before, and the subject, of every question of a run."""
        now, before = [], []
        for lost, won, size in zip(self.lost[run], self.won[run], self.sizes, strict=True):
            same = (np.arange(size - lost - won) % 3 > 0).astype(np.float64)
            now.append(np.concatenate([np.zeros(lost), np.ones(won), same]))
            before.append(np.concatenate([np.ones(lost), np.zeros(won), same]))
        labels = np.repeat(np.arange(self.sizes.size), self.sizes)
        return np.concatenate(now), np.concatenate(before), labels


def answers(
    rng: np.random.Generator,
    runs: int,
    questions: int,
    *,
    flips: float,
    drop: float,
    other_subjects: bool,
    subjects: int = 57,
) -> Answers:
    """Answers of which a share `flips` differs, so that accuracy drops by `drop`.

    Subjects differ in size as MMLU's do. Each has its own rates, half of them 0.6 to 1.3 of the
    mean; with `other_subjects` they are drawn anew in every run.
    """
    sizes = _sizes(questions, subjects)
    shape = (runs if other_subjects else 1, subjects)
    lost, won = (_rates(rng, (flips + sign * drop) / 2, shape) for sign in (1, -1))
    if not other_subjects:
        drop = float((lost[0] - won[0]) @ sizes) / questions
    lose = rng.binomial(np.broadcast_to(sizes, (runs, subjects)), lost)
    win = rng.binomial(sizes - lose, won / (1 - lost))
    return Answers(lose, win, sizes, drop)


def _rates(rng: np.random.Generator, mean: float, shape: tuple[int, int]) -> Array:
    if mean <= 0:
        return np.zeros(shape)
    return np.minimum(rng.gamma(4.0, mean / 4.0, shape), 0.45)


def _sizes(questions: int, subjects: int) -> NDArray[np.int64]:
    """Sizes that add up, a subject one question at least; 57 of them count as about 30."""
    weights = np.exp(0.8 * _normal_scores(subjects))
    shares = (questions - subjects) * weights / weights.sum()
    sizes: NDArray[np.int64] = 1 + np.floor(shares).astype(np.int64)
    sizes[-1] += questions - sizes.sum()
    return sizes


def _normal_scores(count: int) -> Array:
    from scipy.special import ndtri

    scores: Array = ndtri((np.arange(count) + 0.5) / count)
    return scores


def _subjects(rng: np.random.Generator, runs: int, windows: int) -> Array:
    """What a text is about, window by window: standard normal, correlated along the text."""
    found = rng.standard_normal((runs, windows))
    for number in range(1, windows):
        found[:, number] *= np.sqrt(1 - LASTING**2)
        found[:, number] += LASTING * found[:, number - 1]
    return found


@cache
def _ratio_windows() -> Array:
    """Means over 128 tokens of Student's t with 3 degrees of freedom, each 0.3 of the last."""
    tokens = np.random.default_rng(7).standard_t(3, (WINDOWS_KEPT, 128))
    for number in range(1, tokens.shape[1]):
        tokens[:, number] += 0.3 * tokens[:, number - 1]
    means: Array = 0.05 * tokens.mean(axis=1)
    means -= means.mean()
    return means


@cache
def _divergence_windows(sigma: float) -> Array:
    rng = np.random.default_rng(8)
    parts = [divergence_tokens(rng, (500, 1024), sigma).mean(axis=1) for _ in range(40)]
    kept: Array = np.concatenate(parts)
    return kept
