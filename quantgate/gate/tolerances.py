"""How much harm a tolerance allows, in the metric's unit and on the scale of its pairs.

With anchor A and tolerance t, the harmful change that passes is

- `absolute`: t;
- `relative`: t |A|;
- `ratio_to_reference`: what leaves the share t of A: (1 - t) |A| where higher is better, and
  (1 / t - 1) |A| where lower is;
- `significant_drop`: t, which the confidence bound of the harm is held against; for a perplexity
  t is in nats, so A (e^t - 1);
- `three_state`: t |A| as it should be, `at_risk` |A| at most.

Nothing is rounded: numbers are the exact decimals that they are written as, since binary floats put
0.81 - 0.80 above 0.01. An accuracy whose answers are kept is the fraction itself (`checks`).
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Final

from quantgate.gate.scales import LOGARITHMIC
from quantgate.results import Direction, Tolerance

ABSOLUTE: Final = "absolute"
RELATIVE: Final = "relative"
RATIO: Final = "ratio_to_reference"
SIGNIFICANT: Final = "significant_drop"
THREE_STATE: Final = "three_state"
SHARES: Final = frozenset({RELATIVE, RATIO, THREE_STATE})  # of the anchor
_LARGEST_EXPONENT: Final = 700.0  # e to that power is the last that a float holds, or nearly


def exact(number: float) -> Fraction:
    """Return the decimal that the float is written as, exactly."""
    return Fraction(repr(float(number)))


def rounded(number: Fraction) -> float:
    """Return the nearest float, for what is shown: the largest one where `number` is beyond."""
    try:
        return float(number)
    except OverflowError:
        return sys.float_info.max if number > 0 else -sys.float_info.max


def allowance(
    tolerance: Tolerance,
    anchor: Fraction,
    metric: str,
    direction: Direction,
    *,
    share_of: Fraction | None = None,
) -> tuple[Fraction, Fraction]:
    """Return the harm that passes without a word, and the harm that passes at all.

    They differ for `three_state` only.

    Args:
        tolerance: any kind.
        anchor: the figure that is held against.
        metric: name of the score, which says whether pairs are on a logarithm's scale.
        direction: of the metric.
        share_of: what shares are taken of instead of `anchor`.

    Raises:
        ValueError: an unknown kind.
    """
    value = exact(tolerance.value)
    whole = abs(anchor) if share_of is None else share_of
    if tolerance.kind == ABSOLUTE:
        return value, value
    if tolerance.kind == SIGNIFICANT:
        size = value
        if metric in LOGARITHMIC:
            size = abs(anchor) * exact(math.expm1(min(tolerance.value, _LARGEST_EXPONENT)))
        return size, size
    if tolerance.kind == THREE_STATE and tolerance.at_risk is not None:
        return value * whole, exact(tolerance.at_risk) * whole
    if tolerance.kind == RATIO:
        value = 1 - value if direction is Direction.HIGHER else 1 / value - 1
    elif tolerance.kind != RELATIVE:
        raise ValueError(f"no tolerance is of the kind {tolerance.kind!r}")
    return value * whole, value * whole


def paired_allowance(
    tolerance: Tolerance, anchor: Fraction, allowed: Fraction, metric: str
) -> float | None:
    """Return an allowance of `allowance` on the scale of the metric's pairs.

    A perplexity that may rise from A to A + a may rise by ln((A + a) / A) nats.

    Returns:
        None where there is no such scale: a perplexity of 0.
    """
    if metric not in LOGARITHMIC:
        return rounded(allowed)
    if tolerance.kind == SIGNIFICANT:
        return tolerance.value
    return math.log1p(rounded(allowed / anchor)) if anchor > 0 else None
