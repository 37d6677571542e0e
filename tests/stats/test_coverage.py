"""Nominal 95 % intervals hold 93 to 97 % of the truths, on data shaped like the measured ones.

A quick version of `python -m benchmarks.simulations.coverage`, whose table is in
docs/statistics.md; 2,000 runs have a Monte-Carlo error of half a point.
"""

import numpy as np
import pytest

from benchmarks.simulations import shapes
from quantgate import stats

RUNS = 2000


def covers(estimates, truth):
    return 100 * np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize(
    ("draw", "windows", "lasting"),
    [
        (shapes.log_ratios, 16, False),
        (shapes.log_ratios, 64, True),
        (shapes.log_ratios, 280, True),
        (shapes.divergences, 16, False),
        (shapes.divergences, 32, False),
        (shapes.divergences, 64, True),
        (shapes.divergences, 280, True),
    ],
)
def test_intervals_by_window_cover(draw, windows, lasting):
    drawn = draw(np.random.default_rng(41), RUNS, windows, lasting=lasting)
    counts = np.full(windows, 1024.0)
    found = [stats.clustered_ratio(means * counts, counts) for means in drawn.means]
    assert 93 <= covers(found, drawn.truth) <= 97


def test_intervals_that_ignore_a_lasting_subject_do_not_cover():
    drawn = shapes.log_ratios(np.random.default_rng(42), RUNS, 280, lasting=True)
    counts = np.full(280, 1024.0)
    found = [
        stats.clustered_ratio(means * counts, counts, independent=True) for means in drawn.means
    ]
    assert covers(found, drawn.truth) < 80


@pytest.mark.parametrize("other", [False, True])
@pytest.mark.parametrize(("questions", "flips"), [(200, 0.05), (1000, 0.02)])
def test_intervals_of_accuracy_changes_cover(questions, flips, other):
    rng = np.random.default_rng(43)
    drawn = shapes.answers(rng, RUNS, questions, flips=flips, drop=0.01, other_subjects=other)
    found = []
    for run in range(RUNS):
        now, before, subjects = drawn.vectors(run)
        found.append(stats.paired_share(now, before, subjects.tolist() if other else None))
    assert 93 <= covers(found, -drawn.drop) <= 97


def test_a_detectable_drop_by_window_is_found_in_four_of_five_runs():
    drawn = shapes.log_ratios(np.random.default_rng(44), RUNS, 280, lasting=True)
    counts = np.full(280, 1024.0)
    noise = [
        stats.clustered_ratio((means - drawn.truth) * counts, counts, 0.90) for means in drawn.means
    ]
    drop = np.mean([stats.detectable(e.stderr, clusters=e.clusters) for e in noise])
    assert 0.76 < np.mean([estimate.low + drop > 0 for estimate in noise]) < 0.84
