"""Tells whether a file is still the one that was read: what is hashed must be what is loaded.

A runtime opens a package's files by name once more after they were hashed. Device, inode, size and
time of change are noted before the first read and held against the file whenever it matters.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from quantgate.errors import InvalidMeasurement


class Stamp(NamedTuple):
    """What changes when a file is written to or replaced; links are followed."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """Stamp of each path; one that isn't there is left out, for its reader to name."""
    return {path: _stamp(path.stat()) for path in paths if path.exists()}


def hash_stamped(path: Path, expected: Stamp) -> str:
    """SHA-256 of the file that has the stamp `expected`, read through one descriptor.

    Raises:
        InvalidMeasurement: `files-changed`.
    """
    with path.open("rb") as file:
        _require(path, expected, _stamp(os.fstat(file.fileno())))
        content = hashlib.file_digest(file, "sha256").hexdigest()
        _require(path, expected, _stamp(os.fstat(file.fileno())))
    return content


def require_stamp(path: Path, expected: Stamp) -> None:
    """Prove that the file at `path` still has the stamp `expected`.

    Raises:
        InvalidMeasurement: `files-changed`.
    """
    _require(path, expected, _stamp(path.stat()) if path.exists() else None)


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _require(path: Path, expected: Stamp, found: Stamp | None) -> None:
    if found == expected:
        return
    if found is None:
        changes = "no file any more"
    else:
        changes = ", ".join(
            f"{name} {was} -> {now}"
            for name, was, now in zip(Stamp._fields, expected, found, strict=True)
            if was != now
        )
    raise InvalidMeasurement(
        "files-changed",
        need=f"{path} as it was when the package was opened",
        found=changes,
        fix="let nothing write to the package while it is measured, and run again",
    )
