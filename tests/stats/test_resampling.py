"""Bootstrap intervals: clusters drawn whole, seeded, and against a bootstrap written out."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from quantgate import stats


def bca_written_out(means, resamples, seed, confidence=0.95):
    """BCa of the mean of equal clusters, from Efron's formulae."""
    rng, normal = np.random.default_rng(seed), NormalDist()
    size = len(means)
    drawn = np.sort(means[rng.integers(0, size, (resamples, size))].mean(axis=1))
    bias = normal.inv_cdf(float((drawn < means.mean()).mean()))
    left_out = (means.sum() - means) / (size - 1)
    pull = left_out.mean() - left_out
    acceleration = (pull**3).sum() / (6 * (pull**2).sum() ** 1.5)
    ends = []
    for share in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + normal.inv_cdf(share)
        ends.append(np.quantile(drawn, normal.cdf(bias + z / (1 - acceleration * z))))
    return ends


def test_bca_of_clusters_is_efrons():
    rng = np.random.default_rng(31)
    windows = rng.lognormal(0, 1, (25, 1)) * rng.lognormal(0, 0.5, (25, 8))
    labels = np.repeat(np.arange(25), 8).tolist()
    found = stats.bootstrap_interval(windows.ravel(), np.mean, clusters=labels, resamples=4000)
    expected = bca_written_out(windows.mean(axis=1), 40_000, 5)
    width = expected[1] - expected[0]
    assert found == pytest.approx(expected, abs=0.04 * width)


def test_clusters_are_drawn_whole_wherever_their_items_stand():
    rng = np.random.default_rng(32)
    values = np.repeat(rng.normal(size=30), 6)
    labels = np.repeat(np.arange(30), 6)
    order = rng.permutation(180)
    together = stats.bootstrap_interval(values, np.mean, clusters=labels.tolist(), resamples=400)
    single = stats.bootstrap_interval(values, np.mean, resamples=400)
    mixed = stats.bootstrap_interval(
        values[order], np.mean, clusters=labels[order].tolist(), resamples=400
    )
    assert np.diff(together) > 1.8 * np.diff(single)  # sqrt(6) = 2.4 in the long run
    assert np.diff(mixed) == pytest.approx(np.diff(together), rel=0.2)


def test_equal_seeds_give_equal_intervals():
    values = np.random.default_rng(33).normal(size=40)
    one, two = (stats.bootstrap_interval(values, np.median, resamples=200) for _ in range(2))
    assert one == two
    assert one != stats.bootstrap_interval(values, np.median, resamples=200, seed=1)


def test_methods_differ_on_skewed_data():
    values = np.random.default_rng(34).lognormal(0, 1.2, 30)
    bca, percentile = (
        stats.bootstrap_interval(values, np.mean, resamples=600, method=method)
        for method in ("BCa", "percentile")
    )
    assert bca[1] > percentile[1]  # the tail that was seen too rarely


def test_what_never_changes_is_a_point():
    assert stats.bootstrap_interval([2.0, 2.0, 2.0], np.mean, resamples=50) == (2.0, 2.0)


def test_what_has_no_bca_is_refused():
    # A draw with replacement never has as many different values as the sample, so all lie below it.
    with pytest.raises(ValueError, match="no interval of this statistic over 21"):
        stats.bootstrap_interval(
            np.arange(21.0), lambda drawn: float(np.unique(drawn).size), resamples=99
        )


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1.0], {}, "two values"),
        ([1.0, math.nan], {}, "finite"),
        ([1.0, 2.0], {"clusters": ["a"]}, "as many cluster labels"),
        ([1.0, 2.0], {"clusters": ["a", "a"]}, "two clusters"),
        ([1.0, 2.0], {"confidence": 1.0}, "confidence"),
        ([1.0, 2.0], {"method": "magic"}, "method"),
    ],
)
def test_wrong_set_ups_are_refused(values, options, words):
    with pytest.raises(ValueError, match=words):
        stats.bootstrap_interval(values, np.mean, **options)
