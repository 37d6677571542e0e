"""Baseline files in the working tree: read with a bound, and written together or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

from quantgate.errors import UsageFault
from quantgate.storage import storage_fault, write_atomically


class Source(Protocol):
    """Where baselines are read from."""

    def origin(self, relative: PurePosixPath) -> str:
        """Name a file of the source, for messages."""

    def show(self, relative: PurePosixPath, largest_bytes: int) -> bytes | None:
        """Return a file's bytes, cut one byte past the limit; None where there is no such file."""


class WorkingTree:
    """The files under `root` as they lie there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def origin(self, relative: PurePosixPath) -> str:
        """Name a file, for messages."""
        return str(self.root / relative)

    def show(self, relative: PurePosixPath, largest_bytes: int) -> bytes | None:
        """Return a file's bytes, cut one byte past the limit; None where there is no such file.

        Raises:
            UsageFault: `baseline-unreadable`.
        """
        path = self.root / relative
        try:
            with path.open("rb") as stream:
                return stream.read(largest_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageFault(
                "baseline-unreadable",
                need=f"to read {path}",
                found=error.strerror or str(error),
                fix="make it a readable file",
            ) from error

    def write(self, files: Mapping[PurePosixPath, bytes]) -> None:
        """Write files that only make sense together.

        All of them are on the disk before the first takes its place, so a full disk changes none.

        Raises:
            InvalidMeasurement: the disk refuses (codes of `storage_fault`).
        """
        staged: dict[Path, Path] = {}
        try:
            for relative, data in files.items():
                path = self.root / relative
                staged[path] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
                write_atomically(staged[path], data)
            for path, temporary in staged.items():
                try:
                    temporary.replace(path)
                except OSError as error:
                    raise storage_fault(error, path) from error
        finally:
            for temporary in staged.values():
                temporary.unlink(missing_ok=True)
