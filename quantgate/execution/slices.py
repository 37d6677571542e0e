"""Work on the rows of a block in slices that a core's cache holds, several at a time.

Between two runs of a model its cores wait for whoever reads the logits. NumPy lets go of the
interpreter's lock within its loops, so slices are read by as many threads as the model has; and a
slice that stays in cache is read from memory once, however many passes are made over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

# Of float32 logits; a core's second-level cache has room for them and for what is made of them.
SLICE_BYTES: Final = 1 << 19

Result = TypeVar("Result")


class Slices:
    """Threads that read slices, the caller's own among them.

    Args:
        threads: how many slices are read at a time.
    """

    def __init__(self, threads: int = 1) -> None:
        others = threads - 1
        self._threads = threads
        self._pool = ThreadPoolExecutor(others, "quantgate-rows") if others > 0 else None

    def map(
        self, work: Callable[[slice], Result], logits: NDArray[np.float32], rows: int
    ) -> list[Result]:
        """Results of `work` on slices of `rows` rows, each as wide as those of `logits` `[n, V]`.

        Raises:
            Exception: what `work` raises, for the first slice that does.
        """
        size = max(1, SLICE_BYTES // max(1, logits[:1].nbytes))
        slices = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
        if self._pool is None or len(slices) < 2:
            return _each(work, slices)
        # Slices take the same time, so every thread is given its share at once, and woken once.
        share = -(-len(slices) // self._threads)
        own, *others = (slices[at : at + share] for at in range(0, len(slices), share))
        read = [self._pool.submit(_each, work, part) for part in others]
        return [*_each(work, own), *(found for part in read for found in part.result())]

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _each(work: Callable[[slice], Result], slices: Sequence[slice]) -> list[Result]:
    return [work(each) for each in slices]
