"""What every peer's side does around its measurement: its options, no network, its record."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import work_offline
from benchmarks.peers.record import write_record


def add_side_arguments(parser: argparse.ArgumentParser, engines: Iterable[str]) -> None:
    """Add the options of every side; `engines` are those it can run."""
    parser.add_argument("--engine", choices=tuple(engines), required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder or prepared package")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)


def write_side(
    measure: str,
    options: argparse.Namespace,
    run: Callable[[argparse.Namespace], dict[str, Any]],
) -> None:
    """Measure without a network and write the record."""
    with tempfile.TemporaryDirectory() as cache:
        work_offline(Path(cache))
        write_record(options.json, measure, options.engine, run(options))
