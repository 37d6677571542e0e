"""Means of items and their standard errors.

All errors are standard errors of a mean of n items s_i with mean m:

- plain: sd / sqrt(n), with the sample standard deviation (n - 1 in its denominator);
- clustered: sqrt(G / (G - 1) * sum_c (sum_{i in c} (s_i - m))^2) / n over G clusters. This is the
  clustered standard error of Miller, "Adding Error Bars to Evals" (2024, arXiv 2411.00640,
  section 2.2), whose double sum over pairs within a cluster equals the squared sum, times the
  factor G / (G - 1) that Liang and Zeger's estimator needs where clusters are few (Cameron and
  Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015). With one item a cluster it
  equals the plain one.

A set-up that has no standard error is a ValueError, never 0.0.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from quantgate.stats.vectors import cluster_codes, pair, vector


def mean_stderr(values: ArrayLike) -> tuple[float, float]:
    """Return the mean of `values` ([n], n >= 2) and its plain standard error.

    Raises:
        ValueError: fewer than two values, not one axis, or a value that isn't finite.
    """
    items = vector(values)
    return float(items.mean()), float(items.std(ddof=1) / math.sqrt(items.size))


def clustered_stderr(values: ArrayLike, clusters: Sequence[Hashable]) -> float:
    """Return the cluster-robust standard error of the mean of `values` ([n]).

    Args:
        values: one figure an item.
        clusters: the label of each item's cluster (a subject, a window), in the same order.

    Raises:
        ValueError: as `mean_stderr`; labels that don't match the values; fewer than two clusters.
    """
    items = vector(values)
    codes, groups = cluster_codes(clusters, items.size)
    sums = np.bincount(codes, weights=items - items.mean(), minlength=groups)
    return float(math.sqrt(groups / (groups - 1) * float(sums @ sums)) / items.size)


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
    candidate, anchor = pair(values, reference)
    difference = candidate - anchor
    mean, stderr = mean_stderr(difference)
    return mean, stderr if clusters is None else clustered_stderr(difference, clusters)
