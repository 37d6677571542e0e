"""Rows of a `.npy` file, read and written a few at a time.

The file is mapped for each access alone: pages stay in the memory of the process that touched them
for as long as the mapping lives, and rows of logits are larger than the model that made them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.storage import require_free_space, reserve, storage_fault


class RowFile:
    """An array `[P, H]` on disk.

    Args:
        path: a `.npy` file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def allocate(cls, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> RowFile:
        """A new file whose rows are to be filled.

        Raises:
            InvalidMeasurement: `storage-full` where the disk can't take it, or another code of
                `storage.storage_fault`.
        """
        require_free_space(path.parent, int(np.prod(shape)) * dtype.itemsize)
        try:
            np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        except OSError as error:
            raise storage_fault(error, path) from error
        reserve(path)
        return cls(path)

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[Any]:
        """Copies of the rows of these numbers."""
        mapped: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return np.asarray(mapped[places])

    def __setitem__(self, places: slice | NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Write rows."""
        mapped: NDArray[Any] = np.load(self._path, mmap_mode="r+", allow_pickle=False)
        mapped[places] = rows
