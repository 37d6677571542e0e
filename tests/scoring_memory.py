"""Scores one window of text in this process, as a gate's run does, and tells the memory it took.

    python -m tests.scoring_memory --backend ort --reference DIR [--candidate DIR] --text FILE ...

Without a candidate the reference is scored, and what it leaves for candidates is kept in the cache;
with one, the reference is taken from there. The session is inline: memory is that of the model's
process and of the run's together. All is loaded before memory is looked at but the reference's
head, which counts as work.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from benchmarks.asking import warm_up
from benchmarks.peers.measuring import Memory
from quantgate.corpus.text import read_text
from quantgate.evaluate import Evaluator
from quantgate.execution.inline import InlineSession
from quantgate.execution.journal import BatchJournal
from quantgate.rounds import Asker
from quantgate.sessions import Execution, Sessions
from quantgate.tasks.text import TextOptions, TextTask
from quantgate.tasks.text_scores import perplexity_score
from quantgate.tasks.windows import STRIDED
from quantgate.traces import TraceStore
from tests.running import THREADS, Silence, case_of

WINDOW = 1024


def main() -> None:
    options = _options()
    reference = replace(case_of(options.reference), backend=options.backend)
    case = reference
    if options.candidate:
        candidate = case_of(options.candidate, "changed", reference=reference)
        case = replace(candidate, backend=options.backend)
    sessions = Sessions(options.cache, Execution(threads=THREADS, inline=True))
    journal = BatchJournal(options.cache / "journal.sqlite")
    evaluator = Evaluator(Asker(sessions, TraceStore(options.cache / "traces"), journal, Silence()))
    task = TextTask(
        read_text(str(options.text), base=options.text.parent),
        TextOptions(window=WINDOW, stride=WINDOW // 2, kl_window=WINDOW, max_tokens=WINDOW),
    )
    kept = evaluator.run(reference, task).cost["kept"] if case != reference else None
    evaluator.items(case, task)
    session = sessions.session(case)
    assert isinstance(session, InlineSession)
    warm_up(session)
    memory = Memory.after_loading()
    run = evaluator.run(case, task)
    divergence = run.samples.divergence
    print(
        json.dumps(
            {
                **memory.facts(),
                "reference_kept": kept,
                "windows": len(run.items.windows),
                "perplexity": perplexity_score(run.samples, run.items, STRIDED, None).value,
                "kl_mean": float(divergence.kl.mean()) if divergence else None,
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--candidate", type=Path, default=None)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
