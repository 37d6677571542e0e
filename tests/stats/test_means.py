"""Means and errors against hand computation and independent definitions."""

import math

import numpy as np
import pytest

from quantgate import stats


def test_mean_and_error_by_hand():
    # 1, 2, 3, 4: mean 2.5, squares 2.25 + 0.25 + 0.25 + 2.25 = 5, sd = sqrt(5/3), over sqrt(4).
    mean, stderr = stats.mean_stderr([1, 2, 3, 4])
    assert mean == 2.5
    assert stderr == pytest.approx(math.sqrt(5 / 3) / 2, rel=1e-15)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]]])
def test_no_error_without_spread(values):
    with pytest.raises(ValueError, match=r"standard error|finite|one figure"):
        stats.mean_stderr(values)


def test_clustered_error_by_hand():
    # Mean 3; residuals -2, -1 | 1, 2; cluster sums -3 and 3; 2/1 * 18 = 36; sqrt / 4 = 1.5.
    assert stats.clustered_stderr([1, 2, 4, 5], ["a", "a", "b", "b"]) == pytest.approx(1.5)


def test_clustered_error_is_millers_double_sum():
    rng = np.random.default_rng(11)
    clusters = rng.integers(0, 7, 60).tolist()
    values = rng.normal(size=60) + np.array(clusters) * 0.3
    n, mean = len(values), values.mean()
    groups = len(set(clusters))
    variance = sum((v - mean) ** 2 for v in values) / n**2
    variance += sum(
        (values[i] - mean) * (values[j] - mean) / n**2
        for i in range(n)
        for j in range(n)
        if i != j and clusters[i] == clusters[j]
    )
    expected = math.sqrt(variance * groups / (groups - 1))
    assert stats.clustered_stderr(values, clusters) == pytest.approx(expected, rel=1e-12)


def test_clustered_error_of_singletons_is_the_plain_one():
    values = np.random.default_rng(3).normal(size=31)
    plain = stats.mean_stderr(values)[1]
    assert stats.clustered_stderr(values, range(31)) == pytest.approx(plain, rel=1e-12)


def test_clustered_error_agrees_with_a_bootstrap_of_clusters():
    rng = np.random.default_rng(5)
    groups, size = 80, 6
    blocks = rng.normal(size=(groups, 1)) + 0.5 * rng.normal(size=(groups, size))
    labels = np.repeat(np.arange(groups), size).tolist()
    told = stats.clustered_stderr(blocks.ravel(), labels)
    means = blocks.mean(axis=1)
    drawn = means[rng.integers(0, groups, (4000, groups))].mean(axis=1)
    assert told == pytest.approx(drawn.std(ddof=1), rel=0.06)
    assert told > 1.5 * stats.mean_stderr(blocks.ravel())[1]


def test_clustered_error_needs_two_clusters_and_all_labels():
    with pytest.raises(ValueError, match="two clusters"):
        stats.clustered_stderr([1.0, 2.0], ["a", "a"])
    with pytest.raises(ValueError, match="as many cluster labels"):
        stats.clustered_stderr([1.0, 2.0], ["a"])


def test_paired_difference_by_hand():
    # Differences 1, 1, -1, 1: mean 0.5, sd 1, error 0.5; cluster residual sums 1 and -1.
    values, reference = [2, 3, 3, 5], [1, 2, 4, 4]
    assert stats.paired(values, reference) == (0.5, 0.5)
    delta, stderr = stats.paired(values, reference, [0, 0, 1, 1])
    assert delta == 0.5
    assert stderr == pytest.approx(math.sqrt(2 * (1 + 1)) / 4)


def test_pairing_removes_what_both_share():
    rng = np.random.default_rng(9)
    hard = rng.normal(scale=10, size=200)
    one, two = hard + rng.normal(scale=0.1, size=200), hard + rng.normal(scale=0.1, size=200)
    assert stats.paired(one, two)[1] < 0.1 * stats.mean_stderr(one)[1]


def test_pairs_need_equal_lengths():
    with pytest.raises(ValueError, match="equal lengths"):
        stats.paired([1.0, 2.0], [1.0, 2.0, 3.0])
