"""Ratios of sums over windows or documents, with errors by window or document."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from quantgate.stats.estimates import Estimate, effective, student
from quantgate.stats.serial import cosines, serial_stderr
from quantgate.stats.vectors import pair


def clustered_ratio(
    sums: ArrayLike, counts: ArrayLike, confidence: float = 0.95, *, independent: bool = False
) -> Estimate:
    """Return the ratio R = sum(sums) / sum(counts) over G windows, and Student's interval of it.

    With the residuals r_g = sums_g - R counts_g the standard error is, over sum(counts):

    - for windows of one text, in its order, `serial.serial_stderr` of the residuals, which allows
      for neighbours that are alike; nu degrees of freedom (4 of 64 windows, 12 of 280);
    - for `independent` documents sqrt(G / (G - 1) * sum_g r_g^2), that of the mean of all items
      clustered by document; G* - 1 degrees of freedom, with G* = sum(counts)^2 / sum(counts^2), the
      number of equal documents that would be as informative, rounded down.

    Intervals cover 93 to 97 % from 16 windows on where they are independent, and from 64 on where
    subjects last for several; with 16 to 32 of such a text 87 to 92 % (docs/statistics.md).

    Args:
        sums: sum over each window, `[G]`: nats, or differences of nats.
        counts: how many positions each window has, `[G]`.
        confidence: of the two-sided interval.
        independent: whether nothing follows from the order.

    Returns:
        The ratio, in the unit of `sums` a position; `n` is the sum of the counts and `clusters` the
        degrees of freedom plus one.

    Raises:
        ValueError: fewer than two windows with positions, different lengths, a value that isn't
            finite, or a negative count.
    """
    totals, sizes = pair(sums, counts)
    if (sizes < 0).any() or (sizes > 0).sum() < 2:
        raise ValueError("two windows with positions are needed at least, and no negative count")
    n = float(sizes.sum())
    value = float(totals.sum()) / n
    residuals = totals - value * sizes
    if independent:
        groups = totals.size
        spread = math.sqrt(groups / (groups - 1) * float(residuals @ residuals))
        freedom = effective(sizes) - 1
    else:
        spread, freedom = serial_stderr(residuals), cosines(totals.size)
    return student(value, spread / n, n=round(n), clusters=freedom + 1, confidence=confidence)
