"""Sequential tests: is the harm over all N items more than allowed, told before all are asked?

The population is the question set of the complete run: N items, each with a *harm* (how much worse
the candidate did than what it is paired with), of which the mean, or for windows the ratio of sums,
decides. What is predicted is the verdict of that complete run, with a probability of error of at
most `LEVEL` whenever one stops; nothing is claimed about other questions.

**Order.** Items are taken without replacement, in stratified blocks (`strata`): of each
stratum in proportion to what is left of it, rounded up or down at random with the probability of
the fraction. Stages of a run are whole blocks.

**Answers** (harm in [-1, 1]): a betting e-process. Let m be the mean under test, S the sum of the
harms before a block, R the items left then, mu = (N m - S) / R their mean under the hypothesis.
Every answer x of the block multiplies a capital of 1 by 1 + b (x - mu), where the bet b is fixed
before the block. Given the past, the items of one stratum are a random sample without replacement,
hence negatively associated (Joag-Dev and Proschan 1983), so the expected factor of k of them is at
most c^k with c = 1 + b (stratum's mean - mu); with k rounded as above from a target q it is at most
exp(q (c - 1)); and over all strata the exponents sum to 0, because targets are proportional. So the
capital is a non-negative supermartingale under stratified sampling, too, and by Ville's inequality
passes 1 / LEVEL with a probability of at most LEVEL. A bet b > 0 only loses from a lower true mean,
so it tests `harm <= m`, and b < 0 tests `harm >= m`. Only one of both hypotheses can be true: that
is why each may have the whole LEVEL. The capital is spread over `BETS`. Where what is left can't
make the hypothesis true, the capital is infinite: the deterministic bound.
Waudby-Smith and Ramdas, "Confidence sequences for sampling without replacement", NeurIPS 2020, and
"Estimating means of bounded random variables by betting", JRSS B 86 (2024).

**Windows** (harm without bounds): the same, with a bound estimated from what was taken: no window
lies farther from the median than `FARTHEST` times the farthest one so far. A normal approximation
(an asymptotic confidence sequence, Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of
Statistics 52, 2024) was tried first and stops wrongly on skewed windows more often than it says
(docs/statistics.md). Nothing stops before `FEWEST_WINDOWS`, nor before a share of all is taken at
which a harm that sits in `HIDDEN` windows would have shown with a probability of 1 - `LEVEL`; one
that sits in fewer is beyond any sample.

The complete run's verdict also depends on what it can detect (`gate.decision`): where the allowed
harm is below that, or the confidence bound is gated and not the figure, the limits that the harm is
tested against move by the margin of the complete run's interval, estimated from what was taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Codes = NDArray[np.int8]
Indices = NDArray[np.int64]

LEVEL: Final = 0.05
BETS: Final = 2.0 ** -np.arange(6)
LARGEST_LOSS: Final = 0.95  # of the capital, by the worst answer: a bet of all could never recover
FEWEST_ANSWERS: Final = 64
FEWEST_WINDOWS: Final = 32
FARTHEST: Final = 3.0  # times the farthest window so far
HIDDEN: Final = 10
FIRST_ANSWERS: Final = 1 / 32  # share of all questions in the first stage
FIRST_WINDOWS: Final = 1 - LEVEL ** (1 / HIDDEN)  # so few of HIDDEN windows are missed by all
Z_BOUND: Final = 1.6448536269514722  # one-sided 95 %
Z_DETECT: Final = Z_BOUND + 0.8416212335729143  # and power 80 %

WITHIN, OPEN, BEYOND = -1, 0, 1  # codes: the complete run's harm is allowed, not settled, too much


@dataclass(frozen=True, slots=True)
class Limit:
    """How much harm is allowed, per item.

    Attributes:
        allowed: mean harm that passes, on the scale of the harms.
        share: part of the anchor that may be lost besides: 0.01 of its right answers.
        bounded: the confidence bound of the harm is gated, not the harm itself.
    """

    allowed: float
    share: float = 0.0
    bounded: bool = False

    def edges(self, stderr: Vector, anchor: Vector | float = 0.0) -> tuple[Vector, Vector]:
        """Mean harm below which the complete run passes, and above which it regresses.

        Args:
            stderr: standard error of the complete run's mean harm, estimated.
            anchor: what `share` is a part of, estimated.
        """
        blind = (self.allowed + self.share * anchor < Z_DETECT * stderr) & (stderr > 0)
        margin = Z_BOUND * stderr
        passes = self.allowed - margin * (blind | self.bounded)
        fails = self.allowed + margin * np.where(blind, 1.0, -1.0 if self.bounded else 0.0)
        return passes, fails


def judge_answers(counts: Vector, total: int, limit: Limit, *, level: float = LEVEL) -> Codes:
    """Settle an accuracy's verdict, or leave it open.

    Args:
        counts: answers by block and kind, `[..., blocks, 4]`: right before and now, right before
            only, right now only, never right.
        total: N, questions of the complete run.
        limit: what is allowed.
        level: probability of error.

    Returns:
        `WITHIN`, `OPEN` or `BEYOND` after the last block, `[...]`.
    """
    kept = 1.0 - limit.share
    harms = np.array([kept - 1.0, kept, -1.0, 0.0])
    shares = counts.sum(axis=-2) / counts.sum(axis=(-2, -1))[..., None]
    mean = shares @ harms
    spread = np.sqrt(np.maximum(shares @ harms**2 - mean**2, 0.0))
    anchor = shares[..., 0] + shares[..., 1]
    passes, fails = limit.edges(spread / math.sqrt(total), anchor)
    beyond = log_capital(counts, harms, total, fails)
    within = log_capital(counts, -harms, total, -passes)
    return _codes(within, beyond, level)


def log_capital(counts: Vector, values: Vector, total: int, mean: Vector) -> Vector:
    """Logarithm of the capital won against `the mean over all items is at most mean`.

    Args:
        counts: items by block and value, `[..., blocks, values]`.
        values: of the items, all at least -1, `[values]`.
        total: N.
        mean: of the hypothesis, `[...]`.

    Returns:
        After the last block, `[...]`; infinite where the hypothesis is impossible.
    """
    sizes, sums = counts.sum(axis=-1), counts @ values
    taken, won = sizes.cumsum(axis=-1), sums.cumsum(axis=-1)
    goal = total * np.asarray(mean)[..., None]
    expected = (goal - (won - sums)) / (total - (taken - sizes))  # mu, [..., blocks]
    loss = expected + 1.0  # of the worst value, by a bet of 1
    bets = np.minimum(BETS, LARGEST_LOSS / np.maximum(loss, 1e-9)[..., None])  # [..., blocks, bets]
    factors = np.log1p(bets[..., None] * (values - expected[..., None])[..., None, :])
    capital = (factors * counts[..., None, :]).sum(axis=(-3, -1))  # [..., bets]
    mixed = np.logaddexp.reduce(capital, axis=-1) - math.log(len(BETS))
    least = won - (total - taken)  # the sum where all that is left is worth -1
    impossible = least[..., -1] > goal[..., 0] + 1e-9 * total
    return np.where(impossible, np.inf, mixed)


def judge_windows(
    harms: Vector,
    sizes: Vector,
    blocks: Indices,
    total: int,
    limit: Limit,
    *,
    level: float = LEVEL,
) -> Codes:
    """Settle the verdict of a mean over positions, windows of which were taken at random.

    Args:
        harms: sum of the harm over each window's positions, in the order taken, `[..., windows]`.
        sizes: number of positions of each.
        blocks: number of windows in each block, `[blocks]`.
        total: N, windows of the complete run.
        limit: what is allowed per position.
        level: probability of error.

    Returns:
        `WITHIN`, `OPEN` or `BEYOND`, `[...]`.
    """
    count = harms.shape[-1]
    if count < FEWEST_WINDOWS or count >= total:
        return np.zeros(harms.shape[:-1], dtype=np.int8)
    mean = harms.sum(axis=-1) / sizes.sum(axis=-1)
    width = sizes.mean(axis=-1)[..., None]
    spread = (harms - mean[..., None] * sizes).std(axis=-1, ddof=1) / width[..., 0]
    passes, fails = limit.edges(spread / math.sqrt(total))
    # A ratio of sums is above an edge where the mean of these is above 0.
    beyond = log_window_capital((harms - fails[..., None] * sizes) / width, blocks, total)
    spare = (passes[..., None] * sizes - harms) / width
    within = log_window_capital(spare, blocks, total, closed=True)
    return _codes(within, beyond, level)


def log_window_capital(
    values: Vector, blocks: Indices, total: int, *, closed: bool = False
) -> Vector:
    """Logarithm of the capital won against `the mean over all windows is at most 0`.

    Args:
        values: of the windows taken, in their order, `[..., windows]`.
        blocks: number of windows in each block, `[blocks]`.
        total: N, windows in all.
        closed: a mean of exactly 0 contradicts the hypothesis.

    Returns:
        After the last block, `[...]`; infinite where the hypothesis is impossible.
    """
    taken = np.concatenate([[0], np.cumsum(blocks)])
    first = np.zeros((*values.shape[:-1], 1))
    won = np.concatenate([first, values.cumsum(axis=-1)], axis=-1)[..., taken]
    expected = -won / (total - taken)
    middle = np.median(values, axis=-1, keepdims=True)
    lowest = middle - FARTHEST * np.abs(values - middle).max(axis=-1, keepdims=True)
    loss = expected - lowest
    spread = np.maximum(values.std(axis=-1, ddof=1), 1e-300)[..., None, None]
    largest = LARGEST_LOSS / np.maximum(loss[..., :-1], 1e-300)[..., None]
    bets = np.minimum(2 * BETS / spread, largest)  # [..., blocks, bets]
    each = np.repeat(np.arange(len(blocks)), blocks)
    gains = values - expected[..., each]
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        capital = np.log1p(bets[..., each, :] * gains[..., None]).sum(axis=-2)
    mixed = np.logaddexp.reduce(capital, axis=-1) - math.log(len(BETS))
    impossible = (loss < 0).any(axis=-1) | ((loss[..., -1] == 0) & closed)
    return np.where(impossible, np.inf, mixed)


def _codes(within: Vector, beyond: Vector, level: float) -> Codes:
    needed = -math.log(level)
    return (
        np.where(beyond >= needed, BEYOND, OPEN) + np.where(within >= needed, WITHIN, OPEN)
    ).astype(np.int8)
