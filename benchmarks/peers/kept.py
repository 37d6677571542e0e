"""Sides that compare with a reference which an earlier run left on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Side, seconds
from benchmarks.peers.record import read_record


@dataclass(frozen=True)
class KeptSide(Side):
    """A side whose command with `--make` leaves the reference, and without it compares with it.

    The reference is made once, in a process of its own, before the side first runs; a record of the
    side has the record of that under `making`.

    Attributes:
        store: the folder that `--make` fills; beside it stays the record of the making, so sides
            with equal stores share what was made.
    """

    store: Path

    def run(self, folder: Path) -> dict[str, Any]:
        """Its record, or one that holds nothing but `failed`, where making failed too."""
        making = self._making(folder)
        if "failed" in making:
            return making
        found = super().run(folder)
        return found if "failed" in found else {**found, "making": making}

    def _making(self, folder: Path) -> dict[str, Any]:
        path = self.store.with_name(f"{self.store.name}.json")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            found = Side(self.name, (*self.command, "--make")).run(folder)
            path.write_text(json.dumps(found), "utf-8")
        return read_record(path)


def keeping(side: Side, store: Path) -> KeptSide:
    """The side, told where the reference is."""
    return KeptSide(side.name, (*side.command, "--store", str(store)), store)


def making_seconds(records: Sequence[dict[str, Any]]) -> float:
    """Time that making the reference took; 0 for a side that keeps nothing."""
    making: dict[str, Any] = records[-1].get("making", {"seconds": 0.0})
    return float(making["seconds"])


def first_seconds(records: Sequence[dict[str, Any]]) -> float:
    """Time of a side where nothing was kept before: what is kept is made, too."""
    return making_seconds(records) + seconds(records)
