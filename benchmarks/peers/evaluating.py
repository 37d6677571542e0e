"""lm-eval's own evaluation of its own tasks, on local data, with its loop timed."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.engines import load
from benchmarks.peers.measuring import FromFirst, Meter, side_facts


@dataclass(frozen=True)
class Evaluation:
    """What lm-eval found in this process.

    Attributes:
        lm: the model, with lm-eval's interface.
        found: lm-eval's results with the logged samples.
        facts: versions, threads, times and memory, as `record` has them.
    """

    lm: Any
    found: dict[str, Any]
    facts: dict[str, Any]


def add_task_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `evaluate_timed` reads beside the options of every side."""
    parser.add_argument("--data", type=Path, required=True, help="made by local_data")
    parser.add_argument("--batch-size", type=int, default=1)


def evaluate_timed(
    options: argparse.Namespace,
    tasks: Sequence[str],
    *,
    method: str,
    shots: int | None,
    limit: int | None,
    max_length: int | None = None,
) -> Evaluation:
    """Load the engine, warm it up and run lm-eval's tasks.

    Args:
        options: with what `sides.add_side_arguments` and `add_task_arguments` add.
        tasks: names of lm-eval's tasks.
        method: of lm-eval's model interface, that these tasks call.
        shots: examples before a question, or None for the task's own.
        limit: the first so many documents of each task.
        max_length: the window, where the model's context isn't meant.
    """
    loading = Meter()
    engine = loading.wrap(load)(
        options.engine,
        options.model,
        batch_size=options.batch_size,
        max_length=max_length,
        threads=options.threads,
    )
    _warm_up(engine.lm)
    memory = FromFirst()
    whole, scoring = _time_loop(engine.lm, method, memory)
    found = _evaluate(engine.lm, tasks, options.data, shots=shots, limit=limit)
    facts = side_facts(
        loading=loading,
        scoring=scoring,
        memory=memory.found,
        asked=options.threads,
        found=engine.threads,
        encode_seconds=whole.seconds - scoring.seconds,
    )
    return Evaluation(engine.lm, found, facts)


def in_order(found: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """A task's logged samples in the data set's order."""
    return sorted(found["samples"][task], key=lambda sample: sample["doc_id"])


def _evaluate(
    lm: Any, tasks: Sequence[str], data: Path, *, shots: int | None, limit: int | None
) -> dict[str, Any]:
    """Run lm-eval's tasks as its command line does, only the data set's place changed."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import setup_logging

    setup_logging("ERROR")
    manager = TaskManager()
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = simple_evaluate(
            model=lm,
            tasks=[_moved(manager, task, data, Path(folder)) for task in tasks],
            task_manager=manager,
            num_fewshot=shots,
            limit=limit,
            batch_size=lm.batch_size,
            bootstrap_iters=0,
            log_samples=True,
        )
    return found


def _moved(manager: Any, task: str, data: Path, folder: Path) -> str:
    """A task file that takes all of lm-eval's own task but the data set's place."""
    own = manager.task_index[task].yaml_path
    path = folder / f"{task}.yaml"
    path.write_text(json.dumps({"include": str(own), "dataset_path": str(data.resolve())}), "utf-8")
    return str(path)


def _time_loop(lm: Any, method: str, memory: FromFirst) -> tuple[Meter, Meter]:
    """Meters of the whole of `method` and of the scoring in it (`_loglikelihood_tokens`).

    What the first has more than the second is tokenisation and the making of requests. With the
    first scoring `memory` begins.
    """
    whole, scoring = Meter(), Meter()
    score = scoring.wrap(lm._loglikelihood_tokens)  # noqa: SLF001

    def begun(*args: Any, **kwargs: Any) -> Any:
        memory.begin()
        return score(*args, **kwargs)

    setattr(lm, method, whole.wrap(getattr(lm, method)))
    lm._loglikelihood_tokens = begun  # noqa: SLF001
    return whole, scoring


def _warm_up(lm: Any) -> None:
    """Score one short request: first runs allocate."""
    from lm_eval.api.instance import Instance

    lm.loglikelihood([Instance("loglikelihood", {}, ("Question: 1 + 1\nAnswer:", " A"), 0)])
