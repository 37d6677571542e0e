"""Intervals against tables, their defining equations and published examples."""

import math

import pytest

from quantgate import stats
from quantgate.stats.quantiles import t_quantile, t_tails, z_quantile


def test_normal_interval_by_the_table():
    low, high = stats.normal_interval(1.0, 0.5)
    assert (low, high) == pytest.approx((1 - 0.979982, 1 + 0.979982), abs=1e-6)
    assert stats.normal_interval(0.0, 1.0, 0.9)[1] == pytest.approx(1.644854, abs=1e-6)


@pytest.mark.parametrize("arguments", [(math.nan, 1), (0, -1), (0, math.inf), (0, 1, 1.0)])
def test_senseless_intervals_are_refused(arguments):
    with pytest.raises(ValueError, match=r"interval|confidence"):
        stats.normal_interval(*arguments)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (81, 263), (10, 10)])
def test_wilson_ends_solve_the_score_equation(successes, n):
    # By definition an end p satisfies |share - p| = z * sqrt(p (1 - p) / n).
    share, z = successes / n, 1.959963984540054
    for p in stats.wilson_interval(successes, n):
        assert abs(share - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n), abs=1e-12)


def test_wilson_of_a_published_example():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 gives 0.2553 to 0.3662.
    assert stats.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 4), (5, 4)])
def test_wilson_refuses_what_is_no_fraction(successes, n):
    with pytest.raises(ValueError, match="no fraction"):
        stats.wilson_interval(successes, n)


def test_wilson_of_none_and_all_ends_at_the_bounds():
    assert stats.wilson_interval(0, 17)[0] == 0.0
    assert stats.wilson_interval(17, 17)[1] == 1.0


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, math.nan])
def test_a_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match="confidence"):
        stats.wilson_interval(3, 10, confidence)
    with pytest.raises(ValueError, match="confidence"):
        stats.clustered_ratio([1, 2], [1, 1], confidence)


def test_quantiles_by_the_table():
    assert t_quantile(0.975, 1) == pytest.approx(12.7062, abs=1e-4)
    assert t_quantile(0.975, 4) == pytest.approx(2.77645, abs=1e-5)
    assert t_quantile(0.95, 10) == pytest.approx(1.81246, abs=1e-5)
    assert t_quantile(0.975, 1e9) == pytest.approx(z_quantile(0.975), abs=1e-6)


@pytest.mark.parametrize("statistic", [0.0, 0.3, -2.5, 7.0])
def test_tails_of_one_and_two_degrees_of_freedom_have_a_closed_form(statistic):
    t = abs(statistic)
    assert t_tails(statistic, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, rel=1e-12)
    assert t_tails(statistic, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-12)


def test_quantiles_refuse_what_is_none():
    with pytest.raises(ValueError, match="share of a distribution"):
        z_quantile(1.0)
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_quantile(0.95, 0)
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_tails(1.0, 0)
