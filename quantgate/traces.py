"""What a reference run leaves on disk, so that the next run needs only the reference's head.

A trace is a folder of arrays named by the content it depends on: package digest, scored ids, plan,
provider, options and versions. It holds per-item results and, for the divergence, the head's input
at every position in the graph's own type (lossless, `H` numbers a position instead of `V`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.row_files import RowFile
from quantgate.storage import canonical_json, sha256_bytes, sha256_file, staged_directory

SCHEMA = 2
META = "trace.json"
HIDDEN = "hidden"  # rows of a trace: the head's input by place


@dataclass(frozen=True, slots=True)
class Trace:
    """A kept run: named arrays, memory-mapped, of the files in `folder`."""

    arrays: Mapping[str, NDArray[Any]]
    folder: Path

    def rows(self, name: str) -> RowFile:
        """An array to be read a few rows at a time."""
        return RowFile(self.folder / f"{name}.npy")


class TraceWriter:
    """Arrays of a trace in the making, in a staged folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, array: NDArray[Any]) -> None:
        """Write a whole array."""
        np.save(self._folder / f"{name}.npy", array, allow_pickle=False)

    def allocate(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> RowFile:
        """Return rows to be filled bit by bit.

        Raises:
            InvalidMeasurement: `storage-full` where the disk can't take it.
        """
        return RowFile.allocate(self._folder / f"{name}.npy", shape, dtype)


class TraceStore:
    """Traces under `root`, one folder per key."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.warnings: list[str] = []

    def folder(self, key: Mapping[str, Any]) -> Path:
        """Folder of the trace with this key."""
        return self._root / sha256_bytes(canonical_json({"schema": SCHEMA, **key}))[:32]

    def load(self, key: Mapping[str, Any]) -> Trace | None:
        """Return the trace with this key; None where there is none.

        A damaged one is told and removed, so that the next run can leave a whole one.
        """
        folder = self.folder(key)
        if not folder.exists():
            return None
        damaged = folder
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            files = json.loads((folder / META).read_bytes())["files"]
            wrong = [name for name, digest in files.items() if sha256_file(folder / name) != digest]
            if files and not wrong:
                return Trace({Path(name).stem: _mapped(folder / name) for name in files}, folder)
            damaged = folder.joinpath(*wrong[:1])
        self.warnings.append(f"removed a damaged trace: {damaged}")
        shutil.rmtree(folder, ignore_errors=True)
        return None

    @contextmanager
    def write(self, key: Mapping[str, Any]) -> Iterator[TraceWriter]:
        """Yield a writer; the trace appears whole when the block ends well, or not at all."""
        final = self.folder(key)
        with staged_directory(final) as staged:
            yield TraceWriter(staged)
            files = {path.name: sha256_file(path) for path in sorted(staged.glob("*.npy"))}
            (staged / META).write_bytes(canonical_json({"key": dict(key), "files": files}))


def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
