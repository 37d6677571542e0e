"""The token ledger of `rolling`: every id of a document scored once, each after at least one other.

Positions count from 0 in a *line*: one id that stands before every document, then the document's
own n ids at 1 ... n.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """Reads the line's ids from `begin` to the last target's predecessor; scores `targets`."""

    begin: int
    targets: range

    @property
    def end(self) -> int:
        """Where reading stops: the last target is only predicted."""
        return self.targets.stop - 1

    @property
    def scored(self) -> range:
        """Window positions whose distributions are wanted."""
        return range(self.targets.start - 1 - self.begin, self.end - self.begin)


def rolling_windows(count: int, window: int) -> Iterator[RollingWindow]:
    """Windows over a document of `count` ids, each reading at most `window` of the line's.

    A full window scores as many ids as it reads. The last reaches back over ids that are scored
    already until it is full too, as in lm-evaluation-harness; a single one holds all there is.
    """
    for start in range(1, count + 1, window):
        stop = min(start + window, count + 1)
        yield RollingWindow(max(0, stop - 1 - window), range(start, stop))
