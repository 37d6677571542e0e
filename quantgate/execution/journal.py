"""Readings of finished batches, kept by content, so that a killed run resumes.

A run is named by the SHA-256 of its key: whatever changes a reading is in the key, so another
model, corpus or plan is another run and can't be mixed in. A batch is one row, stored in its own
transaction: its arrays as safetensors bytes, bit for bit, with their length and a digest that also
covers run and number. A row that doesn't match its digest is a batch to compute again.

The journal is a convenience: where the disk refuses, it says so once and the run goes on without.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from quantgate.execution.journal_file import JournalFile
from quantgate.execution.orders import Readings
from quantgate.storage import canonical_json, sha256_bytes

KEPT_DAYS = 30


class BatchJournal:
    """The runs of one SQLite file, which any number of processes may use at once.

    Args:
        path: the file; it and its folder are made by the first store.

    Attributes:
        warnings: a line for each damaged batch, a file that was moved aside, or the end of storing.
    """

    def __init__(self, path: Path) -> None:
        self._file = JournalFile(path)
        self._finished: set[str] = set()
        self.warnings = self._file.warnings

    def open_run(self, key: Mapping[str, Any]) -> RunJournal:
        """Return the run with this key.

        Args:
            key: JSON values that determine every reading: the backend's identity, digests of
                requests and plan, versions.

        Raises:
            ValueError, TypeError: JSON has no form for the key (`storage.canonical_json`).
        """
        name = sha256_bytes(canonical_json(dict(key)))
        return RunJournal(self._file, name, self._finished)

    def forget(self) -> None:
        """Drop all runs finished here, and anybody's batches older than `KEPT_DAYS`.

        To be called when a session has ended in order: a killed one is to be resumed, and so is a
        run whose model died.
        """
        self._file.attempt(self._forget, None)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        self._file.close()

    def _forget(self, database: sqlite3.Connection) -> None:
        oldest = int(time.time()) - KEPT_DAYS * 24 * 3600
        names = [(name,) for name in sorted(self._finished)]
        database.executemany("DELETE FROM batches WHERE run = ?", names)
        database.execute("DELETE FROM batches WHERE stored_at < ?", (oldest,))
        # As a script it runs to its end; `execute` frees the first page and stops.
        database.executescript("PRAGMA incremental_vacuum")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunJournal:
    """The batches of one run, by number."""

    def __init__(self, file: JournalFile, name: str, finished: set[str]) -> None:
        self._file = file
        self._name = name
        self._finished = finished

    @property
    def done(self) -> frozenset[int]:
        """Numbers of the batches that are there; whether they are whole, only `load` knows."""
        return self._file.attempt(self._done, frozenset())

    def load(self, number: int) -> Readings | None:
        """Return the readings of a batch, bit for bit as stored; None where there are none.

        A damaged row is told; the next store of the batch replaces it.
        """
        return self._file.attempt(lambda database: self._load(database, int(number)), None)

    def store(self, number: int, readings: Readings) -> None:
        """Keep the readings of a batch; from the return on, a kill no longer loses them.

        Two processes may store one batch: the same key gives the same bytes.
        """
        payload = _encode(readings)
        self._file.attempt(
            lambda database: self._store(database, int(number), payload), None, create=True
        )

    def finish(self) -> None:
        """Say that all batches are there: the run needs no resuming."""
        self._finished.add(self._name)

    def _done(self, database: sqlite3.Connection) -> frozenset[int]:
        rows = database.execute("SELECT number FROM batches WHERE run = ?", (self._name,))
        return frozenset(number for (number,) in rows)

    def _load(self, database: sqlite3.Connection, number: int) -> Readings | None:
        row = database.execute(
            "SELECT length, sha256, payload FROM batches WHERE run = ? AND number = ?",
            (self._name, number),
        ).fetchone()
        if row is None:
            return None
        if self._is_whole(number, *row):
            with suppress(SafetensorError, TypeError):
                return _decode(row[2])
        self._file.warnings.append(
            f"{self._file.path}: batch {number} of run {self._name[:12]} is damaged and is "
            "computed again"
        )
        return None

    def _store(self, database: sqlite3.Connection, number: int, payload: bytes) -> None:
        digest = self._digest(number, payload)
        database.execute(
            "INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)",
            (self._name, number, int(time.time()), len(payload), digest, payload),
        )

    def _is_whole(self, number: int, length: object, digest: object, payload: object) -> bool:
        # A flipped bit in a row's header changes even the types.
        return (
            isinstance(payload, bytes)
            and len(payload) == length
            and self._digest(number, payload) == digest
        )

    def _digest(self, number: int, payload: bytes) -> bytes:
        """SHA-256 of a payload in its place, so that no row passes for another's."""
        digest = hashlib.sha256(f"{self._name}:{number}:".encode())
        digest.update(payload)
        return digest.digest()


def _encode(readings: Readings) -> bytes:
    arrays = {field.name: getattr(readings, field.name) for field in fields(readings)}
    kept = {name: np.ascontiguousarray(a) for name, a in arrays.items() if a is not None}
    return save(kept)


def _decode(payload: bytes) -> Readings:
    """Raise SafetensorError or TypeError where the payload isn't what `_encode` makes."""
    arrays: dict[str, Any] = {"hidden": None, **load(payload)}
    return Readings(**arrays)
