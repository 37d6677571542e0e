"""A gate at work in one process: what the fixtures hand to the suites."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from quantgate import provenance
from quantgate.baselines.schema import TaskBaseline
from quantgate.baselines.store import BaselineStore
from quantgate.canary import EXPLAINED, EXPLAINED_ELSE
from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.errors import GateError, InvalidMeasurement
from quantgate.evaluate import Evaluator, Listener
from quantgate.execution.bounds import Bounds
from quantgate.execution.journal import BatchJournal
from quantgate.execution.turns import Turns
from quantgate.gate.checks import gated_metrics
from quantgate.gate.decision import decide, decide_fault
from quantgate.items import ItemResults
from quantgate.manifest.manifest import Manifest
from quantgate.measure import Measurer
from quantgate.options import RunOptions
from quantgate.performance import PERFORMANCE, Performance
from quantgate.precisions import Precisions
from quantgate.report.wording import word
from quantgate.results import Decision, Limits, Measurement, Tolerance, Verdict
from quantgate.rounds import Asker
from quantgate.sessions import Execution, Sessions
from quantgate.suites import AGREEMENT, SELF_HELD, first_metric
from quantgate.tasks.turns import Pace, plain_pace
from quantgate.traces import TraceStore

Record = Callable[[Measurement | Decision], None]


class GateSession:
    """Models, corpora, results and baselines of a run; each model is scored once.

    Args:
        manifest: the manifest in force.
        options: folders and switches.
        corpora: the manifest's corpora.
        baselines: stored figures.
        listener: told the progress.
    """

    def __init__(
        self,
        manifest: Manifest,
        options: RunOptions,
        corpora: Corpora,
        baselines: BaselineStore,
        listener: Listener,
    ) -> None:
        self.manifest = manifest
        self.options = options
        self.baselines = baselines
        runtime = manifest.runtime
        bounds = Bounds(runtime.batch_seconds, runtime.session_seconds, runtime.memory_mib)
        execution = Execution(runtime.threads, options.inline, bounds)
        self.turns = Turns(options.cache / "turns")
        self.sessions = Sessions(options.cache, execution, self.turns)
        self.traces = TraceStore(options.cache / "traces")
        self.journal = BatchJournal(options.cache / "journal.sqlite")
        asker = Asker(self.sessions, self.traces, self.journal, listener)
        self._told: set[str] = set()
        self._read: dict[tuple[str, str], tuple[TaskBaseline | None, ItemResults | None]] = {}
        self._measurer = Measurer(
            manifest,
            corpora,
            Evaluator(asker, self.turns),
            options.repeats,
            sequential=baselines if options.sequential else None,
        )
        self._performance = Performance(manifest, corpora, self.sessions)
        self._precisions = Precisions(self.sessions)
        self.provenance = provenance.collect()

    def prepare(self, pairs: Collection[tuple[Case, str]]) -> None:
        """Build the packages that cases and their references need, and select suites by case.

        Building them together uses both of two cores; one at a time would take twice as long. A
        failure waits for its test.
        """
        self._measurer.select((case, suite) for case, suite in pairs if suite not in PERFORMANCE)
        needed = {each for case, _ in pairs for each in (case, case.reference) if each}
        try:
            self.sessions.prepare(sorted(needed, key=lambda case: case.id))
        except InvalidMeasurement:
            return

    def measure(self, case: Case, task: str, pace: Pace = plain_pace) -> Measurement:
        """The measurement named `task`, with what was found on the way; raises GateError.

        `pace` is that of a speed's rounds.
        """
        if task in PERFORMANCE:
            found = self._performance.measure(case, task, pace)
        else:
            found = self._measurer.measure(case, task)
        told = [*self.traces.warnings, *self.journal.warnings, *self.turns.warnings]
        new = [line for line in told if line not in self._told]
        self._told.update(new)
        found = self._precisions.described(case, found)
        return replace(found, warnings=(*found.warnings, *new))

    def decide(self, case: Case, measurement: Measurement, metric: str) -> Decision:
        """The verdict for one metric, against the stored baseline and the reference."""
        baseline, kept = self._stored(case, measurement.task)
        return decide(
            measurement,
            metric,
            limits=self._limits(case, measurement, metric),
            baseline=baseline,
            reference=self.reference(case, measurement),
            kept=kept,
            degenerate=self.manifest.tasks.mmlu.degenerate,
            provenance=self.provenance,
            strict_env=self.options.strict_env,
        )

    def reference(self, case: Case, measurement: Measurement) -> Measurement | None:
        """What `measurement` is held against beside its baseline; a reference is its own."""
        if measurement.task in SELF_HELD:  # what it is held against is in the figures already
            return None
        if case.is_reference:
            return measurement
        found = self._measurer.reference(case, measurement.task)
        if found is None or case.reference is None:
            return None
        return self._precisions.described(case.reference, found)

    def gated(self, case: Case, measurement: Measurement) -> list[str]:
        """The metrics of `measurement` that a policy limits here; its first where none does.

        Speed and memory are only told without a policy.
        """
        metrics = [score.metric for score in measurement.scores]
        limits = {metric: self._limits(case, measurement, metric) for metric in metrics}
        return gated_metrics(limits, [] if measurement.task in PERFORMANCE else metrics)

    def _limits(self, case: Case, measurement: Measurement, metric: str) -> Limits:
        suite = measurement.task.partition(".")[0]
        limits = self.manifest.limits(case, suite, metric.partition(".")[0])
        if limits == Limits() and (suite, metric) == (AGREEMENT, first_metric(AGREEMENT)):
            # Without a policy, engines may differ by what batching explains.
            explained = EXPLAINED.get(case.precision, EXPLAINED_ELSE)
            return Limits(reference=Tolerance(kind="absolute", value=explained))
        return limits

    def fault(self, case: Case, task: str, fault: GateError) -> Decision:
        """The INVALID decision for a measurement that never came to be."""
        return decide_fault(case.id, task, first_metric(task), fault)

    def failure_text(self, case: Case, decision: Decision, measurement: Measurement | None) -> str:
        """Why a decision fails its test; "" where it doesn't."""
        loud = {Verdict.REGRESSION, Verdict.INVALID}
        if self.options.strict and not self.options.update:
            loud |= {Verdict.INCONCLUSIVE}
            if not self.options.update_new_only:  # what is missing is about to be stored
                loud |= {Verdict.NO_BASELINE}
        if decision.verdict not in loud:
            return ""
        return word(decision, measurement, self.options.baselines / case.baseline_path)

    def close(self, *, in_order: bool = True) -> None:
        """End the open session; after a run that ended `in_order`, drop what would resume it."""
        self.sessions.close()
        if in_order:
            self.journal.forget()
        self.journal.close()

    def _stored(self, case: Case, task: str) -> tuple[TaskBaseline | None, ItemResults | None]:
        """Baseline and its items, read once: a suite asks for each of its subjects."""
        if self.options.update:  # measures afresh: what is being replaced has no say
            return None, None
        if (case.id, task) not in self._read:
            stored = self.baselines.read(case)
            entry = None if stored is None else stored.tasks.get(task)
            self._read[case.id, task] = entry, self.baselines.items(case, task)
        return self._read[case.id, task]
