"""MMLU 5-shot on the same questions: quantgate, lm-eval and Olive, one after the other.

Every side is a process of its own with the same number of threads; all rounds run all sides in
turn. Timed is each tool's own evaluation loop, without loading and tokenisation: for lm-eval and
Olive `_loglikelihood_tokens`, for quantgate planning, batches and readings. The time of a side is
the median over rounds. In fp32 all log-likelihoods must agree within `MAX_DELTA` nats, or the exit
code is 1.

    python -m benchmarks.peers.mmlu --peers ENV --data-dir DIR [--questions 50] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import print_table, write_json
from benchmarks.peers.inputs import BACKENDS, REFERENCE, Model, add_common_arguments, models
from benchmarks.peers.local_data import SUBJECTS, write_mmlu
from benchmarks.peers.processes import Side, in_turn, measured, ours, peer, seconds, table_row
from benchmarks.peers.ratios import Target, ratio_rows

MAX_DELTA = 1e-3
# Batch sizes above 1: lm-eval's ONNX engines refuse them, Olive's ORT-GenAI crashes with prompts
# of unequal lengths, and batches of unequal lengths cost `hf` and `ort` their padding.
PEERS = {
    "lm-eval-hf": (1, 8),
    "lm-eval-ort": (1,),
    "lm-eval-ortgenai": (1,),
    "olive-ort": (1, 8),
    "olive-ortgenai": (1,),
}
TARGETS = (
    Target("quantgate-ort", ("olive-ort",), 6.0, "time", seconds),
    Target("quantgate-ort", tuple(PEERS), 4.5, "time", seconds),
    Target("quantgate-torch", ("lm-eval-hf",), 5.0, "time", seconds),
    Target("quantgate-ortgenai", ("olive-ortgenai",), 4.5, "time", seconds),
)


def main() -> int:
    """Measure, print, and say by the exit code whether all sides agree."""
    options = _options()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_mmlu(options.data_dir, options.subjects, folder / "mmlu")
        for model in models(options, options.data_dir, folder):
            sides = model.wanted(_sides(options, model, data), options.sides)
            results[model.precision] = _measure(model.precision, sides, options, folder)
    told = {name: getattr(options, name) for name in ("questions", "subjects", "threads", "rounds")}
    write_json(options.json, "peers_mmlu", {"options": told, "results": results})
    found = results.get(REFERENCE)
    differs = found is not None and not found["max_delta"] < MAX_DELTA
    if differs:
        print(f"FAILED: the sides differ by {MAX_DELTA:g} nats or more in fp32", file=sys.stderr)
    return int(differs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="MMLU, the CSV layout")
    parser.add_argument("--questions", type=int, default=50, help="of each subject")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    add_common_arguments(parser)
    return parser.parse_args()


def _sides(options: argparse.Namespace, model: Model, data: Path) -> list[Side]:
    common: list[object] = ["--subjects", *options.subjects]
    common += ["--questions", options.questions, "--threads", options.threads]
    original = options.data_dir.resolve()
    found = [
        ours("mmlu", each, ["--model", model.for_ours(each), "--data", original, *common])
        for each in BACKENDS
    ]
    for engine, batch_sizes in PEERS.items():
        arguments = ["--model", model.for_peer(engine), "--data", data, *common]
        found += [
            peer(options.peers, "mmlu_side", engine, arguments, batch_size=size)
            for size in batch_sizes
        ]
    return found


def _measure(
    precision: str, sides: Sequence[Side], options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    runs = in_turn(sides, options.rounds, folder)
    records = measured(runs)
    if not records:
        raise SystemExit(f"{precision}: no side was measured")
    values = {name: _values(each[-1]) for name, each in records.items()}
    base = next(iter(values.values()))
    rows = [
        {
            **table_row(name, each, "question"),
            "largest difference": float(np.abs(values[name] - base).max()),
            "accuracy": _accuracy(each[-1]),
        }
        for name, each in records.items()
    ]
    ratios = ratio_rows(TARGETS, records)
    print(f"\n{precision}, {base.shape[0]} questions; median of {options.rounds} rounds;", end=" ")
    print(f"differences in nats from {next(iter(values))}")
    print_table(rows)
    print()
    print_table(ratios)
    delta = max(row["largest difference"] for row in rows)
    return {"max_delta": delta, "table": rows, "ratios": ratios, "runs": runs}


def _values(record: dict[str, Any]) -> np.ndarray:
    """Log-likelihoods of all letters, `[questions, 4]`, subjects by name."""
    subjects = sorted(record["subjects"].items())
    return np.concatenate([np.array(subject["loglikelihoods"]) for _, subject in subjects])


def _accuracy(record: dict[str, Any]) -> float:
    subjects = record["subjects"].values()
    hits: list[bool] = [
        a == b for s in subjects for a, b in zip(s["chosen"], s["gold"], strict=True)
    ]
    return sum(hits) / len(hits)


if __name__ == "__main__":
    sys.exit(main())
