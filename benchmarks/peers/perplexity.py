"""Perplexity of the same tokens: quantgate, the usual loop on each runtime, and lm-eval.

Strided (`quantgate-*`, `loop-*`): windows of 1024 at a stride of 512, every token but the first
scored once. Rolling (`quantgate-* rolling`, `lm-eval-*`): windows of 1024 without overlap, every
token scored once, half the work and another statistic. Within a protocol the values must agree
within `MAX_RELATIVE` in fp32, or the exit code is 1; but lm-eval's ONNX engines leave out a token
of every full window, so of them only the time is compared.

Every side is a process of its own with the same number of threads and the same ids. Timed is the
scoring with a loaded and warm model; memory is the peak beyond it.

    python -m benchmarks.peers.perplexity --peers ENV --text FILE [--tokens 8192] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import PageTable, PageTarget, page
from benchmarks.peers.comparison import (
    Compared,
    compare_sides,
    conclude,
    print_tables,
    told_failures,
)
from benchmarks.peers.inputs import BACKENDS, REFERENCE, Model, add_common_arguments
from benchmarks.peers.processes import Side, beyond_mib, ours, peer, seconds
from benchmarks.peers.ratios import Target, page_targets, ratio_rows
from benchmarks.peers.texts import add_text_arguments, windows_and_threads, write_ids

MAX_RELATIVE = 1e-5
STRIDED, ROLLING = "strided", "rolling"
NAMED = {STRIDED: "", ROLLING: ROLLING}  # what stands behind the name of quantgate's side
PEERS = (*(f"loop-{name}" for name in BACKENDS), "lm-eval-hf", "lm-eval-ort", "lm-eval-ortgenai")
LM_EVAL_OF = {"torch": "lm-eval-hf", "ort": "lm-eval-ort", "ortgenai": "lm-eval-ortgenai"}
LEAVE_OUT_A_TOKEN = ("lm-eval-ort", "lm-eval-ortgenai")
TARGETS = tuple(
    target
    for name in BACKENDS
    for target in (
        Target(f"quantgate-{name}", (f"loop-{name}",), 2.0, "time", seconds),
        Target(f"quantgate-{name}", (f"loop-{name}",), 3.0, "memory beyond loaded", beyond_mib),
        Target(f"quantgate-{name} {ROLLING}", (LM_EVAL_OF[name],), 1.0, "time", seconds),
    )
)
TOLD = ("tokens", "window", "stride", "threads")


def main() -> int:
    """Measure, print, and say by the exit code whether the sides agree."""
    options = _options()
    compared = list(compare_sides(options, options.text, partial(_sides, options)))
    results = {each.precision: _told(each, options) for each in compared}
    found = results.get(REFERENCE)
    differs = found is not None and not agree(found["differences"])
    failures = [failure for each in compared for failure in each.failures]
    failures += [f"fp32 perplexities differ by {MAX_RELATIVE:g} or more"] * differs
    content = _page(results, options)
    return conclude(options, "peers_perplexity", TOLD, results, failures=failures, page=content)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_text_arguments(parser, tokens=8192)
    add_common_arguments(parser)
    return parser.parse_args()


def _sides(options: argparse.Namespace, model: Model, folder: Path) -> list[Side]:
    ids = write_ids(options, model.source, folder / "ids.json")
    common = windows_and_threads(options)
    found = [_ours(model, each, ids, common, protocol) for protocol in NAMED for each in BACKENDS]
    for engine in PEERS:
        arguments = ["--model", model.for_peer(engine), "--ids", ids, *common]
        found.append(peer(options.peers, "perplexity_side", engine, arguments, batch_size=None))
    return found


def _ours(model: Model, backend: str, ids: Path, common: list[object], protocol: str) -> Side:
    arguments = ["--model", model.for_ours(backend), "--data", ids, "--protocol", protocol]
    side = ours("perplexity", backend, [*arguments, *common])
    return replace(side, name=f"{side.name} {NAMED[protocol]}".strip())


def _told(compared: Compared, options: argparse.Namespace) -> dict[str, Any]:
    """What is kept of a precision, printed too."""
    rows = compared.rows("token", _own_columns)
    ratios = ratio_rows(TARGETS, compared.records, compared.failed)
    title = f"{compared.precision}, {options.tokens} tokens; median of {options.rounds} rounds"
    print_tables(title, rows, ratios)
    differences = {protocol: _difference(compared, protocol) for protocol in (STRIDED, ROLLING)}
    print(_told_differences(differences))
    return {
        "differences": differences,
        "table": rows,
        "ratios": ratios,
        "failed": compared.failed,
        "runs": compared.runs,
    }


def agree(differences: Mapping[str, float]) -> bool:
    """Whether every protocol's difference is within `MAX_RELATIVE`; NaN isn't."""
    return all(value < MAX_RELATIVE for value in differences.values())


def _difference(compared: Compared, protocol: str) -> float:
    """Relative difference of the perplexities that must agree; 0 for none, NaN where one is."""
    latest = {name: records[-1] for name, records in compared.records.items()}
    found = [
        record["perplexity"]
        for name, record in latest.items()
        if record["protocol"] == protocol and name not in LEAVE_OUT_A_TOKEN
    ]
    return float(np.max(found) / np.min(found)) - 1 if found else 0.0


def _told_differences(differences: Mapping[str, float]) -> str:
    told = ", ".join(f"{name} {value:.2g}" for name, value in differences.items())
    return f"relative differences of the perplexities: {told}"


def _own_columns(record: dict[str, Any]) -> dict[str, Any]:
    return {"protocol": record["protocol"], "perplexity": f"{record['perplexity']:.6f}"}


def _page(results: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """The table of every precision, and all ratios."""
    tables: list[PageTable] = []
    targets: list[PageTarget] = []
    for precision, found in results.items():
        title = f"{precision}, {options.tokens} tokens"
        tables.append(PageTable(title, found["table"], _note(found, options)))
        targets += page_targets(found["ratios"], precision)
    return page(tables, targets=targets)


def _note(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    """What stands beside a table; a side that failed has no row, so it is named."""
    told = (
        f"Windows of {options.window}; strided at {options.stride}, rolling without overlap, "
        f"another statistic for half the work. {options.threads} threads, median of "
        f"{options.rounds} rounds. {_told_differences(found['differences']).capitalize()}; "
        "lm-eval's ONNX engines, which leave out a token of every full window, aside."
    )
    return told_failures(told, found["failed"])


if __name__ == "__main__":
    sys.exit(main())
