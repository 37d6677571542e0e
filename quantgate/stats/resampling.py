"""Bootstrap intervals of any statistic, whole clusters resampled."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantgate.stats.quantiles import two_sided
from quantgate.stats.vectors import Vector, cluster_codes, vector

RESAMPLES = 2000  # Monte-Carlo error of a 95 % end: about 0.005 in its level


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[Vector], float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: str = "BCa",
) -> tuple[float, float]:
    """Return the two-sided bootstrap interval of `statistic(values)`, by `scipy.stats.bootstrap`.

    Clusters are drawn whole, with replacement, as many as there are; the statistic sees the items
    of those drawn. BCa corrects the percentile interval for bias and skewness, its acceleration
    from leaving out one cluster at a time (Efron, JASA 82, 1987). Equal arguments give equal
    intervals.

    Args:
        values: one figure an item, `[n]`.
        statistic: maps any number of items to a figure.
        clusters: label of each item's cluster (a window); None where items are independent.
        confidence: of the interval.
        resamples: how many times the clusters are drawn.
        seed: of the draws.
        method: `BCa`, `percentile` or `basic`.

    Returns:
        Its ends, equal where every draw yields the same figure.

    Raises:
        ValueError: as `clustered_stderr`; an unknown method; or a statistic of which BCa has no
            interval, because all draws lie to one side of it or leaving out any cluster changes
            nothing.
    """
    from scipy.stats import bootstrap

    items = vector(values)
    two_sided(confidence)  # refuses what is no confidence
    count, drawn = _drawn(items, clusters, statistic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a degenerate distribution is told below
        found = bootstrap(
            (np.arange(count),),
            drawn,
            vectorized=False,
            n_resamples=resamples,
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(seed),
        )
    low, high = map(float, found.confidence_interval)
    distribution = np.asarray(found.bootstrap_distribution)
    if (distribution == distribution[0]).all():
        return float(distribution[0]), float(distribution[0])
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{method} has no interval of this statistic over {count} clusters")
    return low, high


def _drawn(
    items: Vector, clusters: Sequence[Hashable] | None, statistic: Callable[[Vector], float]
) -> tuple[int, Callable[[NDArray[np.intp]], float]]:
    """How many clusters there are, and the statistic of those whose numbers were drawn."""
    if clusters is None:
        return items.size, lambda chosen: float(statistic(items[chosen]))
    groups = _groups(items, clusters)

    def of_clusters(chosen: NDArray[np.intp]) -> float:
        return float(statistic(np.concatenate([groups[number] for number in chosen])))

    return len(groups), of_clusters


def _groups(items: Vector, clusters: Sequence[Hashable]) -> list[Vector]:
    """The items of each cluster."""
    codes, groups = cluster_codes(clusters, items.size)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=groups))
    return np.split(items[order], ends[:-1])
