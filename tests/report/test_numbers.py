"""Figures with units and enough digits."""

import math

import pytest

from quantgate.report.numbers import change, digits_for, figure, number, times


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0.8125, "fraction", "81.25 %"),
        (14.8234, "perplexity", "14.82"),
        (0.030812, "nats", "0.0308 nats"),
        (0.0, "nats", "0.00 nats"),
        (1e-9, "nats", "1.00e-09 nats"),
        (math.nan, "fraction", "nan %"),
    ],
)
def test_figures(value, unit, shown):
    assert figure(value, unit) == shown


def test_changes_of_fractions_are_points():
    assert change(-0.0225, "fraction") == "-2.25 points"
    assert change(0.45, "perplexity") == "0.450"


@pytest.mark.parametrize(
    ("numbers", "digits"),
    [((), 2), ((14.82, 14.37), 2), ((14.821, 14.822), 3), ((1.0, 1.0), 2), ((0.0308, 0.0), 4)],
)
def test_digits_keep_different_numbers_apart(numbers, digits):
    assert digits_for(*numbers) == digits


@pytest.mark.parametrize(
    ("value", "anchor", "told"),
    [
        (98.7995, 2.5119, "about 39 times"),
        (3.48196, 0.0095636, "about 360 times"),
        (10.0, 1.0, "about 10 times"),
        (9.999, 1.0, ""),
        (25_432.0, 1.0, "about 25,000 times"),
        (1e9, 1.0, "about 1.0e+09 times"),
        (5.0, 0.0, ""),
        (-5.0, -0.1, ""),
        (1e308, 1e-300, ""),
        (math.inf, 1.0, ""),
        (math.nan, 1.0, ""),
        (1.0, math.nan, ""),
    ],
)
def test_beyond_tenfold_is_so_many_times(value, anchor, told):
    assert times(value, anchor) == told


def test_digits_end_somewhere():
    assert digits_for(1.0, math.nextafter(1.0, 2.0)) == 15
    assert number(1e-300) == "1.00e-300"
