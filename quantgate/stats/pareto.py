"""The Pareto front of points with two figures: those that no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return for each point whether it is on the front; more is better in both figures.

    A point beats another that it is at least as good as in both figures and better than in one.
    Equal points don't beat each other, so they are on the front together or not at all. Takes
    O(n log n): from the largest first figure on, a point must exceed all second figures before.

    Args:
        points: pairs of figures; negate one of which less is better. What holds a NaN is never on
            the front and beats nothing.
    """
    whole = [index for index, point in enumerate(points) if not any(map(math.isnan, point))]
    whole.sort(key=lambda index: points[index], reverse=True)
    front = [False] * len(points)
    best: float | None = None  # second figure of those with a larger first
    for _, alike in groupby(whole, key=lambda index: points[index][0]):
        members = list(alike)
        most = points[members[0]][1]
        if best is None or most > best:
            for index in members:
                front[index] = points[index][1] == most
            best = most
    return front
