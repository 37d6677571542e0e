"""quantgate's side, in a process of its own: plan, backend and metric, as its suites use them.

The session is inline, so that time and memory are those of one process, as on the peers' side.
Timed is what a run does for a model that is loaded: planning, all batches, the readings of their
rows. Tokenisation and loading stand apart.

    python -m benchmarks.peers.ours_side mmlu --backend torch --model DIR --data CSV_DIR ...
    python -m benchmarks.peers.ours_side rolling --backend ort --model PACKAGE --data TEXT ...
    python -m benchmarks.peers.ours_side perplexity --backend ort --model PACKAGE --data IDS ...
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.asking import ask, warm_up
from benchmarks.peers.breakdown import Ceiling, Planner, timed_calls
from benchmarks.peers.measuring import FromFirst, Meter, side_facts
from benchmarks.peers.record import write_record
from quantgate.answers import Answers
from quantgate.backends.base import BackendSpec
from quantgate.backends.registry import BACKENDS
from quantgate.execution.inline import InlineSession
from quantgate.packages.tokenizer import Tokenizer, load_tokenizer
from quantgate.requests import Request

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """A loaded model and the meters of its work.

    Attributes:
        encoding: time of tokenisation.
        scoring: time of the evaluation loop.
        planner: time of the planning in it, and the plans.
        memory: from the first question on.
    """

    session: InlineSession
    tokenizer: Tokenizer
    encoding: Meter
    scoring: Meter
    planner: Planner = field(default_factory=Planner)
    memory: FromFirst = field(default_factory=FromFirst)

    def ask(self, requests: Sequence[Request], name: Callable[[int], str] | None = None) -> Answers:
        """Answers to `requests`, timed; `name`, for messages alone, isn't needed here."""
        del name
        self.memory.begin()
        return self.scoring.wrap(self._ask)(requests)

    def _ask(self, requests: Sequence[Request]) -> Answers:
        return ask(self.session, requests, self.tokenizer.size, self.planner)


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    ceiling = Ceiling(options.package, threads=options.threads) if options.package else None
    loading = Meter()
    side = loading.wrap(_load)(options)
    with timed_calls(options.backend) as runtime:
        found = MEASURES[options.measure](side, options)
    facts = side_facts(
        loading=loading,
        scoring=side.scoring,
        memory=side.memory.found,
        asked=options.threads,
        found=options.threads,
        encode_seconds=side.encoding.seconds,
    )
    facts["planning_seconds"] = side.planner.meter.seconds
    facts["runtime_seconds"] = {part: meter.seconds for part, meter in runtime.items()}
    if ceiling is not None:
        facts |= ceiling.facts(side.planner.plans)
    write_record(options.json, options.measure, f"quantgate-{options.backend}", {**facts, **found})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("measure", choices=MEASURES)
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--model", type=Path, required=True, help="package, or folder for torch")
    parser.add_argument(
        "--data", type=Path, required=True, help="MMLU's CSV folder, a text, a JSON list of ids"
    )
    parser.add_argument("--subjects", nargs="+", default=[])
    parser.add_argument("--questions", type=int, default=None, help="of each subject")
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--pages", type=int, default=None)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--protocol", choices=PROTOCOLS, default="strided", help="of perplexity")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--package",
        type=Path,
        default=None,
        help="tell the useful work, counted on this package, and what the machine does at best",
    )
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def _load(options: argparse.Namespace) -> Side:
    spec = BackendSpec(options.backend, str(options.model), threads=options.threads)
    session, tokenizer = InlineSession(spec), load_tokenizer(options.model)
    side = Side(session, tokenizer, Meter(), Meter())
    warm_up(session)
    return side


def _mmlu(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.peers.questions import by_subject, read_task

    task = read_task(
        options.data, options.subjects, shots=options.shots, questions=options.questions
    )
    items = side.encoding.wrap(task.encode)(side.tokenizer, side.session.limits.context)
    samples = task.score(items, side.ask, side.tokenizer)
    return {
        "options": {"shots": options.shots},
        "count": len(items.items),
        "subjects": by_subject(items, samples.loglikelihoods),
    }


def _rolling(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    from quantgate.corpus.text import WIKITEXT, read_text
    from quantgate.tasks.rolling import RollingOptions, RollingTask
    from quantgate.tasks.rolling_scores import rolling_documents, rolling_scores

    corpus = read_text(str(options.data.resolve()), base=Path(), text_format=WIKITEXT)
    window = options.window or side.session.limits.context
    protocol = RollingOptions(window, WIKITEXT, max_documents=options.pages)
    task = RollingTask(corpus, protocol)
    items = side.encoding.wrap(task.encode)(side.tokenizer, side.session.limits.context)
    samples = task.score(items, side.ask, side.tokenizer)
    pages = [
        {"loglikelihood": -page["nll_nats"], "words": page["words"], "bytes": page["bytes"]}
        for page in rolling_documents(samples, items)
    ]
    return {
        "options": {},
        "count": len(pages),
        "max_length": window,
        "prefix_token": side.tokenizer.start,
        **{score.metric: score.value for score in rolling_scores(samples, items, None)},
        "pages": pages,
    }


def _perplexity(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    ids = json.loads(options.data.read_text("utf-8"))
    scored = PROTOCOLS[options.protocol](side, ids, options)
    return {
        "options": {"window": options.window, "stride": options.stride, "tokens": len(ids)},
        "count": len(scored),
        "protocol": options.protocol,
        "perplexity": float(np.exp(-scored.mean())),
    }


def _strided(side: Side, ids: list[int], options: argparse.Namespace) -> Vector:
    """Log-probabilities of every id but the first, by strided windows."""
    from quantgate.tasks.text_pass import TextItems, read_answers
    from quantgate.tasks.windows import STRIDED, make_windows

    windows = make_windows(
        len(ids),
        window=options.window,
        stride=options.stride,
        kl_window=options.window,
        protocols=(STRIDED,),
    )
    # The windows of the divergence are left out: the peers score strided targets alone.
    strided = tuple(replace(window, whole=False) for window in windows if window.targets)
    items = TextItems(np.array(ids, dtype=np.int64), strided)
    logprobs = read_answers(items, side.ask(items.requests)).logprobs(STRIDED)
    return logprobs[~np.isnan(logprobs)]


def _rolling_ids(side: Side, ids: list[int], options: argparse.Namespace) -> Vector:
    """Log-probabilities of every id of one document, the first after the tokenizer's start."""
    from quantgate.tasks.rolling import RollingItems

    start = side.tokenizer.start
    if start is None:
        raise SystemExit("rolling: the tokenizer has neither BOS nor EOS for a document's start")
    items = RollingItems(((start, *ids),), side.tokenizer.decode([start]), (), options.window)
    return side.ask(items.requests).logprobs


PROTOCOLS: dict[str, Callable[[Side, list[int], argparse.Namespace], Vector]] = {
    "strided": _strided,
    "rolling": _rolling_ids,
}
MEASURES: dict[str, Callable[[Side, argparse.Namespace], dict[str, Any]]] = {
    "mmlu": _mmlu,
    "rolling": _rolling,
    "perplexity": _perplexity,
}


if __name__ == "__main__":
    main()
