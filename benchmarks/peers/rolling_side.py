"""One peer's rolling perplexity by pages, in a process of its own in the peers' environment.

lm-eval's own `wikitext` task on a local data set: its detokenizer, its windows, its counts of words
and bytes (of the page before detokenization), its aggregates.

    DIR/bin/python -m benchmarks.peers.rolling_side --engine lm-eval-hf --model DIR --data DIR \\
        [--pages 5] [--max-length 1024] --json FILE
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.peers.engines import LM_EVAL
from benchmarks.peers.evaluating import add_task_arguments, evaluate_timed, in_order
from benchmarks.peers.sides import add_side_arguments, write_side

TASK = "wikitext"
AGGREGATES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


def main() -> None:
    """Load, evaluate, write the record."""
    write_side("rolling", _options(), _run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_side_arguments(parser, LM_EVAL)
    add_task_arguments(parser)
    parser.add_argument("--pages", type=int, default=None, help="only the first so many")
    parser.add_argument("--max-length", type=int, default=None, help="default: the context")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict[str, Any]:
    done = evaluate_timed(
        options,
        [TASK],
        method="loglikelihood_rolling",
        shots=None,
        limit=options.pages,
        max_length=options.max_length,
    )
    pages = [_page(sample) for sample in in_order(done.found, TASK)]
    return {
        "options": {"batch_size": options.batch_size},
        **done.facts,
        "count": len(pages),
        "max_length": done.lm.max_length,
        "prefix_token": done.lm.prefix_token_id,
        **{name: done.found["results"][TASK][f"{name},none"] for name in AGGREGATES},
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
