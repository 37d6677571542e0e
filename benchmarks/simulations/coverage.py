"""Do nominal 95 % intervals hold the truth in 95 of 100 runs, and is what is detectable detected?

Every row draws runs of known truth (`benchmarks.simulations.shapes`) and asks `quantgate.stats` for
the interval: `covers` is the share of runs whose interval holds the truth, `above` and `below` the
shares of intervals wholly above or below it, all in per cent; `holds` says whether `covers` lies
within 93 to 97. The Monte-Carlo error of `covers` is 0.4 points at 3,000 runs, and 0.9 in the
bootstrap's rows, which have a fifth of them. The second table's `found` is the share of runs that
find a true drop as large as what `detectable` told: the one-sided 95 % bound of the change lies
beyond 0.

    python -m benchmarks.simulations.coverage [--runs 3000] [--seed 1] [--json FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.output import print_table, write_json
from benchmarks.simulations import shapes
from quantgate import stats

QUESTIONS = (100, 200, 570, 1000, 2850)
FLIPS = (0.02, 0.05)
WINDOWS = (16, 32, 64, 280)
ONE_SIDED = 0.90  # two-sided confidence whose either end is a one-sided bound of 95 %

Row = dict[str, object]
Interval = tuple[float, float]


def tally(label: str, shape: str, size: int, intervals: Iterable[Interval], truth: float) -> Row:
    """How often the intervals hold the truth."""
    low, high = np.array(list(intervals)).T
    above, below = 100 * float((low > truth).mean()), 100 * float((high < truth).mean())
    covers = 100 - above - below
    return {
        "interval of": label,
        "shape": shape,
        "n": size,
        "covers": f"{covers:.1f}",
        "above": f"{above:.1f}",
        "below": f"{below:.1f}",
        "holds": "yes" if 93 <= covers <= 97 else "no",
    }


def accuracy_rows(rng: np.random.Generator, runs: int) -> Iterator[Row]:
    """Paired differences, with the same subjects and the plain error, with others and clusters."""
    for other in (False, True):
        for questions in QUESTIONS:
            for flips in FLIPS:
                drawn = shapes.answers(
                    rng, runs, questions, flips=flips, drop=0.01, other_subjects=other
                )
                shape = f"{flips:.0%} flip, {'other' if other else 'the same'} subjects"
                label = "accuracy change" + (", clustered" if other else "")
                found = (_share(drawn, run, clustered=other) for run in range(runs))
                yield tally(label, shape, questions, found, -drawn.drop)


def _share(drawn: shapes.Answers, run: int, *, clustered: bool) -> Interval:
    now, before, labels = drawn.vectors(run)
    estimate = stats.paired_share(now, before, labels.tolist() if clustered else None)
    return estimate.low, estimate.high


def window_rows(rng: np.random.Generator, runs: int) -> Iterator[Row]:
    """Ratios by window: log-perplexity and divergence, of independent and of lasting subjects."""
    draws: tuple[tuple[str, Callable[..., shapes.Windows]], ...] = (
        ("log-perplexity ratio", shapes.log_ratios),
        ("mean divergence", shapes.divergences),
    )
    for label, draw in draws:
        for lasting in (False, True):
            for windows in WINDOWS:
                drawn = draw(rng, runs, windows, lasting=lasting)
                yield tally(label, _text(lasting), windows, _ratios(drawn), drawn.truth)
    for windows in WINDOWS:
        drawn = shapes.divergences(rng, runs, windows, lasting=False, sigma=1.75)
        yield tally("mean divergence", "skewness 5", windows, _ratios(drawn), drawn.truth)
    for windows in WINDOWS:
        drawn = shapes.log_ratios(rng, runs, windows, lasting=True)
        found = _ratios(drawn, independent=True)
        yield tally("same, order ignored", _text(lasting=True), windows, found, drawn.truth)


def _text(lasting: bool) -> str:
    return "subjects last 4 windows" if lasting else "windows independent"


def _ratios(drawn: shapes.Windows, *, independent: bool = False) -> Iterator[Interval]:
    counts = np.full(drawn.means.shape[1], 1024.0)
    for means in drawn.means:
        estimate = stats.clustered_ratio(means * counts, counts, independent=independent)
        yield estimate.low, estimate.high


def wilson_rows(rng: np.random.Generator, runs: int) -> Iterator[Row]:
    """Wilson's interval of an accuracy."""
    for share in (0.25, 0.6, 0.9):
        for n in (100, 1000, 14_042):
            found = rng.binomial(n, share, runs)
            memo = {int(k): stats.wilson_interval(int(k), n) for k in np.unique(found)}
            yield tally(
                "accuracy, Wilson", f"{share:.0%} right", n, (memo[k] for k in found), share
            )


def bootstrap_rows(rng: np.random.Generator, runs: int) -> Iterator[Row]:
    """BCa of a percentile of tokens' divergences."""
    population = shapes.divergence_tokens(rng, (2_000_000,), 1.5)
    for percentile, n in ((50, 200), (90, 500)):
        truth = float(np.percentile(population, percentile))

        def statistic(values: np.ndarray, q: int = percentile) -> float:
            return float(np.percentile(values, q))

        found = (
            stats.bootstrap_interval(rng.choice(population, n), statistic, resamples=999, seed=run)
            for run in range(runs)
        )
        yield tally(f"p{percentile} divergence, BCa", "tokens independent", n, found, truth)


def power_rows(rng: np.random.Generator, runs: int) -> Iterator[Row]:
    """How often a true drop as large as what is detectable is found."""
    for questions in QUESTIONS:
        for flips in FLIPS:
            half = round(flips * questions / 2)
            drop = stats.paired_detectable(half, half, questions)
            share = max(flips, drop)
            lost = rng.binomial(questions, (share + drop) / 2, runs)
            won = rng.binomial(questions - lost, (share - drop) / (2 - share - drop))
            found = [_finds(questions, *pair) for pair in zip(lost, won, strict=True)]
            yield _power(
                "accuracy change", f"{flips:.0%} flip", questions, f"{100 * drop:.3g} points", found
            )
    for lasting in (False, True):
        for windows in WINDOWS:
            drawn = shapes.log_ratios(rng, runs, windows, lasting=lasting)
            counts = np.full(windows, 1024.0)
            noise = [
                stats.clustered_ratio((means - drawn.truth) * counts, counts, ONE_SIDED)
                for means in drawn.means
            ]
            drop = float(np.mean([stats.detectable(e.stderr, clusters=e.clusters) for e in noise]))
            found = [estimate.low + drop > 0 for estimate in noise]
            yield _power("log-perplexity ratio", _text(lasting), windows, f"{drop:.3g} nats", found)


def _finds(questions: int, lost: int, won: int) -> bool:
    now, before = np.ones(questions), np.ones(questions)
    now[:lost], before[lost : lost + won] = 0, 0
    return stats.paired_share(now, before, confidence=ONE_SIDED).high < 0


def _power(label: str, shape: str, n: int, drop: str, found: list[bool]) -> Row:
    return {
        "detectable": label,
        "shape": shape,
        "n": n,
        "drop": drop,
        "found": f"{100 * float(np.mean(found)):.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Coverage of intervals and power of detection.")
    parser.add_argument("--runs", type=int, default=3000, help="runs a row; the bootstrap a fifth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the rows there")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    coverage = [
        *accuracy_rows(rng, options.runs),
        *window_rows(rng, options.runs),
        *wilson_rows(rng, options.runs),
        *bootstrap_rows(rng, max(1, options.runs // 5)),
    ]
    print_table(coverage)
    print()
    power = list(power_rows(rng, options.runs))
    print_table(power)
    write_json(options.json, "coverage", {"coverage": coverage, "power": power})


if __name__ == "__main__":
    main()
