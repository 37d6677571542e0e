"""quantgate's perplexity and divergence of a candidate, in a process of its own.

The whole way that a gate takes, plan, journal, kept reference and figures included, only inline, so
that time and memory are those of one process, as on the peers' side. One pass over the candidate
yields both figures.

* with `--make`: the reference is scored and kept in `--store`, as the first run of a gate does it;
* without: it is found there, as a later run does. Its rows are sent through its head, its body
  isn't loaded, and a reference that isn't found is an error.

Timed is the evaluation with a loaded and warm model. Tokenisation and loading stand apart.

    python -m benchmarks.peers.ours_divergence --backend ort --reference PACKAGE --model PACKAGE \\
        --precision int4 --text FILE --store DIR [--make] --json FILE
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import Memory, Meter, folder_bytes, side_facts
from benchmarks.peers.record import write_record
from quantgate.cases import Case, Package
from quantgate.corpus.text import TextCorpus, read_text
from quantgate.evaluate import Evaluator
from quantgate.execution.journal import BatchJournal
from quantgate.report.progress import Silence
from quantgate.rounds import Asker
from quantgate.sessions import Execution, Sessions
from quantgate.tasks.text import TextOptions, TextTask
from quantgate.tasks.text_scores import divergence_scores, perplexity_score
from quantgate.tasks.windows import STRIDED
from quantgate.traces import TraceStore

# PyTorch runs no ONNX package, so it can't run the candidate.
BACKENDS = ("ort", "ortgenai")
WARM_UP = 16


def main() -> None:
    """Load, evaluate, write the record."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        found = run(options, Path(name))
    write_record(options.json, "divergence", f"quantgate-{options.backend}", found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, required=True)
    parser.add_argument("--reference", type=Path, required=True, help="package")
    parser.add_argument("--model", type=Path, required=True, help="the candidate's package")
    parser.add_argument("--precision", required=True, help="the candidate's")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=3072)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--store", type=Path, required=True, help="where references are kept")
    parser.add_argument("--make", action="store_true", help="keep the reference, nothing else")
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


def run(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Evaluate in this process.

    Args:
        options: as the command line has them.
        scratch: an empty folder for the journal, in which a run finds batches done before.

    Returns:
        All of the record but its measure and side.

    Raises:
        SystemExit: the reference isn't in the store, and isn't to be made.
    """
    corpus = read_text(str(options.text.resolve()), base=Path())
    task = _task(corpus, options.window, options.stride, options.tokens)
    warm_up = _task(corpus, WARM_UP, WARM_UP // 2, WARM_UP)
    case = _case(options)
    sessions = Sessions(options.store, Execution(threads=options.threads, inline=True))
    with closing(sessions), BatchJournal(scratch / "journal.sqlite") as journal:
        asker = Asker(sessions, TraceStore(options.store), journal, Silence())
        return _measure(asker, case, warm_up, task, options)


def _measure(
    asker: Asker, case: Case, warm_up: TextTask, task: TextTask, options: argparse.Namespace
) -> dict[str, Any]:
    loading, encoding, scoring = Meter(), Meter(), Meter()
    loading.wrap(Evaluator(asker).run)(case, warm_up)
    evaluator = Evaluator(asker)
    items = encoding.wrap(evaluator.items)(case, task)
    memory = Memory.after_loading()
    found = scoring.wrap(_evaluate)(evaluator, case, task)
    return {
        "options": {"window": options.window, "stride": options.stride, "tokens": len(items.ids)},
        **side_facts(
            loading=loading,
            scoring=scoring,
            memory=memory,
            asked=options.threads,
            found=asker.sessions.facts(case).identity["threads"],
            encode_seconds=encoding.seconds,
        ),
        "count": len(items.ids),
        "ids": items.digest,
        "kept_bytes": folder_bytes(options.store),
        **found,
    }


def _task(corpus: TextCorpus, window: int, stride: int, tokens: int) -> TextTask:
    return TextTask(
        corpus,
        TextOptions(
            window=window,
            stride=stride,
            kl_window=window,
            max_tokens=tokens,
            protocols=(STRIDED,),
        ),
    )


def _case(options: argparse.Namespace) -> Case:
    """The reference where it is to be made, else the candidate that is held against it."""

    def case(folder: Path, precision: str, reference: Case | None) -> Case:
        return Case(
            model="model",
            variant=precision,
            precision=precision,
            backend=options.backend,
            provider="cpu",
            package=Package(path=folder.resolve()),
            reference=reference,
            is_reference=reference is None,
        )

    reference = case(options.reference, "fp32", None)
    return reference if options.make else case(options.model, options.precision, reference)


def _evaluate(evaluator: Evaluator, case: Case, task: TextTask) -> dict[str, float]:
    """The figures of a candidate, or of a reference alone."""
    run = evaluator.run(case, task)
    if case.reference is None:
        score = perplexity_score(run.samples, run.items, STRIDED, None)
        return {"reference_perplexity": score.value}
    reference = evaluator.run(case.reference, task)
    divergence = run.samples.divergence
    if not reference.cost["kept"] or divergence is None:
        raise SystemExit("the reference isn't in the store: run with --make before")
    score = perplexity_score(run.samples, run.items, STRIDED, reference.samples)
    kl_mean, *_ = divergence_scores(run.samples, divergence, run.items, reference.samples)
    anchor = perplexity_score(reference.samples, reference.items, STRIDED, None)
    return {
        "reference_perplexity": anchor.value,
        "perplexity": score.value,
        "kl_mean": kl_mean.value,
    }


if __name__ == "__main__":
    main()
