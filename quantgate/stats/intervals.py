"""Intervals of a normal estimate and of a fraction."""

from __future__ import annotations

import math

from quantgate.stats.quantiles import two_sided, z_quantile


def normal_interval(mean: float, stderr: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval mean +- z * stderr; ValueError for a senseless argument."""
    if not (math.isfinite(mean) and math.isfinite(stderr) and stderr >= 0):
        raise ValueError(f"no interval around {mean} with standard error {stderr}")
    half = z_quantile(two_sided(confidence)) * stderr
    return mean - half, mean + half


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a fraction `successes / n` (JASA 22, 1927).

    Its ends are the shares p with |successes / n - p| = z sqrt(p (1 - p) / n).

    Raises:
        ValueError: n < 1, or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} are no fraction")
    from scipy.stats import binomtest

    two_sided(confidence)  # refuses what is no confidence
    found = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
