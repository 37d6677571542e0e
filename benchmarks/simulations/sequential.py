"""How often a sequential run stops with another verdict than the complete run's, and what it saves.

    python -m benchmarks.simulations.sequential [--runs 10000]

Every setting is one population: the harms of all N items of a complete run, whose verdict is known.
A run takes them in an order of its own, by the same blocks, stages and tests as the gate. Printed
are the share of runs that stopped with a wrong verdict, which must stay below the level, and the
share of items that were asked. Settings marked with an asterisk lie beyond what is claimed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantgate.sequential.betting import (
    BEYOND,
    FEWEST_ANSWERS,
    FEWEST_WINDOWS,
    FIRST_ANSWERS,
    FIRST_WINDOWS,
    LEVEL,
    OPEN,
    WITHIN,
    Limit,
    judge_answers,
    judge_windows,
)
from quantgate.sequential.strata import draw_blocks, stage_ends

Vector = NDArray[np.float64]
VERDICTS = {WITHIN: "PASS", OPEN: "INCONCLUSIVE", BEYOND: "REGRESSION"}
CHUNK = 500  # runs judged at once
MIXED = 50
SPANS = 8
HEADER = (
    f"{'setting':61} {'N':>6} {'truth':>12} {'false REGR.':>11} {'false PASS':>10} {'asked':>7}"
)


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


@dataclass(frozen=True)
class Outcome:
    """What a setting's runs came to."""

    name: str
    total: int
    truth: int
    codes: NDArray[np.int64]
    asked: Vector
    claimed: bool

    @property
    def wrong(self) -> tuple[float, float]:
        """Shares of runs that stopped with a false REGRESSION, and with a false PASS."""
        rates = [
            float((self.codes == code).mean()) if self.truth != code else 0.0
            for code in (BEYOND, WITHIN)
        ]
        return rates[0], rates[1]

    def __str__(self) -> str:
        told = " ".join(
            f"{rate:{width}.2%}" for rate, width in zip(self.wrong, (11, 10), strict=True)
        )
        name = self.name if self.claimed else f"{self.name} *"
        share = f"{float(self.asked.mean()):7.1%}"
        return f"{name:61} {self.total:6,} {VERDICTS[self.truth]:>12} {told} {share}"


def verdict(harms: Vector, limit: Limit, anchor: float = 0.0) -> int:
    """The complete run's verdict."""
    spread = np.asarray(harms.std() / np.sqrt(len(harms)))
    passes, fails = limit.edges(spread, anchor)
    mean = float(harms.mean())
    if mean <= float(passes):
        return WITHIN
    return BEYOND if mean > float(fails) else OPEN


def simulate_answers(settings: Sequence[Answers], runs: int) -> list[Outcome]:
    """Settings with the same subjects, on the same orders."""
    sizes = settings[0].sizes
    codes = np.repeat(np.arange(len(sizes)), sizes)
    kinds = [setting.kinds() for setting in settings]
    width = 2 * (int(draw_blocks(codes, 0).max()) + 1)
    counts = np.zeros((len(settings), runs, width, 4), dtype=np.float32)
    ends = []
    for run in range(runs):
        labels = draw_blocks(codes, run)
        blocks = np.bincount(labels)
        ends.append(stage_ends(blocks.tolist(), FEWEST_ANSWERS, FIRST_ANSWERS))
        for setting, kind in enumerate(kinds):
            tally = np.bincount(4 * labels + kind, minlength=4 * len(blocks))
            counts[setting, run, : len(blocks)] = tally.reshape(-1, 4)
    return [
        _outcome(setting, kind, counts[number], ends)
        for number, (setting, kind) in enumerate(zip(settings, kinds, strict=True))
    ]


def _outcome(
    setting: Answers,
    kinds: NDArray[np.int64],
    counts: NDArray[np.float32],
    ends: list[tuple[int, ...]],
) -> Outcome:
    runs = len(counts)
    codes, asked = np.zeros(runs, dtype=np.int64), np.ones(runs)
    stages = np.full((runs, max(map(len, ends))), counts.shape[1])
    for run, own in enumerate(ends):
        stages[run, : len(own) - 1] = own[:-1]
    for stage in range(stages.shape[1]):
        for start in range(0, runs, CHUNK):
            here = slice(start, start + CHUNK)
            last = stages[here, stage]
            taken = counts[here, : last.max()].astype(np.float64)
            taken[np.arange(taken.shape[1]) >= last[:, None]] = 0.0
            reached = taken.sum(axis=(1, 2))
            left = np.flatnonzero((reached < setting.total) & (codes[here] == OPEN)) + start
            judged = judge_answers(taken[left - start], setting.total, setting.limit)
            stopped = left[judged != OPEN]
            codes[stopped] = judged[judged != OPEN]
            asked[stopped] = reached[stopped - start] / setting.total
    kept = 1 - setting.limit.share
    harms = np.array([kept - 1, kept, -1.0, 0.0])[kinds]
    truth = verdict(harms, setting.limit, float((kinds < 2).mean()))
    return Outcome(setting.name, setting.total, truth, codes, asked, claimed=True)


def simulate_windows(setting: Windows, runs: int) -> Outcome:
    """One setting; windows of equal size, mixed `MIXED` times over each order of blocks."""
    total, values, limit = setting.total, setting.values(), Limit(ALLOWED)
    spans = np.arange(total) * SPANS // total
    codes, asked = np.zeros(runs, dtype=np.int64), np.ones(runs)
    for start in range(0, runs, MIXED):
        labels = draw_blocks(spans, start)
        sizes = np.bincount(labels)
        rng = np.random.default_rng([start, 1])
        mixed = rng.permuted(np.tile(ALLOWED + values, (MIXED, 1)), axis=1)
        for end in stage_ends(sizes.tolist(), FEWEST_WINDOWS, FIRST_WINDOWS)[:-1]:
            count = int(sizes[:end].sum())
            ones = np.ones((MIXED, count))
            judged = judge_windows(mixed[:, :count], ones, sizes[:end], total, limit)
            here = slice(start, start + MIXED)
            new = (codes[here] == OPEN) & (judged != OPEN)
            codes[here][new] = judged[new]
            asked[here][new] = count / total
    truth = verdict(ALLOWED + values, limit)
    return Outcome(setting.name, total, truth, codes, asked, setting.claimed)


ALLOWED = 0.5  # standard deviations of a window


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where a claimed rate is above the level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=10_000, help="runs per setting, a multiple of 50"
    )
    runs = parser.parse_args(arguments).runs
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"{runs:,} runs a setting, level {LEVEL:.0%}\n\nanswers\n{HEADER}", flush=True)
    failed = False
    with ProcessPoolExecutor(2) as pool:
        answers = pool.map(partial(simulate_answers, runs=runs), answer_settings())
        windows = pool.map(partial(simulate_windows, runs=runs), window_settings())
        for outcomes in answers:
            print("\n".join(map(str, outcomes)), flush=True)
            failed |= any(max(outcome.wrong) > LEVEL for outcome in outcomes)
        print(f"\nwindows\n{HEADER}")
        for outcome in windows:
            print(outcome, flush=True)
            failed |= outcome.claimed and max(outcome.wrong) > LEVEL
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
