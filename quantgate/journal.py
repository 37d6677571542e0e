"""The journal of a run: what was finished stays finished, whatever happens to the process.

One JSON Lines file; a line is `{"record": ..., "sha256": ...}` with the digest of the record's
canonical JSON. Each line is synced before the next is written, so a crash leaves at most one broken
line at the end: it is dropped when read and cut off before the next append, for a record glued to
half a line would lose both. Any other damaged line is skipped and told. One run has one journal.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantgate.storage import canonical_json, sha256_bytes, storage_fault


@dataclass(frozen=True, slots=True)
class JournalContents:
    """What a journal holds.

    Attributes:
        records: the undamaged records, in the order of writing.
        warnings: one line of text for each record that was dropped or skipped.
        good_bytes: length of the file up to the end of its last undamaged line.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    good_bytes: int = 0


class Journal:
    """An append-only journal at `path`; the file and its folder are made by the first append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end: int | None = None

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record and hand it to the disk.

        Raises:
            ValueError: the record holds NaN or infinity; the file is untouched.
            TypeError: the record holds something JSON has no form for; the file is untouched.
            InvalidMeasurement: the disk refuses (`storage.storage_fault`); the part of the line
                that was written is cut off, now or before the next append.
        """
        line = _line(record)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(line)
        except OSError as error:
            self._end = None
            raise storage_fault(error, self.path) from error

    def load(self) -> JournalContents:
        """Return what the file holds; nothing where there is none."""
        return load(self.path)

    def _append(self, line: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.path, flags, 0o666)
        try:
            size = os.fstat(handle).st_size
            if size != self._end:  # the first append, or something else wrote since the last
                self._end = load(self.path).good_bytes
                os.ftruncate(handle, self._end)
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
            self._end += len(line)
        except OSError:
            if self._end is not None:
                with contextlib.suppress(OSError):  # else the next append cuts it off
                    os.ftruncate(handle, self._end)
            raise
        finally:
            os.close(handle)


def load(path: Path) -> JournalContents:
    """Read a journal; a missing file is an empty one.

    A damaged or unterminated last line is dropped, any other damaged line skipped; each leaves a
    warning that names the file and line. A terminated last line that is damaged counts as last.
    """
    contents = JournalContents()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return contents
    records, warnings, good, offset = contents.records, contents.warnings, 0, 0
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        offset += len(line)
        record = _record(line)
        if record is not None:
            records.append(record)
            good = offset
        elif number == len(lines):
            warnings.append(f"{path}:{number}: the last record is incomplete and was dropped")
        else:
            warnings.append(f"{path}:{number}: a damaged record was skipped; it is measured again")
    return JournalContents(records, warnings, good)


def _line(record: Mapping[str, Any]) -> bytes:
    body = canonical_json(dict(record))
    return b'{"record":' + body + b',"sha256":"' + sha256_bytes(body).encode() + b'"}\n'


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a whole, undamaged line; None for any other."""
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
        record = entry["record"]
        # The line must be the one that this record is written as, so a flip anywhere shows.
        whole = isinstance(record, dict) and _line(record) == line
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return record if whole else None
