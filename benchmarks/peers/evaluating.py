"""lm-eval's own evaluation of its own tasks, on local data, with its loop timed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.measuring import Meter


def evaluate(
    lm: Any, tasks: Sequence[str], data: Path, *, shots: int | None, limit: int | None
) -> dict[str, Any]:
    """Run lm-eval's tasks as its command line does, only the data set's place changed.

    Args:
        lm: a model with lm-eval's interface.
        tasks: names of lm-eval's tasks.
        data: a data set of `local_data`.
        shots: examples before a question, or None for the task's own.
        limit: the first so many documents of each task.

    Returns:
        lm-eval's results with the logged samples.
    """
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


def time_loop(lm: Any, method: str) -> tuple[Meter, Meter]:
    """Meters of the whole of `method` and of the scoring in it (`_loglikelihood_tokens`).

    What the first has more than the second is tokenisation and the making of requests.
    """
    whole, scoring = Meter(), Meter()
    setattr(lm, method, whole.wrap(getattr(lm, method)))
    lm._loglikelihood_tokens = scoring.wrap(lm._loglikelihood_tokens)  # noqa: SLF001
    return whole, scoring


def warm_up(lm: Any) -> None:
    """Score one short request: first runs allocate."""
    from lm_eval.api.instance import Instance

    lm.loglikelihood([Instance("loglikelihood", {}, ("Question: 1 + 1\nAnswer:", " A"), 0)])


def in_order(found: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """A task's logged samples in the data set's order."""
    return sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
