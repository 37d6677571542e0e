"""One peer's MMLU, in a process of its own in the peers' environment.

lm-eval's own `mmlu_<subject>` tasks on a local data set; the log-likelihood of every letter, the
accuracy lm-eval reports, and the time of the scoring loop, tokenisation apart.

    DIR/bin/python -m benchmarks.peers.mmlu_side --engine lm-eval-hf --model DIR --data DIR \\
        --subjects anatomy nutrition [--questions 50] [--batch-size 8] --json FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from benchmarks.peers.engines import ENGINES
from benchmarks.peers.evaluating import (
    Evaluation,
    add_task_arguments,
    evaluate_timed,
    in_order,
)
from benchmarks.peers.record import LETTERS, read_digest
from benchmarks.peers.sides import add_side_arguments, write_side

TASK = "mmlu_{}"


def main() -> None:
    """Load, evaluate, write the record."""
    write_side("mmlu", _options(), _run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_side_arguments(parser, ENGINES)
    add_task_arguments(parser)
    parser.add_argument("--subjects", nargs="+", required=True)
    parser.add_argument("--questions", type=int, default=None, help="of each subject")
    parser.add_argument("--shots", type=int, default=5)
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict[str, Any]:
    done = evaluate_timed(
        options,
        [TASK.format(subject) for subject in options.subjects],
        method="loglikelihood",
        shots=options.shots,
        limit=options.questions,
    )
    subjects = {each: _subject(done, TASK.format(each)) for each in options.subjects}
    return {
        "options": {"shots": options.shots, "batch_size": options.batch_size},
        **done.facts,
        "count": sum(len(subject["gold"]) for subject in subjects.values()),
        "subjects": subjects,
    }


def _subject(done: Evaluation, task: str) -> dict[str, Any]:
    samples = in_order(done.found, task)
    values = [[value for value, _ in sample["filtered_resps"]] for sample in samples]
    return {
        "accuracy": done.found["results"][task]["acc,none"],
        "loglikelihoods": values,
        "chosen": [LETTERS[row.index(max(row))] for row in values],
        "gold": [LETTERS[int(sample["target"])] for sample in samples],
        "read": [_read(done.lm, sample["arguments"]) for sample in samples],
    }


def _read(lm: Any, pairs: Iterable[tuple[str, str]]) -> str:
    """What the model's own tokenizer makes of a question's prompt with each letter."""
    encoded = (lm._encode_pair(*pair) for pair in pairs)  # noqa: SLF001
    return read_digest((*context, *letter) for context, letter in encoded)


if __name__ == "__main__":
    main()
