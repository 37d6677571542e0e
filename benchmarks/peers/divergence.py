"""Perplexity and KL divergence of one candidate: quantgate, and the usual scripts with two models.

The candidate is an int4 package, the reference its fp32 package; every side reads the same ids and
tells three figures: both perplexities, strided, and the mean divergence over disjoint windows.

* `quantgate-*`: the reference was kept by an earlier run, the normal state of a pull request; one
  pass over the candidate yields the figures. There is no side on PyTorch, because the candidate is
  an ONNX package.
* `two-model-*`: both models loaded; strided passes over each, then both over the disjoint windows,
  logits of all places. `hf` has the reference on PyTorch and the candidate on ONNX Runtime.
* `two-model-*-kept`: the same script where it wrote the reference's logits to disk before, its
  strongest form; the candidate alone is loaded.

Timed is the evaluation with loaded and warm models. What is kept is made before, once, in a process
of its own: `reference s`, and `first s` is the time with it, where nothing had been kept.

The exit code is 1 where the figures are further apart than `divergence_figures.LIMITS`.

    python -m benchmarks.peers.divergence --peers ENV --text FILE [--tokens 3072] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.output import PageTable, PageTarget, page
from benchmarks.peers.comparison import (
    Compared,
    compare_sides,
    conclude,
    print_tables,
    told_failures,
)
from benchmarks.peers.divergence_figures import differences, failures, figure_rows
from benchmarks.peers.divergence_side import SCRIPTS
from benchmarks.peers.inputs import REFERENCE, Model, add_common_arguments, models
from benchmarks.peers.kept import first_seconds, keeping, making_seconds
from benchmarks.peers.ours_divergence import BACKENDS
from benchmarks.peers.processes import Side, peer, seconds, table_row
from benchmarks.peers.ratios import Target, page_targets, ratio_rows
from benchmarks.peers.texts import add_text_arguments, windows_and_threads, write_ids

CANDIDATE = "int4"
USUAL = {"ort": ("two-model-ort", "two-model-hf"), "ortgenai": ("two-model-ortgenai",)}
KEPT = {name: (f"two-model-{name}-kept",) for name in BACKENDS}
TARGETS = tuple(
    target
    for name in BACKENDS
    for target in (
        Target(f"quantgate-{name}", USUAL[name], 3.0, "time, reference kept", seconds),
        Target(f"quantgate-{name}", KEPT[name], 1.0, "time, both keep it", seconds),
        Target(f"quantgate-{name}", USUAL[name], 1.0, "time, nothing kept yet", first_seconds),
    )
)
TOLD = ("tokens", "window", "stride", "threads", "rounds")


def main() -> int:
    """Measure, print, and say by the exit code whether the sides agree."""
    options = _options()
    compared = compare_sides(options, options.text, partial(_sides, options))
    results = {each.precision: _told(each, options) for each in compared}
    failed = [f"{name}: {each}" for name, found in results.items() for each in found["failures"]]
    return conclude(
        options,
        "peers_divergence",
        TOLD,
        results,
        failures=failed,
        page=_page(results, options),
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_text_arguments(parser, tokens=3072)
    add_common_arguments(parser)
    parser.set_defaults(precisions=[CANDIDATE])
    options = parser.parse_args()
    if REFERENCE in options.precisions:
        parser.error(f"--precisions names candidates; {REFERENCE} is their reference")
    return options


def _sides(options: argparse.Namespace, candidate: Model, folder: Path) -> list[Side]:
    alone = argparse.Namespace(**{**vars(options), "precisions": [REFERENCE]})
    (reference,) = models(alone, options.text, folder)
    return [
        *(_ours(options, backend, reference, candidate, folder) for backend in BACKENDS),
        *_peers(options, reference, candidate, folder),
    ]


def _ours(
    options: argparse.Namespace, backend: str, reference: Model, candidate: Model, folder: Path
) -> Side:
    command = (
        *(sys.executable, "-m", "benchmarks.peers.ours_divergence", "--backend", backend),
        *("--reference", reference.for_ours(backend), "--model", candidate.for_ours(backend)),
        *("--precision", candidate.precision, "--text", options.text.resolve()),
        *("--tokens", options.tokens, *windows_and_threads(options)),
    )
    side = Side(f"quantgate-{backend}", tuple(map(str, command)))
    return keeping(side, _store(folder, side))


def _peers(
    options: argparse.Namespace, reference: Model, candidate: Model, folder: Path
) -> list[Side]:
    ids = write_ids(options, candidate.source, folder / "ids.json")
    sides: list[Side] = []
    for engine, script in SCRIPTS.items():
        arguments: list[object] = ["--reference", reference.for_peer(script.reference)]
        arguments += ["--model", candidate.for_peer(script.candidate)]
        arguments += ["--ids", ids, *windows_and_threads(options)]
        side = peer(options.peers, "divergence_side", engine, arguments, batch_size=None)
        sides.append(keeping(side, _store(folder, side)) if script.keeps else side)
    return sides


def _store(folder: Path, side: Side) -> Path:
    """All candidates have one reference, so they share what is kept of it."""
    return folder / "kept" / side.name


def _told(compared: Compared, options: argparse.Namespace) -> dict[str, Any]:
    """What is kept of a candidate, printed too."""
    costs = [
        {**table_row(name, records, "token"), **_own_costs(records)}
        for name, records in compared.records.items()
    ]
    latest = {name: records[-1] for name, records in compared.records.items()}
    apart = differences(latest)
    values = figure_rows(latest)
    ratios = ratio_rows(TARGETS, compared.records, compared.failed)
    print_tables(_title(compared.precision, options), costs, values, ratios)
    print(_apart_text(apart))
    return {
        "differences": apart,
        "failed": compared.failed,
        "failures": [*(f"{name} failed" for name in compared.failed), *failures(latest)],
        "table": costs,
        "values": values,
        "ratios": ratios,
        "runs": compared.runs,
    }


def _own_costs(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keeps = "making" in records[-1]
    return {
        "loaded MiB": max(record["memory"]["loaded_mib"] for record in records),
        "reference s": making_seconds(records) if keeps else None,
        "first s": first_seconds(records) if keeps else None,
        "kept MiB": records[-1]["kept_bytes"] / 2**20 if keeps else None,
    }


def _title(precision: str, options: argparse.Namespace) -> str:
    return f"{precision} against {REFERENCE}, {options.tokens} tokens"


def _apart_text(apart: Mapping[str, float]) -> str:
    told = (f"{name} {difference:.2g}" for name, difference in apart.items())
    return f"Relative differences of the sides: {', '.join(told)}."


def _page(results: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Costs and figures of every candidate, and all ratios."""
    tables: list[PageTable] = []
    targets: list[PageTarget] = []
    for precision, found in results.items():
        title = _title(precision, options)
        tables.append(PageTable(f"{title}: time and memory", found["table"], _note(found, options)))
        note = _apart_text(found["differences"])
        tables.append(PageTable(f"{title}: figures", found["values"], note))
        targets += page_targets(found["ratios"], title)
    return page(tables, targets=targets)


def _note(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    told = (
        f"Perplexity strided at {options.stride}, divergence over disjoint windows, both of "
        f"{options.window} tokens; {options.threads} threads, median of {options.rounds} rounds. "
        "reference s: making, once, what is kept on disk (kept MiB) before the timed run; first s: "
        "the run with it. Sides without these columns load both models."
    )
    return told_failures(told, found["failed"])


if __name__ == "__main__":
    sys.exit(main())
