"""One peer's rolling perplexity by pages, in a process of its own in the peers' environment.

lm-eval's own `wikitext` task on a local data set: its detokenizer, its windows, its counts of words
and bytes (of the page before detokenization), its aggregates.

    DIR/bin/python -m benchmarks.peers.rolling_side --engine lm-eval-hf --model DIR --data DIR \\
        [--pages 5] [--max-length 1024] --json FILE
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import LM_EVAL, load, work_offline
from benchmarks.peers.evaluating import evaluate, in_order, time_loop, warm_up
from benchmarks.peers.measuring import Memory, Meter, thread_facts, versions
from benchmarks.peers.record import write_record

TASK = "wikitext"
AGGREGATES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    with tempfile.TemporaryDirectory() as cache:
        work_offline(Path(cache))
        write_record(options.json, "rolling", options.engine, _run(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=LM_EVAL, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder or prepared package")
    parser.add_argument("--data", type=Path, required=True, help="made by local_data")
    parser.add_argument("--pages", type=int, default=None, help="only the first so many")
    parser.add_argument("--max-length", type=int, default=None, help="default: the context")
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
        max_length=options.max_length,
        threads=options.threads,
    )
    warm_up(engine.lm)
    whole, scoring = time_loop(engine.lm, "loglikelihood_rolling")
    memory = Memory.after_loading()
    found = evaluate(engine.lm, [TASK], options.data, shots=None, limit=options.pages)
    pages = [_page(sample) for sample in in_order(found, TASK)]
    return {
        "options": {"batch_size": options.batch_size},
        "versions": versions(),
        "threads": thread_facts(options.threads, engine.threads, scoring),
        "load_seconds": loading.seconds,
        "encode_seconds": whole.seconds - scoring.seconds,
        "seconds": scoring.seconds,
        "memory": memory.facts(),
        "count": len(pages),
        "max_length": engine.lm.max_length,
        "prefix_token": engine.lm.prefix_token_id,
        **{name: found["results"][TASK][f"{name},none"] for name in AGGREGATES},
        "pages": pages,
    }


def _page(sample: dict[str, Any]) -> dict[str, float]:
    loglikelihood, words = sample["word_perplexity"]
    return {
        "loglikelihood": loglikelihood,
        "words": words,
        "bytes": sample["byte_perplexity"][1],
    }


if __name__ == "__main__":
    main()
