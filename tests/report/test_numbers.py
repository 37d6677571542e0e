"""Figures with units and enough digits."""

import math

import pytest

from quantgate.report.numbers import change, digits_for, figure, number, signed, times


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
    ("value", "shown"),
    [
        (1.0, "100.00 %"),
        (63_999 / 64_000, "99.998 %"),
        (0.999999999, "99.9999999 %"),
        (1.00004, "100.004 %"),
        (0.9999, "99.99 %"),
        (0.1 + 0.7 + 0.2 - 1e-16, "100.00 %"),  # arithmetic leaves as much of what is equal
        (1 / 64_000, "0.00156 %"),
        (1e-12, "1.00e-10 %"),
    ],
)
def test_rounding_makes_neither_all_nor_nothing(value, shown):
    assert figure(value, "fraction") == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1.00"), (0.9996, "0.9996"), (1.00002, "1.00002"), (-0.9996, "-0.9996"),
        (1.004, "1.004"), (0.996, "0.996"), (1.02, "1.02"), (1 + 1e-11, "1.00000000001"),
        (1 - 1e-15, "1.000"), (1 + 9e-16, "1.00"),
    ],
)  # fmt: skip
def test_rounding_makes_no_one(value, shown):
    assert number(value) == shown


def test_digits_asked_for_make_no_zero_of_anything_else():
    assert number(0.004, 2) == "4.00e-03"
    assert number(-0.004, 2) == "-4.00e-03"
    assert number(0.0, 2) == "0.00"
    assert number(100.4, 0) == "100"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.25, "+2.25"), (-2.25, "-2.25"), (0.0, "+0.00"), (-0.0, "+0.00"), (0.00312, "+0.00312"),
        (-0.00001, "-1.00e-05"), (math.nan, "+nan"),
    ],
)  # fmt: skip
def test_signs_stand_before_changes(value, shown):
    assert signed(value) == shown


def test_signs_stand_before_digits_asked_for():
    assert (signed(1.5, 3), signed(-1.5, 3), signed(-0.0001, 2)) == (
        "+1.500",
        "-1.500",
        "-1.00e-04",
    )


@pytest.mark.parametrize(
    ("numbers", "digits"),
    [
        ((), 2),
        ((14.82, 14.37), 2),
        ((14.821, 14.822), 3),
        ((1.0, 1.0), 2),
        ((0.0308, 0.0), 4),
        ((99.9984, 99.9984), 3),
        ((100.0, 99.9993), 3),
        ((0.9996, 2.0), 4),
    ],
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
