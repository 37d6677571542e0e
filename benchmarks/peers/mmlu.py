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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.comparison import Compared, compare_sides, conclude, print_tables
from benchmarks.peers.in_common import in_common
from benchmarks.peers.inputs import BACKENDS, REFERENCE, Model, add_common_arguments
from benchmarks.peers.local_data import SUBJECTS, write_mmlu
from benchmarks.peers.processes import Side, ours, peer, seconds
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
TOLD = ("questions", "subjects", "threads", "rounds")


def main() -> int:
    """Measure, print, and say by the exit code whether all sides agree."""
    options = _options()
    compared = list(compare_sides(options, options.data_dir, partial(_sides, options)))
    results = {each.precision: _told(each, options.rounds) for each in compared}
    found = results.get(REFERENCE)
    differs = found is not None and not found["max_delta"] < MAX_DELTA
    failures = [failure for each in compared for failure in each.failures]
    failures += [f"the sides differ by {MAX_DELTA:g} nats or more in fp32"] * differs
    return conclude(options, "peers_mmlu", TOLD, results, failures=failures)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="MMLU, the CSV layout")
    parser.add_argument("--questions", type=int, default=50, help="of each subject")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    add_common_arguments(parser)
    return parser.parse_args()


def _sides(options: argparse.Namespace, model: Model, folder: Path) -> list[Side]:
    common: list[object] = ["--subjects", *options.subjects]
    common += ["--questions", options.questions, "--threads", options.threads]
    original = options.data_dir.resolve()
    found = [
        ours("mmlu", each, ["--model", model.for_ours(each), "--data", original, *common])
        for each in BACKENDS
    ]
    data = write_mmlu(options.data_dir, options.subjects, folder / "mmlu")
    for engine, batch_sizes in PEERS.items():
        arguments = ["--model", model.for_peer(engine), "--data", data, *common]
        found += [
            peer(options.peers, "mmlu_side", engine, arguments, batch_size=size)
            for size in batch_sizes
        ]
    return found


def _told(compared: Compared, rounds: int) -> dict[str, Any]:
    """What is kept of a precision, printed too."""
    first, (*_, base) = next(iter(compared.records.items()))

    def own(record: dict[str, Any]) -> dict[str, Any]:
        found = in_common((first, base), (record["side"], record), 1)
        return {
            "largest difference": found.difference,
            "other ids": found.read_otherwise,
            "accuracy": accuracy(record),
        }

    rows = compared.rows("question", own)
    ratios = ratio_rows(TARGETS, compared.records, compared.failed)
    print_tables(
        f"{compared.precision}, {base['count']} questions; median of {rounds} rounds; "
        f"differences in nats from {first}",
        rows,
        ratios,
    )
    delta = float(np.max([row["largest difference"] for row in rows]))  # NaN stays
    return {"max_delta": delta, "table": rows, "ratios": ratios, "runs": compared.runs}


def accuracy(record: dict[str, Any]) -> float:
    """Share of all questions whose likeliest letter is the right one."""
    subjects = record["subjects"].values()
    hits: list[bool] = [
        a == b for s in subjects for a, b in zip(s["chosen"], s["gold"], strict=True)
    ]
    return sum(hits) / len(hits)


if __name__ == "__main__":
    sys.exit(main())
