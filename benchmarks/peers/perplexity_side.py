"""One peer's perplexity of given tokens, in a process of its own in the peers' environment.

* `loop-torch`, strided: the usual loop; windows through a Hugging Face model with `labels`, which
  takes the cross-entropy of the full logits; labels of tokens already scored are -100.
* `loop-ort`, strided: the package's own file, full logits, `torch.log_softmax` of every row.
* `loop-ortgenai`, strided: a Generator a window, full logits, the same.
* `lm-eval-*`, rolling: lm-eval's `loglikelihood_rolling` of one document of these tokens.

Strided and rolling are different statistics: compare times, not values. Every token but the first
(strided), every token (rolling) is scored once.

    DIR/bin/python -m benchmarks.peers.perplexity_side --engine loop-torch --model DIR --ids FILE \\
        [--window 1024] [--stride 512] --json FILE
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import LM_EVAL, load, work_offline
from benchmarks.peers.loops import LOOPS
from benchmarks.peers.measuring import Memory, Meter, thread_facts, versions
from benchmarks.peers.record import write_record


@dataclass(frozen=True)
class Scorer:
    """A loaded way of scoring.

    Attributes:
        nll: summed negative log-likelihood in nats and number of scored tokens, of a list of ids.
        threads: read back from the engine.
    """

    nll: Callable[[list[int]], tuple[float, int]]
    threads: int


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    with tempfile.TemporaryDirectory() as cache:
        work_offline(Path(cache))
        write_record(options.json, "perplexity", options.engine, _run(options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=[*LOOPS, *LM_EVAL], required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder or prepared package")
    parser.add_argument("--ids", type=Path, required=True, help="JSON list of token ids")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def _run(options: argparse.Namespace) -> dict[str, Any]:
    ids = json.loads(options.ids.read_text("utf-8"))
    loading, scoring = Meter(), Meter()
    scorer = loading.wrap(_strided if options.engine in LOOPS else _rolling)(options)
    scorer.nll(ids[:16])
    memory = Memory.after_loading()
    total, count = scoring.wrap(scorer.nll)(ids)
    return {
        "options": {"window": options.window, "stride": options.stride, "tokens": len(ids)},
        "versions": versions(),
        "threads": thread_facts(options.threads, scorer.threads, scoring),
        "load_seconds": loading.seconds,
        "encode_seconds": 0.0,
        "seconds": scoring.seconds,
        "memory": memory.facts(),
        "count": count,
        "protocol": "strided" if options.engine in LOOPS else "rolling",
        "perplexity": math.exp(total / count),
    }


def _strided(options: argparse.Namespace) -> Scorer:
    loop = LOOPS[options.engine](options.model, options.threads)

    def nll(ids: list[int]) -> tuple[float, int]:
        spans = list(_windows(len(ids), options.window, options.stride))
        parts = [loop.nll(ids[begin:end], first - begin) for begin, first, end in spans]
        return sum(parts), sum(end - first for _, first, end in spans)

    return Scorer(nll, loop.threads)


def _windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Begin, first scored token, and end of each window; the first token of all isn't scored."""
    scored = 1
    for begin in range(0, count, stride):
        end = min(begin + window, count)
        yield begin, scored, end
        scored = end
        if end == count:
            return


def _rolling(options: argparse.Namespace) -> Scorer:
    from lm_eval.api.instance import Instance

    engine = load(
        options.engine,
        options.model,
        batch_size=1,
        max_length=options.window,
        threads=options.threads,
    )

    def nll(ids: list[int]) -> tuple[float, int]:
        # The tokens are given, so the tokenizer is left out: the text that they decode to might
        # become other tokens.
        engine.lm.tok_encode = lambda *_args, **_more: ids
        (loglikelihood,) = engine.lm.loglikelihood_rolling(
            [Instance("loglikelihood_rolling", {}, ("the given tokens",), 0)]
        )
        return -loglikelihood, len(ids)

    return Scorer(nll, engine.threads)


if __name__ == "__main__":
    main()
