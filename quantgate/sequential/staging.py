"""Runs put together from their stages: what was taken of a task, as one run beside another.

A stage is asked of candidate and reference alike, each once; the samples of the stages become those
of one run over what was taken. What makes two results comparable stays that of the complete run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from quantgate.cases import Case
from quantgate.evaluate import Evaluator
from quantgate.measurements import Pair
from quantgate.tasks.base import Run
from quantgate.tasks.staged import StagedTask, Stages, StageTask

AnyTask = StagedTask[Any, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of the items behind one measurement.

    Attributes:
        blocks: keys of the items (`StagedTask.keys`), block by block.
        of: items of the complete run.
    """

    blocks: tuple[tuple[int, ...], ...]
    of: int

    @property
    def count(self) -> int:
        """Items taken."""
        return sum(map(len, self.blocks))


class Staging:
    """Pairs of a case and its reference over the first stages of a task."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._stages: dict[tuple[str, str], Stages] = {}

    def stages(self, case: Case, task: AnyTask) -> Stages:
        """All stages of a case.

        Raises:
            InvalidMeasurement: or UsageFault, from the package or the corpus.
        """
        # Asked first, since it opens the reference before the case, so that each loads once.
        self._evaluator.run(case, StageTask(task, 0))
        items = self._evaluator.items(case, task)
        key = (task.name, items.digest)
        if key not in self._stages:
            self._stages[key] = task.stages(items)
        return self._stages[key]

    def pair(self, case: Case, task: AnyTask, stages: int) -> Pair:
        """The first `stages` of a case beside those of its reference.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made a stage meaningless.
        """
        items = self._evaluator.items(case, task)
        if case.reference:
            self._evaluator.require_same_items(case, case.reference, task)
        # The reference first: the candidate is compared with what that leaves.
        reference = self._merged(case.reference, task, stages) if case.reference else None
        run = self._merged(case, task, stages)
        return Pair(case, task.corpus_digest, run, reference, items)

    def taken(self, case: Case, task: AnyTask, stages: int, name: str) -> Taken:
        """What the first `stages` hold for the measurement `name`."""
        keys = task.keys(self._evaluator.items(case, task), name)
        blocks = self.stages(case, task).until(stages)
        known = (tuple(key for n in block if (key := keys[n]) is not None) for block in blocks)
        return Taken(tuple(known), sum(key is not None for key in keys))

    def _merged(self, case: Case, task: AnyTask, count: int) -> Run[Any, Any]:
        stages = self.stages(case, task)
        runs = [self._evaluator.run(case, StageTask(task, stage)) for stage in range(count)]
        part = task.part(self._evaluator.items(case, task), stages.taken(count))
        numbered = [(stages.numbers(stage), run.samples) for stage, run in enumerate(runs)]
        cost: Counter[str] = Counter()
        for run in runs:
            cost.update(run.cost)
        return Run(
            items=part,
            samples=task.merge(part, numbered),
            identity=runs[-1].identity,
            tokenizer=runs[-1].tokenizer,
            plan=hashlib.sha256("".join(run.plan for run in runs).encode()).hexdigest(),
            cost={**cost, "kept": min(run.cost.get("kept", 0.0) for run in runs)},
            kept_rows=None,
            warnings=tuple(dict.fromkeys(line for run in runs for line in run.warnings)),
        )


def anchor_of(pair: Pair) -> Pair | None:
    """The reference of a pair as a case of its own, over the same items."""
    if pair.reference is None or pair.case.reference is None:
        return None
    return replace(pair, case=pair.case.reference, run=pair.reference, reference=None)
