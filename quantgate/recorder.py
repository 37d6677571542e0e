"""What a run found, gathered in the process that reports: journal, table, files, updates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.baselines import BaselineStore
from quantgate.journal import Journal
from quantgate.records import from_record
from quantgate.report.results_json import RunFacts, write_results
from quantgate.results import Decision, Measurement, Verdict
from quantgate.suites import METRICS, task_names

if TYPE_CHECKING:
    from rich.console import Console

    from quantgate.manifest import Manifest
    from quantgate.options import RunOptions

RESULTS_NAME = "results.json"
INTERRUPTED = 2  # as pytest's exit status: what was measured is whole, but not all was measured


class Recorder:
    """Collects records and writes them out.

    Each record goes to a journal of this run as it comes, so that a crash loses nothing measured;
    the journal is removed once `results.json` holds all of it.
    """

    def __init__(self, manifest: Manifest, options: RunOptions) -> None:
        self._manifest = manifest
        self._options = options
        self._started = datetime.now(UTC)
        name = f"run-{self._started:%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
        self._journal = Journal(options.reports / name)
        self._seen: set[tuple[str, str, str]] = set()
        self.measurements: list[Measurement] = []
        self.decisions: list[Decision] = []

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add a test's records; a measurement that several tests report counts once.

        Raises:
            InvalidMeasurement: the disk refuses.
        """
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
            self._journal.append(record)

    def update_baselines(self, provenance: Mapping[str, Any]) -> list[str]:
        """Store every measurement whose decisions are all valid; return lines `old -> new`."""
        store = BaselineStore(self._options.baselines)
        invalid = {
            (decision.case_id, decision.task)
            for decision in self.decisions
            if decision.verdict is Verdict.INVALID
        }
        lines = []
        for case in self._manifest.cases():
            valid = [
                each
                for each in self.measurements
                if each.case_id == case.id and (each.case_id, each.task) not in invalid
            ]
            changed = store.update(
                case,
                valid,
                lambda task, metric, case=case: self._manifest.limits(  # type: ignore[misc]
                    case, task, metric.partition(".")[0]
                ),
                reason=self._options.reason,
                provenance=provenance,
            )
            lines += [f"{case.id}: {line}" for line in changed]
        return lines

    def unused_baselines(self) -> list[str]:
        """Baseline files and entries that nothing in the manifest claims."""
        tasks = [name for suite in METRICS for name in task_names(self._manifest, suite)]
        store = BaselineStore(self._options.baselines)
        return store.unused(self._manifest.cases(), tasks) if store.root.is_dir() else []

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
        )
        write_results(path, run, self.measurements, self.decisions)
        self._journal.path.unlink(missing_ok=True)
        return path

    def print_table(self, console: Console) -> None:
        """Print the decisions: all of whole suites, of subjects and categories the loud ones."""
        from quantgate.engines import engines as all_engines
        from quantgate.report.agreement import print_agreement
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

    def warnings(self) -> list[str]:
        """Findings that change no verdict, each once."""
        texts = [f"{m.case_id} {m.task}: {w}" for m in self.measurements for w in m.warnings]
        texts += [f"{d.case_id} {d.task} {d.metric}: {n}" for d in self.decisions for n in d.notes]
        return list(dict.fromkeys(texts))
