"""How the cost of scoring grows: with questions, windows, vocabulary and size of the model.

Every point is measured in a process of its own, on both sides (`growth_side`): quantgate, and one
full forward for each prompt or window. Both score the same random ids at fp32 with the same number
of threads, and their mean log-probabilities must agree within `MAX_DELTA` nats, or the exit code is
1. Sides and points take turns, round by round; a point's time is its median, its memory the
highest peak beyond the loaded model.

* *questions* of one subject, five shots, and *windows* of 1024 tokens: at the middle one of the
  sizes;
* *vocabulary*: windows, on the smallest body there is, embedding and head widened;
* *model*: windows, at every size.

    python -m benchmarks.growth [--sizes 3m 30m 135m] [--only vocabulary] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.growth_page import Growth, page_content
from benchmarks.growth_side import FULL, OURS
from benchmarks.models import add_sizes_arguments, build_packages, cache_folder
from benchmarks.output import print_page, write_json
from benchmarks.peers.processes import Side, in_turn, measured
from benchmarks.random_models import SHAPES, model_for_ids, parameters, random_model

PRECISION: Final = "fp32"
SMALLEST: Final = next(iter(SHAPES))
QUESTIONS: Final = (10, 20, 50, 100, 200)
WINDOWS: Final = (1, 2, 4, 8, 16)
VOCABULARIES: Final = (2048, 8192, 32_768, 65_536, 151_936)  # the last is Qwen2.5's
WINDOWS_EACH: Final = 2
MAX_DELTA: Final = 1e-4
GROWTHS: Final = (
    Growth("questions", "questions of a subject", "question"),
    Growth("windows", "windows of 1024 tokens", "window"),
    Growth("vocabulary", "ids of the vocabulary", "token", log=True),
    Growth("model", "million parameters", "token", log=True),
)

Record = dict[str, Any]
Records = dict[str, list[Record]]


@dataclass(frozen=True)
class Point:
    """What is measured on both sides.

    Attributes:
        growth: name of the curve.
        x: where on it.
        package: what is run.
        work: `questions` or `windows`.
        count: how many.
    """

    growth: str
    x: float
    package: Path
    work: str
    count: int

    def side(self, name: str, threads: int) -> Side:
        """One side of it, as a command."""
        command = [sys.executable, "-m", "benchmarks.growth_side", "--side", name]
        command += ["--package", str(self.package), "--work", self.work]
        command += ["--count", str(self.count), "--threads", str(threads)]
        return Side(self.name(name), tuple(command))

    def name(self, side: str) -> str:
        """What the side's records are told under."""
        return f"{side}, {self.growth} {self.x:g}"


def main() -> int:
    """Measure, print, and say by the exit code whether both sides agree."""
    options = _options()
    points = list(_points(options))
    sides = [point.side(name, options.threads) for point in points for name in (OURS, FULL)]
    with tempfile.TemporaryDirectory() as folder:
        records = measured(in_turn(sides, options.rounds, Path(folder)))
    failures = [f"{side.name} failed" for side in sides if side.name not in records]
    rows = rows_by_growth(points, records)
    if not rows:
        raise SystemExit("no point was measured on both sides")
    content = page_content(_measured_on(options.sizes), rows)
    print_page(content)
    told = {name: getattr(options, name) for name in ("sizes", "only", "threads", "rounds")}
    document = {"options": told, "results": {"rows": rows, "runs": records}, "page": content}
    write_json(options.json, "growth", document)
    apart = largest_difference(points, records)
    print(f"\nlargest difference of the sides' mean log-probabilities: {apart:.2g} nats")
    if not apart < MAX_DELTA:
        failures.append(f"the sides differ by {MAX_DELTA:g} nats or more")
    if failures:
        print(f"FAILED: {'; '.join(failures)}", file=sys.stderr)
    return int(bool(failures))


def _measured_on(sizes: Sequence[str]) -> list[Growth]:
    """The curves, each with the model that it is measured on."""
    middle = f"the model of {_middle(sizes)}"
    told = {
        "questions": middle,
        "windows": middle,
        "vocabulary": f"the body of the model of {SMALLEST}, {WINDOWS_EACH} windows",
        "model": f"{', '.join(sizes)}, {WINDOWS_EACH} windows",
    }
    return [replace(growth, on=told[growth.name]) for growth in GROWTHS]


def _middle(sizes: Sequence[str]) -> str:
    return sizes[len(sizes) // 2]


def _options() -> argparse.Namespace:
    names = [growth.name for growth in GROWTHS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_sizes_arguments(parser)
    parser.add_argument("--only", choices=names, nargs="+", default=names, help="these curves")
    parser.add_argument("--threads", type=int, default=2, help="of every side")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    return parser.parse_args()


def _points(options: argparse.Namespace) -> Iterator[Point]:
    """All points of the curves asked for; packages are made here, before anything is timed."""
    cache = cache_folder(options)

    def package(source: Path) -> Path:
        return build_packages(source, [PRECISION], cache)[PRECISION].folder.resolve()

    def sized(size: str) -> Path:
        return package(model_for_ids(options.train_on, cache, size))

    for name in options.only:
        if name in {"questions", "windows"}:
            counts = QUESTIONS if name == "questions" else WINDOWS
            place = sized(_middle(options.sizes))
            yield from (Point(name, count, place, name, count) for count in counts)
        elif name == "vocabulary":
            for width in VOCABULARIES:
                model = random_model((), cache, SMALLEST, width)
                yield Point(name, width, package(model), "windows", WINDOWS_EACH)
        else:
            for size in options.sizes:
                millions = parameters(SHAPES[size]) / 1e6
                yield Point(name, millions, sized(size), "windows", WINDOWS_EACH)


def rows_by_growth(points: Sequence[Point], records: Records) -> dict[str, list[Record]]:
    """The figures of every point whose both sides were measured, by curve."""
    rows: dict[str, list[Record]] = {}
    for point in points:
        sides = {name: records.get(point.name(name)) for name in (OURS, FULL)}
        if all(sides.values()):
            found = {name: each for name, each in sides.items() if each}
            rows.setdefault(point.growth, []).append(_row(point, found))
    return rows


def _row(point: Point, sides: Mapping[str, list[Record]]) -> Record:
    row: Record = {"x": point.x, "count": point.count, "tokens": sides[OURS][0]["tokens"]}
    for name, records in sides.items():
        row[f"{name} s"] = statistics.median(record["seconds"] for record in records)
        row[f"{name} MiB"] = max(record["memory"]["beyond_mib"] for record in records)
    return row


def largest_difference(points: Sequence[Point], records: Records) -> float:
    """How far the sides' mean log-probabilities are apart at worst, in nats; NaN where one is."""
    spreads = [0.0]
    for point in points:
        both = [records[name] for side in (OURS, FULL) if (name := point.name(side)) in records]
        means = [record["mean_logprob"] for each in both for record in each]
        spreads.append(float(np.ptp(means)) if means else 0.0)
    return float(np.max(spreads))


if __name__ == "__main__":
    sys.exit(main())
