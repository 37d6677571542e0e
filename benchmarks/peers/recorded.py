"""Keeps the records of sides, so that hours of measuring outlive a run that was broken off.

A record's file is named after its side and digests of all that its figures depend on: the model's
files, what was asked, and the versions, the machine and the code that it ran with. A side whose
file is there isn't run again. To measure one again, remove its file.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.peers.inputs import Model
from benchmarks.peers.measuring import versions
from benchmarks.peers.processes import ROOT, Side
from benchmarks.peers.record import read_record
from quantgate import provenance
from quantgate.packages.build import source_files
from quantgate.packages.package import open_package
from quantgate.storage import canonical_json, sha256_bytes, sha256_file, write_atomically

DIGITS = 12
TELL_VERSIONS = (
    "import json; from benchmarks.peers.measuring import versions; print(json.dumps(versions()))"
)


@dataclass(frozen=True)
class RecordedSide(Side):
    """A side whose record is read where it was kept before, and kept where it is new.

    Attributes:
        place: tells the record's file once the side is to run; None keeps none.
    """

    place: Callable[[], Path] | None = None

    def run(self, folder: Path) -> dict[str, Any]:
        """Its record, with `made`, when it was measured; a failed side's isn't kept."""
        path = self.place() if self.place is not None else None
        if path is not None and path.exists():
            kept = read_record(path)
            _tell(f"{self.name}: {kept['seconds']:.1f} s, kept from {kept['made']}")
            return kept
        record = super().run(folder)
        if "failed" in record:
            return record
        record["made"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        if path is not None:
            write_atomically(path, (json.dumps(record) + "\n").encode("utf-8"))
        _tell(f"{self.name}: {record['seconds']:.1f} s")
        return record


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


def record_path(
    folder: Path, side: str, *, model: str, asked: Mapping[str, Any], ran_with: Mapping[str, Any]
) -> Path:
    """Where a side's record is kept.

    Args:
        folder: of all records.
        side: its name.
        model: digest of the model's files.
        asked: the options that its figures depend on.
        ran_with: versions, machine and code.
    """
    digests = [model, *(sha256_bytes(canonical_json(each)) for each in (asked, ran_with))]
    parts = [side.replace(" ", "_"), *(digest[:DIGITS] for digest in digests)]
    return folder / f"{'-'.join(parts)}.json"


@cache
def model_digest(model: Model) -> str:
    """SHA-256 over the Hugging Face folder and the package that was built from it."""
    source = {path.name: sha256_file(path) for path in source_files(model.source)}
    content = {"source": source, "package": open_package(model.package).digest}
    return sha256_bytes(canonical_json(content))


@cache
def environment_facts(python: Path) -> Mapping[str, Any]:
    """Versions in an interpreter's environment, and this machine."""
    done = subprocess.run(
        [str(python), "-c", TELL_VERSIONS], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return {**json.loads(done.stdout), **_machine()}


@cache
def own_facts() -> Mapping[str, Any]:
    """Versions in this environment, and this machine."""
    return {**versions(), **_machine()}


def _machine() -> dict[str, Any]:
    found = provenance.collect()
    return {"machine": found["machine"], "cpu": found["cpu"]}
