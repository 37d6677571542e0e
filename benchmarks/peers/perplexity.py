"""Perplexity of the same tokens: quantgate, the usual loop on each runtime, and lm-eval.

Strided (`quantgate-*`, `loop-*`): windows of 1024 at a stride of 512, every token but the first
scored once; the values must agree within `MAX_RELATIVE` in fp32, or the exit code is 1. Rolling
(`lm-eval-*`): windows of 1024 without overlap, the cheaper protocol and another statistic, so only
its time is compared. lm-eval's ONNX engines leave out a token of every full window.

Every side is a process of its own with the same number of threads and the same ids. Timed is the
scoring with a loaded and warm model; memory is the peak beyond it.

    python -m benchmarks.peers.perplexity --peers ENV --text FILE [--tokens 8192] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.output import print_table, write_json
from benchmarks.peers.inputs import BACKENDS, REFERENCE, Model, add_common_arguments, models
from benchmarks.peers.processes import (
    Side,
    beyond_mib,
    in_turn,
    measured,
    ours,
    peer,
    seconds,
    table_row,
)
from benchmarks.peers.ratios import Target, ratio_rows
from quantgate.corpus.text import read_text
from quantgate.packages.tokenizer import load_tokenizer

MAX_RELATIVE = 1e-5
PEERS = (*(f"loop-{name}" for name in BACKENDS), "lm-eval-hf", "lm-eval-ort", "lm-eval-ortgenai")
LM_EVAL_OF = {"torch": "lm-eval-hf", "ort": "lm-eval-ort", "ortgenai": "lm-eval-ortgenai"}
TARGETS = tuple(
    target
    for name in BACKENDS
    for target in (
        Target(f"quantgate-{name}", (f"loop-{name}",), 2.0, "time", seconds),
        Target(f"quantgate-{name}", (f"loop-{name}",), 3.0, "beyond loaded", beyond_mib),
        Target(f"quantgate-{name}", (LM_EVAL_OF[name],), 1.0, "time, rolling", seconds),
    )
)


def main() -> int:
    """Measure, print, and say by the exit code whether the strided sides agree."""
    options = _options()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model in models(options, options.text, folder):
            ids = _write_ids(options, model.source, folder / "ids.json")
            sides = model.wanted(_sides(options, model, ids), options.sides)
            results[model.precision] = _measure(model.precision, sides, options, folder)
    told = {name: getattr(options, name) for name in ("tokens", "window", "stride", "threads")}
    write_json(options.json, "peers_perplexity", {"options": told, "results": results})
    found = results.get(REFERENCE)
    differs = found is not None and not found["relative_difference"] < MAX_RELATIVE
    if differs:
        print(f"FAILED: fp32 perplexities differ by {MAX_RELATIVE:g} or more", file=sys.stderr)
    return int(differs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="text, a paragraph a line")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    add_common_arguments(parser)
    return parser.parse_args()


def _write_ids(options: argparse.Namespace, source: Path, path: Path) -> Path:
    corpus = read_text(str(options.text.resolve()), base=Path())
    (ids,) = load_tokenizer(source).encode([corpus.text])
    path.write_text(json.dumps(ids[: options.tokens]), "utf-8")
    return path


def _sides(options: argparse.Namespace, model: Model, ids: Path) -> list[Side]:
    common: list[object] = []
    for name in ("window", "stride", "threads"):
        common += [f"--{name}", getattr(options, name)]
    found = [
        ours("perplexity", each, ["--model", model.for_ours(each), "--data", ids, *common])
        for each in BACKENDS
    ]
    for engine in PEERS:
        arguments = ["--model", model.for_peer(engine), "--ids", ids, *common]
        found.append(peer(options.peers, "perplexity_side", engine, arguments, batch_size=None))
    return found


def _measure(
    precision: str, sides: Sequence[Side], options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    runs = in_turn(sides, options.rounds, folder)
    records = measured(runs)
    if not records:
        raise SystemExit(f"{precision}: no side was measured")
    rows = [
        {
            **table_row(name, each, "token"),
            "protocol": each[0]["protocol"],
            "perplexity": f"{each[0]['perplexity']:.6f}",
        }
        for name, each in records.items()
    ]
    ratios = ratio_rows(TARGETS, records)
    print(f"\n{precision}, {options.tokens} tokens; median of {options.rounds} rounds")
    print_table(rows)
    print()
    print_table(ratios)
    strided = [e[0]["perplexity"] for e in records.values() if e[0]["protocol"] == "strided"]
    difference = max(strided) / min(strided) - 1 if strided else 0.0
    print(f"relative difference of the strided perplexities: {difference:.2g}")
    return {"relative_difference": difference, "table": rows, "ratios": ratios, "runs": runs}


if __name__ == "__main__":
    sys.exit(main())
