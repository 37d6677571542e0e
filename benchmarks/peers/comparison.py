"""What every comparison with the peers does: all sides in turn, tables, a verdict.

A comparison names its sides, the columns of its own, and what must agree; the rest is here. Every
side is a process of its own with the same number of threads, all rounds run all sides in turn, and
the time of a side is the median over rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output import print_table, write_json
from benchmarks.peers.inputs import Model, models
from benchmarks.peers.processes import Side, in_turn, measured, table_row

Record = dict[str, Any]
Runs = dict[str, list[Record]]


@dataclass(frozen=True)
class Compared:
    """One precision of the model, measured on all sides.

    Attributes:
        precision: of the package.
        runs: every side's records, one a round; a failed run's holds nothing but `failed`.
        records: of the sides of which no run failed; never empty.
    """

    precision: str
    runs: Runs
    records: Runs

    @property
    def failed(self) -> list[str]:
        """Names of the sides of which a run failed."""
        return [name for name in self.runs if name not in self.records]

    @property
    def failures(self) -> list[str]:
        """What a command that asked for all of the sides must not pass over."""
        return [f"{self.precision}: {name} failed" for name in self.failed]

    def rows(self, unit: str, own: Callable[[Record], Record]) -> list[Record]:
        """The table: what `table_row` tells, then the comparison's own columns of a record."""
        return [
            {**table_row(name, each, unit), **own(each[-1])} for name, each in self.records.items()
        ]


def compare_sides(
    options: argparse.Namespace, data: Path, sides: Callable[[Model, Path], list[Side]]
) -> Iterator[Compared]:
    """Measure every precision asked for.

    Args:
        options: with what `add_common_arguments` adds.
        data: what trains the random model's tokenizer.
        sides: all sides of a model; may write what they read into the given folder, which lasts
            as long as the comparison.

    Raises:
        SystemExit: an unknown side is asked for, or no side could be measured.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in models(options, data, folder):
            wanted = model.wanted(sides(model, folder), options.sides)
            runs = in_turn(wanted, options.rounds, folder)
            records = measured(runs)
            if not records:
                raise SystemExit(f"{model.precision}: no side was measured")
            yield Compared(model.precision, runs, records)


def told_failures(told: str, failed: Sequence[str]) -> str:
    """What is said of a table, and the sides that failed: they have no row in it."""
    return f"{told} Failed: {', '.join(failed)}." if failed else told


def print_tables(title: str, *tables: Sequence[Mapping[str, object]]) -> None:
    """Print tables under one title, an empty line between two."""
    print(f"\n{title}")
    for number, rows in enumerate(tables):
        if number:
            print()
        print_table(rows)


def conclude(
    options: argparse.Namespace,
    benchmark: str,
    told: Sequence[str],
    results: Mapping[str, Any],
    *,
    failures: Sequence[str],
    page: Mapping[str, Any] | None = None,
) -> int:
    """Write what was measured and tell what failed.

    Args:
        options: with `json`, the file that is wanted.
        benchmark: its name in that file.
        told: names of the options that go into it.
        results: by precision.
        failures: sides that failed, and what doesn't agree that must.
        page: what `benchmarks.output.page` made, or None.

    Returns:
        The exit code.
    """
    content: dict[str, Any] = {
        "options": {name: getattr(options, name) for name in told},
        "results": results,
    }
    if page is not None:
        content["page"] = page
    write_json(options.json, benchmark, content)
    if failures:
        print(f"FAILED: {'; '.join(failures)}", file=sys.stderr)
    return int(bool(failures))
