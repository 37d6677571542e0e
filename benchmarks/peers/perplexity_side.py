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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import LM_EVAL, load
from benchmarks.peers.loops import LOOPS, strided_nll
from benchmarks.peers.measuring import Memory, Meter, side_facts
from benchmarks.peers.sides import add_side_arguments, write_side


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
    write_side("perplexity", _options(), _run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_side_arguments(parser, [*LOOPS, *LM_EVAL])
    parser.add_argument("--ids", type=Path, required=True, help="JSON list of token ids")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
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
        **side_facts(
            loading=loading,
            scoring=scoring,
            memory=memory,
            asked=options.threads,
            found=scorer.threads,
        ),
        "count": count,
        "protocol": "strided" if options.engine in LOOPS else "rolling",
        "perplexity": math.exp(total / count),
    }


def _strided(options: argparse.Namespace) -> Scorer:
    loop = LOOPS[options.engine](options.model, options.threads)

    def nll(ids: list[int]) -> tuple[float, int]:
        return strided_nll(loop, ids, options.window, options.stride)

    return Scorer(nll, loop.threads)


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
