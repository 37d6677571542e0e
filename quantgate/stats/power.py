"""The smallest change that a run would have found.

A one-sided test at `level` finds a change of d standard errors with probability `power` where
d = z_level + z_power (0.95 and 0.80: 1.645 + 0.842 = 2.487).
"""

from __future__ import annotations

import math

from quantgate.stats.quantiles import t_quantile, z_quantile


def detectable(
    stderr: float, level: float = 0.95, power: float = 0.80, clusters: int | None = None
) -> float:
    """Return the smallest harmful change found at one-sided `level` with probability `power`.

    (q_level + q_power) * stderr, with normal quantiles, or Student's t with clusters - 1 degrees
    of freedom where the error was estimated from that many clusters (Bloom, "Minimum Detectable
    Effects", Evaluation Review 19, 1995).

    Args:
        stderr: standard error of the change; the result is in its unit.
        level: one-sided confidence of the test.
        power: probability of finding a change of that size.
        clusters: independent items behind the error; None for the normal quantiles.

    Raises:
        ValueError: an error that isn't finite or is negative, fewer than two clusters, or a level
            or power that isn't between 0 and 1.
    """
    if not (math.isfinite(stderr) and stderr >= 0):
        raise ValueError(f"a standard error is 0 or more, not {stderr}")
    if clusters is None:
        return (z_quantile(level) + z_quantile(power)) * stderr
    if clusters < 2:
        raise ValueError(f"a clustered error needs two clusters at least, not {clusters}")
    freedom = clusters - 1
    return (t_quantile(level, freedom) + t_quantile(power, freedom)) * stderr


def paired_detectable(
    lost: int, won: int, n: int, level: float = 0.95, power: float = 0.80
) -> float:
    """Return the smallest drop in accuracy that `n` paired questions would have shown.

    k sqrt(max(lost + won, k^2)) / n with k = z_level + z_power, at most 1: McNemar's test has the
    standard error sqrt(lost + won) / n, so a drop of k of them is found (Connor, Biometrics 43,
    1987). A drop of x is made of at least x n pairs that differ, so it can't be found by fewer
    than k^2 of them (6.2 at 0.95 and 0.80): that is the floor, which a run without any such pair
    meets as well.

    Args:
        lost: answers that went from right to wrong.
        won: answers that went from wrong to right.
        n: questions paired.
        level: one-sided confidence of the test.
        power: probability of finding a drop of that size.

    Returns:
        A fraction of the questions, more than 0.

    Raises:
        ValueError: negative counts, more pairs than questions, or as `detectable`.
    """
    if n < 1 or lost < 0 or won < 0 or lost + won > n:
        raise ValueError(f"{lost} lost and {won} won of {n} questions can't be")
    factor = z_quantile(level) + z_quantile(power)
    return min(1.0, factor * math.sqrt(max(lost + won, factor**2)) / n)
