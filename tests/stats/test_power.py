"""What is detectable: by hand, by the published guide, and by exact power."""

import math

import pytest
from scipy.stats import binom, nct

from quantgate import stats

FACTOR = 1.644854 + 0.841621


def test_detectable_by_the_table():
    assert stats.detectable(0.01) == pytest.approx(FACTOR / 100, rel=1e-6)
    # t(0.95, 15) = 1.753050, t(0.80, 15) = 0.866245
    assert stats.detectable(0.01, clusters=16) == pytest.approx(0.02619295, rel=1e-6)
    assert stats.detectable(0.01, level=0.975, power=0.9) == pytest.approx(0.03241515, rel=1e-6)
    assert stats.detectable(0.0) == 0.0


@pytest.mark.parametrize("clusters", [5, 8, 13, 64])
def test_a_detectable_change_has_the_stated_power(clusters):
    # Exactly: the test statistic is noncentral t, shifted by the change in standard errors.
    freedom = clusters - 1
    critical = nct.ppf(0.95, freedom, 0)
    power = nct.sf(critical, freedom, stats.detectable(1.0, clusters=clusters))
    assert power == pytest.approx(0.80, abs=0.015)


@pytest.mark.parametrize(
    ("n", "flips", "points"),
    [(570, 0.02, 1.5), (570, 0.05, 2.3), (1000, 0.02, 1.1), (2850, 0.05, 1.0), (14042, 0.02, 0.3)],
)
def test_detectable_drop_of_the_usual_sizes(n, flips, points):
    pairs = round(n * flips)
    found = stats.paired_detectable(pairs // 2, pairs - pairs // 2, n)
    assert 100 * found == pytest.approx(points, abs=0.06)


def test_detectable_drop_by_counts_alone():
    assert stats.paired_detectable(20, 5, 1000) == pytest.approx(FACTOR * 5 / 1000, rel=1e-6)
    assert stats.paired_detectable(5, 20, 1000) == stats.paired_detectable(25, 0, 1000)


@pytest.mark.parametrize("n", [50, 812, 14042])
def test_a_run_without_a_flip_is_not_all_seeing(n):
    found = stats.paired_detectable(0, 0, n)
    assert found == pytest.approx(FACTOR**2 / n, rel=1e-6)
    # Drops that lose answers only: three suffice for a z-test at 5 % (3 / sqrt(3) = 1.73), five
    # for the exact one (1/32). The power of the two embraces what is claimed.
    assert binom.sf(4, n, found) < 0.80 < binom.sf(2, n, found)


def test_detectable_drop_grows_with_flips_and_shrinks_with_questions():
    drops = [stats.paired_detectable(k, k, 1000) for k in range(60)]
    assert drops == sorted(drops)
    assert drops[0] == drops[3] < drops[4]
    by_size = [stats.paired_detectable(5, 5, n) for n in (20, 100, 1000, 10000)]
    assert by_size == sorted(by_size, reverse=True)
    assert stats.paired_detectable(1, 0, 2) == 1.0


@pytest.mark.parametrize("arguments", [(-0.1,), (math.nan,), (0.1, 1.0), (0.1, 0.95, 0.0)])
def test_senseless_errors_and_levels_are_refused(arguments):
    with pytest.raises(ValueError, match=r"standard error|share of a distribution"):
        stats.detectable(*arguments)


def test_one_cluster_detects_nothing():
    with pytest.raises(ValueError, match="two clusters"):
        stats.detectable(0.1, clusters=1)


@pytest.mark.parametrize("counts", [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_cannot_be_are_refused(counts):
    with pytest.raises(ValueError, match="can't be"):
        stats.paired_detectable(*counts)
