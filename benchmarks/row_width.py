"""Time of packed rows by width and prefix, against the cost model that chooses widths.

A row of `width` tokens (segments of `--segment` tokens, as short suffixes are packed) runs behind a
kept prefix; measured apart are building its feed (Python, NumPy) and `session.run`. Cells are
visited in turn, round after round, so a drift meets all alike; a cell's time is its best, which
other work on the machine disturbs least.

Two fits to the run times, weighted so that every cell's relative error counts alike:

* *as it is*: seconds = scale * CostModel.row(width, prefix), the scale fitted; the column `model`
  is what it predicts over what was measured;
* *fitted*: seconds = scale * (width * linear + OVERHEAD * linear
  + width * (prefix + width) * pair * INEFFICIENCY + prefix * cache * COPY), all four free:
  OVERHEAD is `RUN_OVERHEAD_TOKENS` of `quantgate.cost_model`, INEFFICIENCY its
  `PAIR_INEFFICIENCY`, and COPY, which is 1 there, the cost of a kept cache element.

    python -m benchmarks.row_width --package DIR [--threads 2] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.output import print_table, write_json
from benchmarks.row_fit import Cell, fit_scale, fit_terms, rms_error
from quantgate.backends.feeds import BodyInputs, row_bias
from quantgate.backends.ort_session import make_session
from quantgate.cost_model import PAIR_INEFFICIENCY, RUN_OVERHEAD_TOKENS, CostModel
from quantgate.packages.graph import HIDDEN_ROWS, split
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.packages.shape import read_shape
from quantgate.packing import ROW_WIDTHS
from quantgate.rows import Row, Segment, Wanted, chain

PREFIXES = (0, 128, 512, 1500)


class Body:
    """A package's packed body, as quantgate's backend runs it, with its steps laid open."""

    def __init__(self, package: OnnxPackage, threads: int) -> None:
        config = package.config
        graph = split(package.graph, logits=config.logits, position_ids=config.position_ids)
        if not (graph.attention.packs and graph.attention.keeps_prefix):
            raise SystemExit(f"{package.folder}: rows can't be packed behind a prefix")
        shape = read_shape(package, graph.body)
        self.cost: CostModel = shape.cost
        self._inputs = BodyInputs(config.names, graph.body, graph.attention, shape.caches)
        folder = config.model_path.parent
        self._session: Any = make_session(graph.body, folder, provider="cpu", threads=threads)

    def keep(self, length: int) -> dict[str, Any] | None:
        """The cache of a prefix of `length` tokens."""
        if not length:
            return None
        feed = self._inputs.row(chain(tuple(_ids(length))), 0, None)
        values = self._session.run_with_ort_values(self._inputs.present_names, feed)
        return dict(zip(self._inputs.past_names, values, strict=True))

    def measure(self, cell: Cell, past: dict[str, Any] | None) -> None:
        """Run the cell's row once; the bias alone is built again to know its share."""
        started = time.perf_counter()
        feed = self._inputs.row(cell.row, cell.prefix, past)
        fed = time.perf_counter()
        self._session.run_with_ort_values([HIDDEN_ROWS], feed)
        ended = time.perf_counter()
        row_bias(cell.row.segments, cell.width, cell.prefix)
        cell.bias.append(time.perf_counter() - ended)
        cell.feeding.append(fed - started)
        cell.running.append(ended - fed)


def main() -> None:
    """Measure every cell and fit the model."""
    options = _options()
    body = Body(open_package(options.package), options.threads)
    cells = [
        Cell(_row(width, prefix, options.segment), prefix)
        for prefix in options.prefixes
        for width in options.widths
    ]
    _visit(body, cells, options.prefixes, options.rounds)
    times = [min(cell.running) for cell in cells]
    scale, ratios = fit_scale(cells, times, body.cost)
    print_table([_line(*each) for each in zip(cells, times, ratios, strict=True)])
    fitted = fit_terms(cells, times, body.cost)
    error = rms_error(ratios)
    print(f"\nas it is: {scale * body.cost.linear * 1e3:.4g} ms a token, ", end="")
    print(f"RMS relative error {error:.1%} (PAIR_INEFFICIENCY {PAIR_INEFFICIENCY:g}, ", end="")
    print(f"RUN_OVERHEAD_TOKENS {RUN_OVERHEAD_TOKENS:g})")
    print(f"fitted:   {fitted['ms_per_token']:.4g} ms a token, ", end="")
    print(f"RMS relative error {fitted['rms_error']:.1%} (PAIR_INEFFICIENCY ", end="")
    print(f"{fitted['pair_inefficiency']:.3g}, RUN_OVERHEAD_TOKENS ", end="")
    print(f"{fitted['run_overhead_tokens']:.3g}, COPY {fitted['copy']:.3g})")
    if fitted["pair_inefficiency"] <= 0 or fitted["run_overhead_tokens"] < 0:
        print("a negative term: these timings are too noisy to fit")
    results = {
        "cells": [_line(*each) for each in zip(cells, times, ratios, strict=True)],
        "as_it_is": {"rms_error": error, "ms_per_token": scale * body.cost.linear * 1e3},
        "fitted": fitted,
    }
    write_json(options.json, "row_width", results)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--package", type=Path, required=True, help="a folder; see benchmarks.models"
    )
    parser.add_argument("--widths", type=int, nargs="+", default=list(ROW_WIDTHS))
    parser.add_argument("--prefixes", type=int, nargs="+", default=list(PREFIXES))
    parser.add_argument("--segment", type=int, default=64, help="tokens of each packed suffix")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    return parser.parse_args()


def _ids(count: int) -> list[int]:
    """Ids of a small range, so that every vocabulary has them."""
    return [3 + number % 97 for number in range(count)]


def _row(width: int, prefix: int, segment: int) -> Row:
    """A row of independent suffixes whose last tokens are wanted."""
    starts = range(0, width, segment)
    segments = tuple(Segment(start, min(start + segment, width), ()) for start in starts)
    return Row(
        ids=tuple(_ids(width)),
        positions=tuple(prefix + number % segment for number in range(width)),
        segments=segments,
        wanted=tuple(
            Wanted(part.stop - 1, number, prefix + part.stop - part.start - 1)
            for number, part in enumerate(segments)
        ),
    )


def _visit(body: Body, cells: list[Cell], prefixes: Sequence[int], rounds: int) -> None:
    """One warm-up round that is forgotten, then `rounds`."""
    caches = {prefix: body.keep(prefix) for prefix in prefixes}
    for number in range(rounds + 1):
        for cell in cells:
            body.measure(cell, caches[cell.prefix])
            if not number:
                cell.feeding, cell.bias, cell.running = [], [], []


def _line(cell: Cell, seconds: float, ratio: float) -> dict[str, Any]:
    feeding, bias = min(cell.feeding), min(cell.bias)
    return {
        "prefix": cell.prefix,
        "width": cell.width,
        "run ms": 1e3 * seconds,
        "run ms/token": 1e3 * seconds / cell.width,
        "model": ratio,
        "feed share": feeding / (feeding + seconds),
        "bias share": bias / (feeding + seconds),
    }


if __name__ == "__main__":
    main()
