"""How alike are neighbouring windows of a text? From a run's results, case by case.

`mean` is the windows' mean, in nats: of perplexities the paired difference to the first case,
`cv` their coefficient of variation, `r1` to `r8` the correlation of a window to the 1st ... 8th
after it, and `block 16` how much more the means of 16 windows in a row scatter than those of
independent windows would.

    python -m benchmarks.simulations.neighbours reports/results.json
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.output import print_table
from benchmarks.simulations.shapes import Array
from quantgate.items import WindowItems, items_of
from quantgate.results import Measurement
from quantgate.run_file import read_run

LAGS = (1, 2, 3, 5, 8)


def rows(measurements: Sequence[Measurement]) -> Iterator[dict[str, object]]:
    """One row a case and metric that is kept by window."""
    first: dict[str, Array] = {}
    for measurement in measurements:
        items = items_of(measurement)
        metric = "kl_mean" if measurement.task == "kl_divergence" else "perplexity"
        if not isinstance(items, WindowItems) or metric not in items.sums:
            continue
        means = items.sums[metric] / items.counts[metric]
        if metric == "perplexity":
            means = means - first.setdefault(measurement.task, means)
        means = means[:-1]  # the last window is a short one
        if means.size >= 16 * 2 and means.std() > 1e-9:
            yield {"case": measurement.case_id, "task": measurement.task, **_facts(means)}


def _facts(means: Array) -> dict[str, object]:
    z = (means - means.mean()) / means.std()
    blocks = means[: means.size // 16 * 16].reshape(-1, 16).mean(axis=1)
    plain = means.std(ddof=1) / 4
    return {
        "windows": means.size,
        "mean": float(means.mean()),
        "cv": float(means.std() / abs(means.mean())),
        "skewness": float((z**3).mean()),
        **{f"r{lag}": f"{float((z[lag:] * z[:-lag]).mean()):.2f}" for lag in LAGS},
        "block 16": f"{float(blocks.std(ddof=1) / plain):.2f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How alike neighbouring windows of a text are.")
    parser.add_argument("results", type=Path, help="results.json of a run")
    print_table(list(rows(read_run(parser.parse_args().results).measurements)))


if __name__ == "__main__":
    main()
