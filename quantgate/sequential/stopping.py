"""Sequential runs: a task is asked stage by stage, until every verdict that rests on it is settled.

After each stage what was taken is made into measurements, as that of a complete run would be, and
every comparison that the gate will make is tested (`claims`). All measurements of a task
come from one pass, so it goes on until all of them are settled, whichever was asked for: what a run
takes depends on the manifest and the stored baselines, never on the order of its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case
from quantgate.gate.findings import is_divergence
from quantgate.manifest.manifest import Manifest
from quantgate.measurements import Pair
from quantgate.results import Limits, Measurement, Verdict
from quantgate.sequential.betting import LEVEL
from quantgate.sequential.claims import claims_of
from quantgate.sequential.looks import Look, Verdicts
from quantgate.sequential.staging import AnyTask, Staging, Taken, anchor_of
from quantgate.suites import MMLU

Make = Callable[[Pair, str], Measurement]
GROUPS = ("subject", "category")
NOTHING = "there is nothing to test against, no stored baseline and no limit against a reference"
UNDECIDED = "subjects and categories are not decided by a part of the questions"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a case was taken.

    Attributes:
        stages: number of stages asked.
        stopped: whether that is less than there are.
        verdicts: by measurement, what was settled.
        hindrances: why nothing less than everything would do, in words.
    """

    stages: int
    stopped: bool
    verdicts: Mapping[str, Verdicts] = field(default_factory=dict)
    hindrances: tuple[str, ...] = ()


class SequentialRuns:
    """Takes cases as far as their verdicts need.

    Args:
        manifest: the manifest in force.
        staging: puts stages together.
        baselines: stored figures and items.
        make: makes a measurement, by its name, of a pair.
    """

    def __init__(
        self, manifest: Manifest, staging: Staging, baselines: BaselineStore, make: Make
    ) -> None:
        self._manifest, self._staging = manifest, staging
        self._baselines, self._make = baselines, make
        self._progress: dict[tuple[str, str], Progress] = {}

    def measure(self, case: Case, task: AnyTask, name: str, names: Sequence[str]) -> Measurement:
        """The measurement `name` over what was taken; `names` are all that the task yields.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made it meaningless.
        """
        progress = self._advanced(case, task, names)
        pair = self._staging.pair(case, task, progress.stages)
        taken = self._staging.taken(case, task, progress.stages, name)
        return _told(self._make(pair, name), taken, progress)

    def reference(self, case: Case, task: AnyTask, name: str, names: Sequence[str]) -> Measurement:
        """The measurement of the reference of `case` over the same items as that of `case`.

        Raises:
            KeyError: the case has none.
            InvalidMeasurement: or UsageFault, whatever made it meaningless.
        """
        progress = self._advanced(case, task, names)
        anchor = anchor_of(self._staging.pair(case, task, progress.stages))
        if anchor is None:
            raise KeyError(f"{case.id} has no reference")
        taken = self._staging.taken(case, task, progress.stages, name)
        bare = Progress(progress.stages, progress.stopped)
        return _told(self._make(anchor, name), taken, bare)

    def _advanced(self, case: Case, task: AnyTask, names: Sequence[str]) -> Progress:
        usual = replace(case, repeat=0)  # a repetition is asked what its case was
        key = (usual.id, task.name)
        if key not in self._progress:
            self._progress[key] = self._advance(usual, task, names)
        return self._progress[key]

    def _advance(self, case: Case, task: AnyTask, names: Sequence[str]) -> Progress:
        whole = self._staging.stages(case, task).count
        for stages in range(1, whole):
            pair = self._staging.pair(case, task, stages)
            looks = [self._look(pair, name) for name in names]
            if hindrances := _hindrances(looks):
                return Progress(whole, stopped=False, hindrances=hindrances)
            verdicts = {
                look.now.task: look.verdicts(self._staging.taken(case, task, stages, look.now.task))
                for look in looks
            }
            if all(look.settled(verdicts[look.now.task]) for look in looks):
                return Progress(stages, stopped=True, verdicts=verdicts)
        return Progress(whole, stopped=False)

    def _look(self, pair: Pair, name: str) -> Look:
        """One measurement of what was taken, with all it is held against."""
        now = self._make(pair, name)
        anchor = anchor_of(pair)
        reference = now if pair.case.is_reference else None
        if anchor is not None and not is_divergence(now):
            reference = self._make(anchor, name)
        case = pair.case
        stored = self._baselines.read(case)
        baseline = None if stored is None else stored.tasks.get(name)
        kept = None if baseline is None else self._baselines.items(case, name)
        claims = tuple(claims_of(now, self._limits(case, now), baseline, reference))
        fails = self._manifest.tasks.mmlu.degenerate == "fail"
        return Look(now, claims, kept, reference, doubtful=fails and "degenerate" in now.detail)

    def _limits(self, case: Case, now: Measurement) -> dict[str, Limits]:
        """The policy by metric, that of `GROUPS` as well: a part of the questions scores none."""
        metrics = [score.metric for score in now.scores]
        metrics += GROUPS if now.task == MMLU else ()
        return {
            metric: self._manifest.limits(case, now.task, metric.partition(".")[0])
            for metric in metrics
        }


def _hindrances(looks: Sequence[Look]) -> tuple[str, ...]:
    """Why everything must be asked, whatever the answers."""
    if not any(look.claims for look in looks):
        return (NOTHING,)
    return tuple(dict.fromkeys(line for look in looks for line in look.hindrances()))


def _told(measurement: Measurement, taken: Taken, progress: Progress) -> Measurement:
    """The measurement with what it took, and why it took no less."""
    verdicts = progress.verdicts.get(measurement.task, {})
    worst = [
        f"{metric} against the {against}"
        for metric, found in verdicts.items()
        for against, verdict in found.items()
        if verdict is Verdict.REGRESSION
    ]
    anchors = {against for found in verdicts.values() for against in found}
    verdict = (Verdict.REGRESSION if worst else Verdict.PASS) if verdicts else None
    detail = {
        "taken": taken.count,
        "of": taken.of,
        "saved": taken.of - taken.count,
        "stopped": progress.stopped,
        "level": LEVEL,
        "verdict": None if verdict is None else str(verdict),
        "against": " and ".join(worst or sorted(anchors)),
        "verdicts": {
            metric: {against: str(verdict) for against, verdict in found.items()}
            for metric, found in verdicts.items()
        },
    }
    lines = [f"everything was asked: {line}" for line in progress.hindrances]
    if progress.stopped and measurement.task == MMLU:
        lines.append(f"stopped after {taken.count:,} of {taken.of:,} questions: {UNDECIDED}")
    return replace(
        measurement,
        detail={**measurement.detail, "sequential": detail},
        warnings=(*measurement.warnings, *lines),
    )
