"""One full forward per question on the package's own model file, in a process of its own.

The usual script: a session on the model as it is, one prompt at a time, an empty cache, the logits
of all positions, the last row's log-probabilities of the four letters (`benchmarks.full_forward`).
Timed are forwards and log-probabilities; loading and tokenisation stand apart.

    python -m benchmarks.peers.full_forward_side --model PACKAGE --data CSV_DIR \\
        --subjects anatomy nutrition [--share 10] --json FILE
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.full_forward import FullForward, letter_ids, one_by_one
from benchmarks.peers.measuring import Memory, Meter, side_facts
from benchmarks.peers.questions import by_subject, read_task
from benchmarks.peers.record import write_record
from quantgate.packages.package import open_package
from quantgate.packages.tokenizer import load_tokenizer

NAME = "full-forward-ort"


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    write_record(options.json, "mmlu", NAME, _run(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="package")
    parser.add_argument("--data", type=Path, required=True, help="MMLU's CSV folder")
    parser.add_argument("--subjects", nargs="+", required=True)
    parser.add_argument("--share", type=int, default=1, help="answer one in so many questions")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict[str, Any]:
    loading, encoding, scoring = Meter(), Meter(), Meter()
    package = open_package(options.model)
    model = loading.wrap(FullForward)(package, threads=options.threads)
    task = read_task(options.data, options.subjects, shots=options.shots, share=options.share)
    tokenizer = load_tokenizer(options.model)
    items = encoding.wrap(task.encode)(tokenizer, package.config.context_length)
    letters = letter_ids(items)
    model.logits(items.contexts[0])  # untimed: first runs allocate
    memory = Memory.after_loading()
    values = scoring.wrap(one_by_one)(model, items.contexts, letters)
    return {
        "options": {"shots": options.shots, "share": options.share},
        **side_facts(
            loading=loading,
            scoring=scoring,
            memory=memory,
            asked=options.threads,
            found=options.threads,
            encode_seconds=encoding.seconds,
        ),
        "count": len(items.items),
        "subjects": by_subject(items, values),
    }


if __name__ == "__main__":
    main()
