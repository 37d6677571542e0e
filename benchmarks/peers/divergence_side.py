"""One peer's perplexity and divergence of a candidate, in a process of its own.

The usual script with two models (`two_models`), in the peers' environment:

* `two-model-ort`, `two-model-ortgenai`: both are packages on that runtime, both loaded.
* `two-model-hf`: the reference is the Hugging Face model on PyTorch, the candidate a package on
  ONNX Runtime; both loaded.
* `two-model-*-kept`: with `--make` the reference's perplexity and the logits of all its windows are
  written into `--store`; without, they are read back and the candidate alone is loaded.

    DIR/bin/python -m benchmarks.peers.divergence_side --engine two-model-ort --reference DIR \\
        --model DIR --ids FILE [--window 1024] [--stride 512] --json FILE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.loops import LOOPS, Loop
from benchmarks.peers.measuring import Memory, Meter, folder_bytes, side_facts
from benchmarks.peers.sides import add_side_arguments, write_side
from benchmarks.peers.two_models import KeptReference, LoadedReference, Text, compare, keep

WARM_UP = 16


@dataclass(frozen=True)
class Script:
    """A way of comparing two models.

    Attributes:
        reference: the loop that runs it.
        candidate: likewise.
        keeps: the reference's logits are kept on disk.
    """

    reference: str
    candidate: str
    keeps: bool = False


SCRIPTS = {
    "two-model-ort": Script("loop-ort", "loop-ort"),
    "two-model-ortgenai": Script("loop-ortgenai", "loop-ortgenai"),
    "two-model-hf": Script("loop-torch", "loop-ort"),
    "two-model-ort-kept": Script("loop-ort", "loop-ort", keeps=True),
    "two-model-ortgenai-kept": Script("loop-ortgenai", "loop-ortgenai", keeps=True),
}


def main() -> None:
    """Load, evaluate, write the record."""
    write_side("divergence", _options(), run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_side_arguments(parser, SCRIPTS)
    parser.add_argument("--reference", type=Path, required=True, help="as --model")
    parser.add_argument("--ids", type=Path, required=True, help="JSON list of token ids")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--store", type=Path, default=None, help="where kept logits are")
    parser.add_argument("--make", action="store_true", help="keep the reference's, nothing else")
    options = parser.parse_args()
    if SCRIPTS[options.engine].keeps != (options.store is not None):
        parser.error("--store goes with the engines that keep logits, and only with them")
    if options.make and options.store is None:
        parser.error("--make goes with --store")
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluate in this process; all of the record but its measure and side."""
    text = Text(json.loads(options.ids.read_text("utf-8")), options.window, options.stride)
    loading, scoring = Meter(), Meter()
    loops, evaluate = loading.wrap(_load)(options)
    for loop in loops:
        loop.nll(text.ids[:WARM_UP], 1)
    memory = Memory.after_loading()
    found = scoring.wrap(evaluate)(text)
    return {
        "options": {"window": text.window, "stride": text.stride, "tokens": len(text.ids)},
        **side_facts(
            loading=loading,
            scoring=scoring,
            memory=memory,
            asked=options.threads,
            found=[loop.threads for loop in loops],
        ),
        "count": len(text.ids),
        "ids": text.digest,
        "kept_bytes": 0 if options.store is None else folder_bytes(options.store),
        **found,
    }


def _load(
    options: argparse.Namespace,
) -> tuple[list[Loop], Callable[[Text], dict[str, float]]]:
    """The loops that are loaded, and what they are loaded for."""
    script = SCRIPTS[options.engine]
    if options.make:
        reference = LOOPS[script.reference](options.reference, options.threads)
        return [reference], partial(keep, reference, options.store)
    candidate = LOOPS[script.candidate](options.model, options.threads)
    if script.keeps:
        return [candidate], partial(compare, KeptReference(options.store), candidate)
    reference = LOOPS[script.reference](options.reference, options.threads)
    return [reference, candidate], partial(compare, LoadedReference(reference), candidate)


if __name__ == "__main__":
    main()
