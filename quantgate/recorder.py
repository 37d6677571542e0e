"""What a run found, gathered in the process that reports: journal, table, files, updates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.baselines.held import held_against
from quantgate.baselines.store import BaselineStore
from quantgate.errors import GateError
from quantgate.journal import Journal
from quantgate.records import from_record
from quantgate.report.escape import redact
from quantgate.report.precision import maps_of
from quantgate.report.results_json import RunFacts, write_results
from quantgate.results import Decision, Measurement, Verdict
from quantgate.suites import METRICS, task_names

if TYPE_CHECKING:
    from rich.console import Console

    from quantgate.manifest.manifest import Manifest
    from quantgate.options import RunOptions

RESULTS_NAME = "results.json"
INTERRUPTED = 2  # as pytest's exit status: what was measured is whole, but not all was measured


@dataclass(slots=True)
class Update:
    """What an update of the baselines did, in lines to print.

    Attributes:
        changed: `old -> new` of every figure, with the change in words.
        left_out: measurements that were not stored, and why.
        faults: cases that could not be stored, and why.
        stored: the figures that have a baseline now, by case, task and metric.
    """

    changed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    stored: set[tuple[str, str, str]] = field(default_factory=set)


class Recorder:
    """Collects records and writes them out.

    Each record goes to a journal of this run as it comes, so that a crash loses nothing measured;
    the journal is removed once `results.json` holds all of it. Where the disk refuses the journal,
    the figures are in memory still, and what is left to measure is measured.

    Args:
        manifest: the manifest in force.
        options: folders and switches.
        started: when the run began; now where it isn't given.
    """

    def __init__(
        self, manifest: Manifest, options: RunOptions, started: datetime | None = None
    ) -> None:
        self._manifest = manifest
        self._options = options
        self._started = started or datetime.now(UTC)
        name = f"run-{self._started:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
        self._journal = Journal(options.reports / name)
        self._unkept: GateError | None = None
        self._seen: set[tuple[str, str, str]] = set()
        self.measurements: list[Measurement] = []
        self.decisions: list[Decision] = []

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add a test's records; a measurement that several tests report counts once."""
        for record in records:
            value = from_record(record)
            metric = value.metric if isinstance(value, Decision) else ""
            key = (value.case_id, value.task, metric)
            if key in self._seen:
                continue
            self._seen.add(key)
            if isinstance(value, Measurement):
                self.measurements.append(value)
            else:
                self.decisions.append(value)
            self._keep(record)

    def _keep(self, record: Mapping[str, Any]) -> None:
        """Add a record to the journal; the first refusal of the disk is told at the end."""
        try:
            self._journal.append(record)
        except GateError as fault:
            self._unkept = self._unkept or fault

    def update_baselines(self, provenance: Mapping[str, Any]) -> Update:
        """Store every complete measurement that was decided and found valid, case by case.

        A case that can't be stored doesn't keep the others from it.
        """
        store = BaselineStore(self._options.baselines)
        update = Update()
        for case in self._manifest.cases():
            decided = {each.task for each in self.decisions if each.case_id == case.id}
            own = [each for each in self.measurements if each.case_id == case.id]
            if case.is_reference:  # it may have been measured for its candidates alone
                own = [each for each in own if each.task in decided]
            doubts = {each.task: doubt for each in own if (doubt := self._doubt(each))}
            update.left_out += [f"{case.id} {task}: {doubt}" for task, doubt in doubts.items()]
            try:
                changed = store.update(
                    case,
                    [each for each in own if each.task not in doubts],
                    lambda task, metric, case=case: self._manifest.limits(  # type: ignore[misc]
                        case, task, metric.partition(".")[0]
                    ),
                    reason=redact(self._options.reason),
                    provenance=provenance,
                    new_only=self._options.update_new_only,
                )
            except GateError as fault:
                update.faults.append(f"{case.id}: {fault}")
                continue
            update.changed += [f"{case.id}: {change}" for change in changed]
            update.stored |= {(case.id, each.task, each.metric) for each in changed if each.new}
        return update

    def _doubt(self, measurement: Measurement) -> str:
        """Say why a measurement is none to gate others on; "" where it is."""
        key = (measurement.case_id, measurement.task)
        verdicts = {d.verdict for d in self.decisions if (d.case_id, d.task) == key}
        if Verdict.INVALID in verdicts:
            return "INVALID"
        if "sequential" in measurement.detail:
            return "measured in stages, which others can't be held against; omit --gate-sequential"
        return "" if verdicts else "not decided"

    def unpaired(self) -> list[str]:
        """Baselines whose items should be there and are not, so that nothing could be paired."""
        if self._options.update:
            return []
        store = BaselineStore(self._options.baselines, git_ref=self._options.baseline_ref)
        measured = {(each.case_id, each.task) for each in self.measurements}
        cases = {case_id for case_id, _ in measured}
        return [
            f"{case.id} {task}: not paired with the baseline, since it isn't in "
            f"{store.items_path(case)} (is that file committed?)"
            for case in self._manifest.cases()
            if case.id in cases
            for task in store.check(case)
            if (case.id, task) in measured
        ]

    def unused_baselines(self) -> list[str]:
        """Baseline files and entries that nothing in the manifest claims."""
        tasks = [name for suite in METRICS for name in task_names(self._manifest, suite)]
        store = BaselineStore(self._options.baselines)
        return store.unused(self._manifest.known_cases(), tasks) if store.root.is_dir() else []

    def write(self, facts: Mapping[str, Any], configuration: Mapping[str, Any]) -> Path:
        """Write `results.json` and drop the journal; return the file.

        Args:
            facts: `options`, `provenance` and `exit_status` of the run.
            configuration: the configuration in force.

        Raises:
            InvalidMeasurement: the disk refuses; the journal stays.
        """
        path = self._options.reports / RESULTS_NAME
        run = RunFacts(
            started=self._started,
            ended=datetime.now(UTC),
            options=facts["options"],
            configuration={
                **configuration,
                "exit_status": facts["exit_status"],
                "complete": facts["exit_status"] != INTERRUPTED,
            },
            provenance=facts["provenance"],
            baselines=self._held_against(),
        )
        write_results(path, run, self.measurements, self.decisions)
        self._journal.path.unlink(missing_ok=True)
        return path

    def _held_against(self) -> dict[str, Any]:
        """The facts of the baselines; none where they have no say or can't be read."""
        if self._options.update:
            return {}
        measured = {(each.case_id, each.task) for each in self.measurements}
        with suppress(GateError):
            store = BaselineStore(self._options.baselines, git_ref=self._options.baseline_ref)
            return held_against(store, self._manifest.cases(), measured)
        return {}

    def print_table(self, console: Console) -> None:
        """Print the decisions: all of whole suites, of subjects and categories the loud ones."""
        from quantgate.engines import engines as all_engines
        from quantgate.report.agreement import print_agreement
        from quantgate.report.generation import print_generation
        from quantgate.report.performance import print_performance
        from quantgate.report.terminal import print_table

        spread = [engine.case for engine in all_engines(self._manifest)]
        order: dict[str, int] = {}
        for case in (*self._manifest.cases(), *spread):
            order.setdefault(case.id, len(order))
        shown = [
            decision
            for decision in self.decisions
            if "." not in decision.metric
            or decision.verdict in {Verdict.REGRESSION, Verdict.INVALID}
        ]
        shown.sort(
            key=lambda decision: (
                list(METRICS).index(decision.task.partition(".")[0]),
                decision.task,
                order.get(decision.case_id, len(order)),
            )
        )
        print_table(shown, self.measurements, console)
        engines = sorted(self.measurements, key=lambda each: order.get(each.case_id, len(order)))
        print_agreement(engines, console)
        print_performance(engines, console)
        print_generation(engines, console)

    def warnings(self) -> list[str]:
        """Findings that change no verdict, each once."""
        texts = [f"{m.case_id} {m.task}: {w}" for m in self.measurements for w in m.warnings]
        texts += [f"{d.case_id} {d.task} {d.metric}: {n}" for d in self.decisions for n in d.notes]
        texts += maps_of(self.measurements).warnings
        if self._unkept is not None:
            texts.append(f"figures were in memory alone, where a crash loses them: {self._unkept}")
        return list(dict.fromkeys(texts))
