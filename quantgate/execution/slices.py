"""Work on the rows of a block in slices that a core's cache holds, several at a time.

Between two runs of a model its cores wait for whoever reads the logits. NumPy lets go of the
interpreter's lock within its loops, so slices are read by as many threads as the model has; and a
slice that stays in cache is read from memory once, however many passes are made over it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

# Of float32 logits; a core's second-level cache has room for them and for what is made of them.
SLICE_BYTES: Final = 1 << 19

Result = TypeVar("Result")


class Slices:
    """Threads that read slices; without any, the caller's own does.

    Args:
        threads: how many slices are read at a time.
    """

    def __init__(self, threads: int = 1) -> None:
        self._pool = ThreadPoolExecutor(threads, "quantgate-rows") if threads > 1 else None

    def map(
        self, work: Callable[[slice], Result], logits: NDArray[np.float32], rows: int
    ) -> list[Result]:
        """Results of `work` on slices of `rows` rows, each as wide as those of `logits` `[n, V]`.

        Raises:
            Exception: what `work` raises, for the first slice that does.
        """
        size = max(1, SLICE_BYTES // max(1, logits[:1].nbytes))
        slices = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
        if self._pool is None or len(slices) == 1:
            return [work(each) for each in slices]
        return list(self._pool.map(work, slices))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
