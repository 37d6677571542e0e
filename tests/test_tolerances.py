"""What each kind of tolerance allows, in figures worked out by hand."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.gate.tolerances import allowance, exact, paired_allowance, rounded
from quantgate.results import Direction, Tolerance

HIGHER, LOWER = Direction.HIGHER, Direction.LOWER


def allowed(kind, value, anchor, direction=HIGHER, *, metric="accuracy", at_risk=None, **more):
    tolerance = Tolerance(kind=kind, value=value, at_risk=at_risk)
    return tuple(map(float, allowance(tolerance, exact(anchor), metric, direction, **more)))


@pytest.mark.parametrize(
    ("kind", "value", "anchor", "direction", "expected"),
    [
        ("absolute", 0.01, 0.8, HIGHER, 0.01),
        ("absolute", 0.01, 14.0, LOWER, 0.01),
        ("relative", 0.05, 0.8, HIGHER, 0.04),
        ("relative", 0.05, 14.0, LOWER, 0.7),
        ("ratio_to_reference", 0.99, 0.8, HIGHER, 0.008),
        ("ratio_to_reference", 0.8, 14.0, LOWER, 3.5),  # up to 17.5, of which 14 is 80 %
        ("ratio_to_reference", 1.0, 0.8, HIGHER, 0.0),
        ("significant_drop", 0.01, 0.8, HIGHER, 0.01),
    ],
)
def test_allowance_in_the_metrics_unit(kind, value, anchor, direction, expected):
    assert allowed(kind, value, anchor, direction) == (expected, expected)


def test_three_state_has_two_bounds():
    assert allowed("three_state", 0.05, 0.8, at_risk=0.1) == (0.04, 0.08)


def test_significant_drop_of_a_perplexity_is_in_nats():
    size, _ = allowed("significant_drop", 0.02, 14.0, LOWER, metric="perplexity")
    assert size == pytest.approx(14 * (math.exp(0.02) - 1), rel=1e-12)
    assert allowed("significant_drop", 0.02, 14.0, LOWER, metric="kl_mean") == (0.02, 0.02)


def test_shares_may_be_taken_of_something_else():
    for kind in ("relative", "three_state"):
        found = allowed(kind, 0.02, 0.0, LOWER, at_risk=0.04, share_of=Fraction(1))
        assert found[0] == 0.02


def test_mlperf_is_exactly_its_share():
    """0.99 * 0.8 is 0.792 in decimals and something else in binary floats."""
    tolerance = Tolerance(kind="ratio_to_reference", value=0.99)
    _, size = allowance(tolerance, exact(0.8), "accuracy", HIGHER)
    assert exact(0.8) - size == exact(0.792)


@pytest.mark.parametrize(
    ("kind", "value", "metric", "expected"),
    [
        ("relative", 0.015, "perplexity", math.log(1.015)),
        ("absolute", 0.5, "perplexity", math.log(14.5 / 14)),
        ("ratio_to_reference", 0.99, "word_perplexity", -math.log(0.99)),
        ("significant_drop", 0.02, "byte_perplexity", 0.02),
        ("relative", 0.5, "bits_per_byte", 7.0),
        ("absolute", 0.02, "kl_mean", 0.02),
    ],
)
def test_allowance_on_the_scale_of_pairs(kind, value, metric, expected):
    tolerance = Tolerance(kind=kind, value=value)
    _, size = allowance(tolerance, exact(14.0), metric, LOWER)
    found = paired_allowance(tolerance, exact(14.0), size, metric)
    assert found == pytest.approx(expected, rel=1e-12)


def test_no_logarithm_of_nothing():
    tolerance = Tolerance(kind="absolute", value=0.1)
    assert paired_allowance(tolerance, exact(0.0), exact(0.1), "perplexity") is None


@pytest.mark.parametrize(
    "tolerance",
    [
        Tolerance(kind="generous", value=1.0),
        Tolerance(kind="three_state", value=0.05),
    ],
)
def test_unknown_kind_is_refused(tolerance):
    with pytest.raises(ValueError, match=tolerance.kind):
        allowance(tolerance, exact(0.8), "accuracy", HIGHER)


@given(
    st.sampled_from(["absolute", "relative", "ratio_to_reference", "significant_drop"]),
    st.floats(5e-324, 1.0),
    st.floats(0, 1e308),
    st.sampled_from([HIGHER, LOWER]),
    st.sampled_from(["accuracy", "perplexity"]),
)
def test_every_tolerance_allows_a_number(kind, value, anchor, direction, metric):
    tolerance = Tolerance(kind=kind, value=value)
    _, size = allowance(tolerance, exact(anchor), metric, direction)
    assert size >= 0
    assert math.isfinite(rounded(size))
    scaled = paired_allowance(tolerance, exact(anchor), size, metric)
    assert scaled is None or math.isfinite(scaled)


def test_largest_significant_drop_is_a_number():
    tolerance = Tolerance(kind="significant_drop", value=1000.0)
    _, size = allowance(tolerance, exact(14.0), "perplexity", LOWER)
    assert math.isfinite(rounded(size))
