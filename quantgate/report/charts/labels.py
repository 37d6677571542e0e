"""Places for the names of points, so that no name covers another, a point or a line.

All is in units of the drawing, from its lower left corner. How wide a name becomes depends on the
reader's letters; `LETTER` allows for wide ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

SIZE: Final = 10  # of the letters
LETTER: Final = 6.4  # units that one takes, at most on the average
LINE: Final = 13.0
# Distances between a point and the edge of its name; the nearest that is free is taken.
_DISTANCES: Final = (7.0, 13.0, 20.0, 30.0, 42.0, 60.0)
NEAR: Final = 13.0  # as far a name needs no line to its point
# To the right, to the left, above, below, and between them.
_SIDES: Final = (
    *((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)),
    *((1, 0.5), (-1, 0.5), (1, -0.5), (-1, -0.5), (0.5, 1), (-0.5, 1), (0.5, -1), (-0.5, -1)),
)
_STEP: Final = 3.0  # between the places at which a line to a point is looked at


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether both share more than an edge."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top

    def holds(self, other: Box) -> bool:
        """Whether `other` is inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.bottom <= other.bottom and other.top <= self.top

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in it that is nearest to a point."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name stands, and whether it needs a line to its point."""

    box: Box
    far: bool


def around(x: float, y: float, reach: float) -> Box:
    """The square that a marker takes."""
    return Box(x - reach, y - reach, x + reach, y + reach)


def width(name: str) -> float:
    """Units that a name takes at most."""
    return LETTER * len(name)


def place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    frame: Box,
    taken: Sequence[Box],
) -> list[Place | None]:
    """Return a place for each name near its point; None where there is no room for it.

    A place is the nearest whose line to the point crosses no name, or the nearest at all.

    Args:
        points: where the points are; those that come first have the first choice.
        names: theirs.
        frame: what no name may leave.
        taken: what no name may cover: markers, lines.
    """
    filled = list(taken)
    lines: list[Box] = []
    places: list[Place | None] = []
    for (x, y), name in zip(points, names, strict=True):
        named = [each.box for each in places if each is not None]
        free = [
            each
            for each in _around(x, y, width(name))
            if frame.holds(each.box) and not any(map(each.box.meets, filled))
        ]
        clear = (
            each
            for each in free
            if not _any_meet(lines, [each.box]) and not _any_meet(_line(x, y, each), named)
        )
        found = next(clear, free[0] if free else None)
        if found is not None:
            filled.append(found.box)
            lines += _line(x, y, found)
        places.append(found)
    return places


def _any_meet(some: Sequence[Box], others: Sequence[Box]) -> bool:
    return any(one.meets(other) for one in some for other in others)


def _line(x: float, y: float, found: Place) -> list[Box]:
    """What the line from a point to its name takes; nothing where it has none."""
    if not found.far:
        return []
    end = found.box.nearest(x, y)
    right, up = end[0] - x, end[1] - y
    steps = max(1, round(math.hypot(right, up) / _STEP))
    shares = (step / steps for step in range(steps + 1))
    return [around(x + share * right, y + share * up, _STEP / 2) for share in shares]


def _around(x: float, y: float, wide: float) -> Iterator[Place]:
    """Places of a name `wide` by `LINE`, from the nearest to the farthest."""
    for distance, (right, up) in product(_DISTANCES, _SIDES):
        middle = x + right * (distance + wide / 2)
        height = y + up * (distance + LINE / 2)
        box = Box(middle - wide / 2, height - LINE / 2, middle + wide / 2, height + LINE / 2)
        yield Place(box, distance > NEAR)
