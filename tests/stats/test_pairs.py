"""Changes in accuracy against hand computation and McNemar's definition."""

import math
from math import comb

import numpy as np
import pytest

from quantgate import stats
from quantgate.stats.estimates import Estimate, effective


def test_paired_share_by_hand():
    # Differences -1, 0, 1, -1, 0: mean -0.2; squares .64 + .04 + 1.44 + .64 + .04 = 2.8; variance
    # 0.7, error sqrt(0.14); t(0.975, 4) = 2.776445.
    found = stats.paired_share([0, 1, 1, 0, 0], [1, 1, 0, 1, 0])
    assert found.value == pytest.approx(-0.2)
    assert found.stderr == pytest.approx(math.sqrt(0.14))
    assert found.high - found.value == pytest.approx(2.776445 * math.sqrt(0.14), rel=1e-6)
    assert (found.low + found.high) / 2 == pytest.approx(-0.2)
    assert (found.n, found.clusters) == (5, 5)


def test_paired_share_takes_booleans():
    now, before = np.array([True, False, True]), np.array([True, True, True])
    assert stats.paired_share(now, before) == stats.paired_share([1, 0, 1], [1, 1, 1])


@pytest.mark.parametrize(("lost", "won", "n"), [(0, 1, 30), (5, 2, 100), (9, 9, 40)])
def test_error_of_a_paired_share_by_counts(lost, won, n):
    # Of d = lost + won differences of size one: variance (d / n - m^2) / (n - 1).
    before = [1] * lost + [0] * won + [1] * (n - lost - won)
    now = [0] * lost + [1] * won + [1] * (n - lost - won)
    found, mean = stats.paired_share(now, before), (won - lost) / n
    assert found.value == pytest.approx(mean)
    assert found.stderr == pytest.approx(math.sqrt(((lost + won) / n - mean**2) / (n - 1)))


def test_clustered_share_has_the_clustered_error_and_few_degrees_of_freedom():
    rng = np.random.default_rng(4)
    now, before = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    subjects = ["a"] * 30 + ["b"] * 15 + ["c"] * 15
    found = stats.paired_share(now, before, subjects)
    assert (found.value, found.stderr) == stats.paired(now, before, subjects)
    # 60^2 / (900 + 225 + 225) = 2.67: as good as two equal subjects, t(0.975, 1) = 12.7062.
    assert found.clusters == 2
    assert found.high - found.value == pytest.approx(12.7062 * found.stderr, rel=1e-5)


def test_equal_answers_have_a_single_point():
    found = stats.paired_share([1, 0, 1, 1], [1, 0, 1, 1], ["a", "a", "b", "b"])
    assert (found.value, found.stderr, found.low, found.high) == (0, 0, 0, 0)
    assert stats.t_p_value(found) == 1.0


@pytest.mark.parametrize("now", [[1, 0.5, 0], [2, 0, 1], [-1, 0, 1]])
def test_answers_are_right_or_wrong(now):
    with pytest.raises(ValueError, match="right or wrong"):
        stats.paired_share(now, [1, 0, 1])


def test_answers_are_paired_one_by_one():
    with pytest.raises(ValueError, match="equal lengths"):
        stats.paired_share([1, 0, 1], [1, 0])


@pytest.mark.parametrize("groups", [2, 7, 49, 57])
def test_equal_clusters_count_in_full(groups):
    assert effective(np.full(groups, 13.0)) == groups


def test_unequal_clusters_count_for_less_but_never_less_than_two():
    assert effective(np.array([4.0, 2.0, 2.0])) == 2  # 64 / 24
    assert effective(np.array([1000.0, 1.0])) == 2


@pytest.mark.parametrize("lost", range(8))
@pytest.mark.parametrize("won", range(8))
def test_mcnemar_adds_up_what_is_no_likelier(lost, won):
    n = lost + won
    ways = [comb(n, k) for k in range(n + 1)]
    expected = sum(way for way in ways if way <= ways[lost]) / 2**n
    assert stats.mcnemar(lost, won) == pytest.approx(expected, rel=1e-12)


def test_mcnemar_of_one_sided_changes():
    assert stats.mcnemar(0, 0) == 1.0
    assert stats.mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert stats.mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    assert stats.mcnemar(2, 10) == stats.mcnemar(10, 2)


def test_mcnemar_is_scipys_exact_binomial():
    from scipy.stats import binomtest

    assert stats.mcnemar(696, 637) == binomtest(696, 1333, 0.5, alternative="two-sided").pvalue


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="0 or more"):
        stats.mcnemar(-1, 3)


def test_p_value_of_an_estimate_agrees_with_its_interval():
    # The interval of confidence 1 - p ends at 0.
    sums, counts = [3.0, 1.0, 2.5, -0.5, 1.0], [4, 4, 4, 4, 4]
    p = stats.t_p_value(stats.clustered_ratio(sums, counts))
    assert 0 < p < 1
    assert stats.clustered_ratio(sums, counts, 1 - p).low == pytest.approx(0, abs=1e-12)


def test_p_value_without_error_is_certain():
    assert stats.t_p_value(Estimate(0.0, 0.0, 0.0, 0.0, 9, 9)) == 1.0
    assert stats.t_p_value(Estimate(0.1, 0.0, 0.1, 0.1, 9, 9)) == 0.0
    with pytest.raises(ValueError, match="two clusters"):
        stats.t_p_value(Estimate(0.1, 0.1, 0.0, 0.2, 9, 1))
