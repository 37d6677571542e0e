"""What every statistic asks of its items: one axis, two of them at least, all finite."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]


def vector(values: ArrayLike) -> Vector:
    """Return `values` in float64, `[n]`.

    Raises:
        ValueError: fewer than two values, not one axis, or a value that isn't finite.
    """
    found: Vector = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"one figure an item is needed, not an array of shape {found.shape}")
    if found.size < 2:
        raise ValueError(f"a standard error needs two values at least, not {found.size}")
    if not np.isfinite(found).all():
        first = int(np.flatnonzero(~np.isfinite(found))[0])
        raise ValueError(f"item {first} is {found[first]}; every item must be finite")
    return found


def pair(values: ArrayLike, reference: ArrayLike) -> tuple[Vector, Vector]:
    """Return both as vectors of one length, `[n]` each.

    Raises:
        ValueError: as `vector`, or different lengths.
    """
    one, other = vector(values), vector(reference)
    if one.size != other.size:
        raise ValueError(f"pairs need equal lengths, not {one.size} and {other.size}")
    return one, other


def cluster_codes(clusters: Sequence[Hashable], items: int) -> tuple[NDArray[np.intp], int]:
    """Number the clusters by their first item.

    Args:
        clusters: the label of each item's cluster (a subject, a window).
        items: how many items there are.

    Returns:
        The number of each item's cluster, `[items]`, and how many clusters there are.

    Raises:
        ValueError: labels that don't match the items; fewer than two clusters.
    """
    if len(clusters) != items:
        raise ValueError(f"{items} values need as many cluster labels, not {len(clusters)}")
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in clusters], dtype=np.intp)
    if len(numbers) < 2:
        raise ValueError("a clustered standard error needs two clusters at least")
    return codes, len(numbers)
