"""Errors of sums over windows that stand in order, of which neighbours are alike.

A text stays with its subject for longer than a window: on WikiText-2 the differences of a window of
1,024 tokens have a correlation of 0.13 to 0.26 to the next one's, which fades over about eight.
Errors that take windows as independent are too small there by a factor of 1.4 to 1.6 at least.

The remedy is the equal-weighted cosine estimator that Lazarus, Lewis, Stock and Watson recommend
("HAR Inference: Recommendations for Practice", Journal of Business & Economic Statistics 36, 2018):
slow cosines along the text take up what varies slowly, so the mean square of the first few
projections on them is the variance of the sum, whether windows are alike or independent. It has as
many degrees of freedom as there are cosines, nu = 0.3 G^(2/3) of G windows. (They advise 0.4; 0.3
holds from 64 windows of such a text on, 0.4 from about 250: docs/statistics.md.)
"""

from __future__ import annotations

import math

import numpy as np

from quantgate.stats.vectors import Vector

_RATE = 0.3
_FEWEST = 4


def cosines(windows: int) -> int:
    """Return nu, how many cosines are used, the degrees of freedom: 4 of 64 windows, 12 of 280.

    0.3 G^(2/3) rounded down, at least 4 so that few windows keep some power, at most G - 1, where
    the estimate is the one for independent windows.
    """
    return min(windows - 1, max(_FEWEST, math.floor(_RATE * math.pow(windows, 2 / 3))))


def serial_stderr(residuals: Vector) -> float:
    """Return the standard error of the sum of G residuals that stand in order, `[G]`, G >= 2.

    sqrt(G / nu * sum_{j=1..nu} L_j^2) with L_j = sqrt(2 / G) sum_g cos(pi j (g - 1/2) / G) r_g for
    g = 1..G. The residuals' sum is 0.
    """
    windows = residuals.size
    count = cosines(windows)
    places = (np.arange(windows) + 0.5) / windows
    waves = np.cos(np.pi * np.arange(1, count + 1)[:, None] * places)
    projections = math.sqrt(2 / windows) * (waves @ residuals)
    return math.sqrt(windows / count * float(projections @ projections))
