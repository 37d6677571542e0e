"""Sequential runs over populations: the gate's blocks, stages and tests, in orders of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulations.populations import ALLOWED, Answers, Vector, Windows
from quantgate.sequential.betting import (
    BEYOND,
    FEWEST_ANSWERS,
    FEWEST_WINDOWS,
    FIRST_ANSWERS,
    FIRST_WINDOWS,
    OPEN,
    WITHIN,
    Limit,
    judge_answers,
    judge_windows,
)
from quantgate.sequential.strata import draw_blocks, stage_ends

VERDICTS = {WITHIN: "PASS", OPEN: "INCONCLUSIVE", BEYOND: "REGRESSION"}
CHUNK = 500  # runs judged at once
MIXED = 50
SPANS = 8
HEADER = (
    f"{'setting':61} {'N':>6} {'truth':>12} {'false REGR.':>11} {'false PASS':>10} {'asked':>7}"
)


@dataclass(frozen=True)
class Outcome:
    """What a setting's runs came to; its text stands under `HEADER`."""

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
