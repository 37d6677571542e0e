"""The only place where per-item vectors become figures; everything runs in float64.

All errors are standard errors of a mean of n items s_i with mean m:

- plain: sd / sqrt(n), with the sample standard deviation (n - 1 in its denominator);
- clustered: sqrt(G / (G - 1) * sum_c (sum_{i in c} (s_i - m))^2) / n over G clusters. This is the
  clustered standard error of Miller, "Adding Error Bars to Evals" (2024, arXiv 2411.00640,
  section 2.2), whose double sum over pairs within a cluster equals the squared sum, times the
  factor G / (G - 1) that Liang and Zeger's estimator needs where clusters are few (Cameron and
  Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015). With one item a cluster it
  equals the plain one.

A set-up that has no standard error is a ValueError, never 0.0. Intervals: `normal_interval` is
mean +- z * stderr; `wilson_interval` is Wilson's score interval (JASA 22, 1927).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]


def mean_stderr(values: ArrayLike) -> tuple[float, float]:
    """Return the mean of `values` ([n], n >= 2) and its plain standard error.

    Raises:
        ValueError: fewer than two values, not one axis, or a value that isn't finite.
    """
    vector = _vector(values)
    return float(vector.mean()), float(vector.std(ddof=1) / math.sqrt(vector.size))


def clustered_stderr(values: ArrayLike, clusters: Sequence[Hashable]) -> float:
    """Return the cluster-robust standard error of the mean of `values` ([n]).

    Args:
        values: one figure an item.
        clusters: the label of each item's cluster (a subject, a window), in the same order.

    Raises:
        ValueError: as `mean_stderr`; labels that don't match the values; fewer than two clusters.
    """
    vector = _vector(values)
    if len(clusters) != vector.size:
        raise ValueError(f"{vector.size} values need as many cluster labels, not {len(clusters)}")
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in clusters])
    groups = len(numbers)
    if groups < 2:
        raise ValueError("a clustered standard error needs two clusters at least")
    sums = np.bincount(codes, weights=vector - vector.mean(), minlength=groups)
    return float(math.sqrt(groups / (groups - 1) * float(sums @ sums)) / vector.size)


def paired(
    values: ArrayLike, reference: ArrayLike, clusters: Sequence[Hashable] | None = None
) -> tuple[float, float]:
    """Return the mean of `values - reference`, item by item, and its standard error.

    Args:
        values: the candidate's figures, [n].
        reference: the reference's figures of the same items, [n].
        clusters: labels to cluster the error by; None for the plain error.

    Raises:
        ValueError: vectors of different lengths, or as `mean_stderr` and `clustered_stderr`.
    """
    candidate, anchor = _vector(values), _vector(reference)
    if candidate.size != anchor.size:
        raise ValueError(f"pairs need equal lengths, not {candidate.size} and {anchor.size}")
    difference = candidate - anchor
    mean, stderr = mean_stderr(difference)
    return mean, stderr if clusters is None else clustered_stderr(difference, clusters)


def normal_interval(mean: float, stderr: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval of a normal estimate; ValueError for a senseless argument."""
    if not (math.isfinite(mean) and math.isfinite(stderr) and stderr >= 0):
        raise ValueError(f"no interval around {mean} with standard error {stderr}")
    half = _z(confidence) * stderr
    return mean - half, mean + half


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a fraction `successes / n`.

    Raises:
        ValueError: n < 1, or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} are no fraction")
    z, share = _z(confidence), successes / n
    shrink = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The ends are exactly 0 and 1 for none and all; keep rounding from putting them outside.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _vector(values: ArrayLike) -> Vector:
    vector: Vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError(f"one figure an item is needed, not an array of shape {vector.shape}")
    if vector.size < 2:
        raise ValueError(f"a standard error needs two values at least, not {vector.size}")
    if not np.isfinite(vector).all():
        first = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(f"item {first} is {vector[first]}; every item must be finite")
    return vector
