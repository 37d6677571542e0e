"""Figures in words: units, signs and as many digits as it takes to see a difference.

Only what is shown is rounded, never what is decided. Fractions (accuracy, agreement) are shown in
per cent and their differences in points.
"""

from __future__ import annotations

import math

FRACTION = "fraction"
_FEWEST, _MOST = 2, 15
_TINY = 1e-4  # what is smaller is written in powers of ten
_MANYFOLD = 10  # from here on how many times says more than how many per cent
_LONGEST = 1e6  # times that are written out
_BARE = ("", "perplexity", "ratio")  # units that a figure's name already tells


def percent(value: float, unit: str) -> float:
    """Return a value on the scale it is shown on: fractions in per cent, all else as it is."""
    return value * 100 if unit == FRACTION else value


def digits_for(*numbers: float) -> int:
    """Return the decimals that show three significant digits of each and keep them apart."""
    apart = len(set(numbers))
    fewest = max(map(_significant, numbers), default=_FEWEST)
    for digits in range(fewest, _MOST):
        if len({f"{number:.{digits}f}" for number in numbers}) == apart:
            return digits
    return _MOST


def figure(value: float, unit: str, digits: int | None = None) -> str:
    """Return a figure with its unit: `81.25 %`, `14.82`, `0.123 nats`."""
    text = number(percent(value, unit), digits)
    if unit == FRACTION:
        return f"{text} %"
    return text if unit in _BARE else f"{text} {unit}"


def change(value: float, unit: str, digits: int | None = None) -> str:
    """Return a difference with its unit: `-2.25 points`, `0.45`, `0.0308 nats`."""
    text = number(percent(value, unit), digits)
    if unit == FRACTION:
        return f"{text} points"
    return text if unit in _BARE else f"{text} {unit}"


def number(value: float, digits: int | None = None) -> str:
    """Return a number with `digits` decimals, or with three significant digits at least.

    What is below 1e-4 is written in powers of ten.
    """
    if not math.isfinite(value):
        return str(value)
    if digits is None and 0 < abs(value) < _TINY:
        return f"{value:.2e}"
    return f"{value:.{_significant(value) if digits is None else digits}f}"


def times(value: float, anchor: float) -> str:
    """Return how many times an anchor a value is, from tenfold on: `about 39 times`; else "".

    Two digits, so that whoever divides the figures as they are shown finds the same.
    """
    ratio = value / anchor if anchor > 0 else 0.0
    if not _MANYFOLD <= ratio < math.inf:
        return ""
    if ratio >= _LONGEST:
        return f"about {ratio:.1e} times"
    return f"about {float(f'{ratio:.2g}'):,.0f} times"


def _significant(value: float) -> int:
    """Return the decimals that show three significant digits: 4 for 0.0308, 2 for 14.82."""
    if value == 0 or not math.isfinite(value):
        return _FEWEST
    return min(max(_FEWEST, _FEWEST - math.floor(math.log10(abs(value)))), _MOST)
