"""One peer's MMLU, in a process of its own in the peers' environment.

lm-eval's own `mmlu_<subject>` tasks on a local data set; the log-likelihood of every letter, the
accuracy lm-eval reports, and the time of the scoring loop, tokenisation apart.

    DIR/bin/python -m benchmarks.peers.mmlu_side --engine lm-eval-hf --model DIR --data DIR \\
        --subjects anatomy nutrition [--questions 50] [--batch-size 8] --json FILE
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import ENGINES, load, work_offline
from benchmarks.peers.evaluating import evaluate, in_order, time_loop, warm_up
from benchmarks.peers.measuring import Memory, Meter, thread_facts, versions
from benchmarks.peers.record import LETTERS, write_record

TASK = "mmlu_{}"


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    with tempfile.TemporaryDirectory() as cache:
        work_offline(Path(cache))
        write_record(options.json, "mmlu", options.engine, _run(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder or prepared package")
    parser.add_argument("--data", type=Path, required=True, help="made by local_data")
    parser.add_argument("--subjects", nargs="+", required=True)
    parser.add_argument("--questions", type=int, default=None, help="of each subject")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict[str, Any]:
    loading = Meter()
    engine = loading.wrap(load)(
        options.engine,
        options.model,
        batch_size=options.batch_size,
        max_length=None,
        threads=options.threads,
    )
    warm_up(engine.lm)
    whole, scoring = time_loop(engine.lm, "loglikelihood")
    memory = Memory.after_loading()
    tasks = [TASK.format(subject) for subject in options.subjects]
    found = evaluate(engine.lm, tasks, options.data, shots=options.shots, limit=options.questions)
    subjects = {subject: _subject(found, TASK.format(subject)) for subject in options.subjects}
    return {
        "options": {"shots": options.shots, "batch_size": options.batch_size},
        "versions": versions(),
        "threads": thread_facts(options.threads, engine.threads, scoring),
        "load_seconds": loading.seconds,
        "encode_seconds": whole.seconds - scoring.seconds,
        "seconds": scoring.seconds,
        "memory": memory.facts(),
        "count": sum(len(subject["gold"]) for subject in subjects.values()),
        "subjects": subjects,
    }


def _subject(found: dict[str, Any], task: str) -> dict[str, Any]:
    samples = in_order(found, task)
    values = [[value for value, _ in sample["filtered_resps"]] for sample in samples]
    return {
        "accuracy": found["results"][task]["acc,none"],
        "loglikelihoods": values,
        "chosen": [LETTERS[row.index(max(row))] for row in values],
        "gold": [LETTERS[int(sample["target"])] for sample in samples],
    }


if __name__ == "__main__":
    main()
