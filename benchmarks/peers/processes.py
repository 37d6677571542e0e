"""Runs the sides of a comparison in turn, each in a process of its own."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.install import environment_python
from benchmarks.peers.record import read_record

ROOT = Path(__file__).parents[2]
TAIL = 2000


@dataclass(frozen=True)
class Side:
    """One way of measuring.

    Attributes:
        name: told in tables.
        command: what writes the record, but for `--json`.
    """

    name: str
    command: tuple[str, ...]

    def run(self, folder: Path) -> dict[str, Any]:
        """Its record, or a record that holds nothing but `failed`: the end of what it said."""
        record, log = folder / "record.json", folder / "log.txt"
        record.unlink(missing_ok=True)
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [*self.command, "--json", str(record)],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode == 0 and record.exists():
            return read_record(record)
        said = log.read_text("utf-8", errors="replace")[-TAIL:]
        return {"failed": f"exit code {done.returncode}: {said.strip()}"}


def ours(measure: str, backend: str, arguments: Sequence[object]) -> Side:
    """quantgate's side on a backend."""
    command = [sys.executable, "-m", "benchmarks.peers.ours_side", measure, "--backend", backend]
    return Side(f"quantgate-{backend}", (*command, *map(str, arguments)))


def peer(
    env: Path, module: str, engine: str, arguments: Sequence[object], *, batch_size: int | None
) -> Side:
    """A peer's side in its environment; without a batch size the engine has none to choose."""
    python = str(environment_python(env.resolve()))
    command = [python, "-m", f"benchmarks.peers.{module}", "--engine", engine]
    if batch_size is not None:
        command += ["--batch-size", str(batch_size)]
    name = engine if batch_size is None else f"{engine} b{batch_size}"
    return Side(name, (*command, *map(str, arguments)))


def add_peers_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--peers`."""
    parser.add_argument(
        "--peers", type=Path, required=True, help="environment made by benchmarks.peers.install"
    )


def in_turn(sides: Sequence[Side], rounds: int, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Records by side, one a round; a side that fails is told and left out of later rounds."""
    runs: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            if number and "failed" in runs[side.name][0]:
                continue
            runs[side.name].append(side.run(folder))
            if "failed" in runs[side.name][-1]:
                print(f"{side.name}: {runs[side.name][-1]['failed']}", file=sys.stderr)
    return runs


def measured(runs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The sides of which no run failed."""
    return {
        name: records
        for name, records in runs.items()
        if not any("failed" in record for record in records)
    }


def seconds(records: Sequence[dict[str, Any]]) -> float:
    """Median time of a side's evaluation loop."""
    return statistics.median(float(record["seconds"]) for record in records)


def beyond_mib(records: Sequence[dict[str, Any]]) -> float:
    """Most memory that a side needed beyond its loaded model."""
    return max(float(record["memory"]["beyond_mib"]) for record in records)


def table_row(name: str, records: Sequence[dict[str, Any]], unit: str) -> dict[str, Any]:
    """What every comparison tells of a side; times by the `unit` that it counts."""
    time, count = seconds(records), records[0]["count"]
    return {
        "side": name,
        "s": time,
        f"s/{unit}": time / count,
        "threads busy": max(record["threads"]["busy"] for record in records),
        "peak MiB": max(record["memory"]["peak_mib"] for record in records),
        "beyond loaded MiB": beyond_mib(records),
    }
