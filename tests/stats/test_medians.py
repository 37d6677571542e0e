"""The shift of a median, held against scipy and against what it is of many samples."""

import numpy as np
import pytest
import scipy.stats
from scipy.stats import bootstrap

from quantgate.stats import median_shift

ITEMS = np.array([0.91, 1.02, 0.97, 1.4, 0.99, 1.01, 0.95, 1.03, 0.98])


def test_interval_is_scipys_and_the_error_fits_it():
    found = median_shift(ITEMS, np.ones(9), resamples=20_000)
    theirs = bootstrap(
        (ITEMS - 1,),
        np.median,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(7),
    )
    assert found.value == pytest.approx(np.median(ITEMS) - 1)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
    assert (found.n, found.clusters) == (9, 9)
    half = scipy.stats.t.ppf(0.975, 8) * found.stderr
    assert 2 * half == pytest.approx(found.high - found.low)


def test_how_far_out_the_worst_item_lies_changes_nothing():
    further = ITEMS.copy()
    further[ITEMS.argmax()] = 50.0
    assert median_shift(further, np.ones(9)) == median_shift(ITEMS, np.ones(9))


def test_two_runs_have_the_errors_of_both():
    rng = np.random.default_rng(2)
    ours, theirs = rng.normal(1, 0.1, 101), rng.normal(2, 0.2, 101)
    found = median_shift(ours, theirs, resamples=20_000)
    alone = [median_shift(each, np.zeros(101)).stderr for each in (ours, theirs)]
    assert found.stderr == pytest.approx(np.hypot(*alone), rel=0.1)
    assert found.value == pytest.approx(np.median(ours) - np.median(theirs))


def test_equal_arguments_give_equal_results():
    assert median_shift(ITEMS, np.ones(9)) == median_shift(list(ITEMS), np.ones(9))


def test_figures_that_never_change_have_no_error():
    found = median_shift(np.ones(9), np.ones(9))
    assert (found.value, found.stderr, found.low, found.high) == (0, 0, 0, 0)


@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_interval_of_nine_covers(spread):
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(400):
        items = rng.lognormal(0, spread, 9)
        found = median_shift(items, np.zeros(9), resamples=400, seed=seed)
        held += found.low <= 1.0 <= found.high
    assert 0.89 <= held / 400 <= 0.975


@pytest.mark.parametrize("items", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_what_is_no_sample_is_refused(items):
    with pytest.raises(ValueError, match=r"needed|needs|finite"):
        median_shift(items, [1.0, 1.0])
