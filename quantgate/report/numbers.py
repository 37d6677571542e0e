"""Figures in words: units, signs and as many digits as it takes to see a difference.

Only what is shown is rounded, never what is decided. Fractions (accuracy, agreement) are shown in
per cent and their differences in points. Rounding makes no 0, 1 or 100 of anything else: one token
in 64,000 that differs is 99.998 % alike, and not 100.00 %.
"""

from __future__ import annotations

import math

FRACTION = "fraction"
_FEWEST, _MOST = 2, 15
_TINY = 1e-4  # what is smaller is written in powers of ten
_FULL = (1.0, 100.0)  # as much as the reference, and all of it in per cent
_SAME = 1e-12  # relative; less is what arithmetic leaves of equal numbers
_MANYFOLD = 10  # from here on how many times says more than how many per cent
_LONGEST = 1e6  # times that are written out
_BARE = ("", "perplexity", "ratio")  # units that a figure's name already tells


def percent(value: float, unit: str) -> float:
    """Return a value on the scale it is shown on: fractions in per cent, all else as it is."""
    return value * 100 if unit == FRACTION else value


def digits_for(*numbers: float) -> int:
    """Return the decimals that show what `number` shows of each, and keep them apart."""
    apart = len(set(numbers))
    fewest = max(map(_decimals, numbers), default=_FEWEST)
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

    What is below 1e-4, or would be a 0 with so many decimals, is written in powers of ten. What is
    nearly 1 or 100 has more digits, unless `digits` says how many: `digits_for` allows for that.
    """
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{_decimals(value) if digits is None else digits}f}"
    if value and (float(text) == 0 or (digits is None and abs(value) < _TINY)):
        return f"{value:.2e}"
    return text


def signed(value: float, digits: int | None = None) -> str:
    """Return a number with its sign: `+2.25`, `-1.23e-05`; that of 0 is a plus."""
    return f"{'-' if value < 0 else '+'}{number(abs(value), digits)}"


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


def _decimals(value: float) -> int:
    """Return the decimals for three significant digits, and for what is nearly 1 or 100 more."""
    fewest = _significant(value)
    return next((n for n in range(fewest, _MOST) if not _looks_full(value, n)), _MOST)


def _looks_full(value: float, digits: int) -> bool:
    shown = round(abs(value), digits)
    return shown in _FULL and not math.isclose(abs(value), shown, rel_tol=_SAME)


def _significant(value: float) -> int:
    """Return the decimals that show three significant digits: 4 for 0.0308, 2 for 14.82."""
    if value == 0 or not math.isfinite(value):
        return _FEWEST
    return min(max(_FEWEST, _FEWEST - math.floor(math.log10(abs(value)))), _MOST)
