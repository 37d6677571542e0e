"""Many questions asked at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return Holm's adjusted p-values, `[m]`, in the order of `p_values`.

    With p_(1) <= ... <= p_(m): adjusted p_(i) = min(1, max over j <= i of (m - j + 1) p_(j)).
    Rejecting those at or below alpha keeps the probability of any false rejection below alpha,
    however the tests depend on each other (Holm, Scandinavian Journal of Statistics 6, 1979).

    Raises:
        ValueError: not one axis, or a value outside 0..1 (NaN too).
    """
    found: NDArray[np.float64] = np.asarray(p_values, dtype=np.float64)
    if found.ndim != 1:
        raise ValueError(f"p-values lie in one row, not in an array of shape {found.shape}")
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"a p-value lies between 0 and 1: {found.tolist()}")
    order = np.argsort(found, kind="stable")
    steps = found[order] * np.arange(found.size, 0, -1)
    adjusted = np.empty_like(found)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
