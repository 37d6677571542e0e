"""The gate of one pytest run: parametrization by case, ordering, what is recorded, the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.marks import RECORDS, SUITE_MARKERS, case_of, suite_of
from quantgate.option_table import given_options

if TYPE_CHECKING:
    from quantgate.baselines.store import BaselineStore
    from quantgate.cases import Case
    from quantgate.engines import Engine
    from quantgate.manifest.manifest import Manifest
    from quantgate.options import RunOptions
    from quantgate.recorder import Recorder

REFUSED = "quantgate_refused"  # in what a worker of pytest-xdist leaves the controller


def refuse(config: pytest.Config, text: str) -> NoReturn:
    """End the run with `text` and exit status 4.

    pytest-xdist drops what ends a worker, so there the controller is left the text to raise.
    """
    from quantgate.report.escape import printable

    told = printable(text)
    if hasattr(config, "workerinput"):
        vars(config)["workeroutput"][REFUSED] = told
    raise pytest.UsageError(told)


class GatePlugin:
    """The gate of one pytest run, in the controller or a worker."""

    def __init__(self, config: pytest.Config, manifest: Manifest, options: RunOptions) -> None:
        from quantgate.corpora import Corpora

        self._started = datetime.now(UTC)
        self._config = config
        self.manifest = manifest
        self.options = options
        self.cases = manifest.cases()
        self.corpora = Corpora(manifest, accept=options.accept_dataset)
        self._findings: list[str] = []
        self._recorder: Recorder | None = None

    @property
    def is_worker(self) -> bool:
        """Whether this is a worker of pytest-xdist."""
        return hasattr(self._config, "workerinput")

    @cached_property
    def engines(self) -> list[Engine]:
        """Who takes part in the agreement of engines."""
        from quantgate.engines import engines

        return engines(self.manifest)

    @cached_property
    def baselines(self) -> BaselineStore:
        """Stored figures; UsageFault where a git ref is in force and can't be read."""
        from quantgate.baselines.store import BaselineStore

        return BaselineStore(self.options.baselines, git_ref=self.options.baseline_ref)

    @property
    def recorder(self) -> Recorder:
        """The run's recorder, made when the first record comes."""
        if self._recorder is None:
            from quantgate.recorder import Recorder

            self._recorder = Recorder(self.manifest, self.options, self._started)
        return self._recorder

    def cases_of(self, suite: str) -> list[Case]:
        """The cases that `suite` can measure: a divergence needs something to diverge from."""
        if suite == "agreement":
            return [engine.case for engine in self.engines]
        if suite == "generation":  # a reference's own answers are what others are held against
            return [case for case in self.cases if case.reference]
        if suite != "kl_divergence":
            return list(self.cases)
        return [case for case in self.cases if case.is_reference or case.reference]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """Schedule by case; pytest-xdist's own way by marks needs names that pytest 9.2 fixes."""
        if config.option.dist != "loadgroup":
            return None
        from quantgate.scheduling import CaseScheduling

        cases = (*self.cases, *(engine.case for engine in self.engines))
        return CaseScheduling(config, log, {case.id: case.group for case in cases})

    # Collection

    def pytest_report_header(self) -> list[str]:
        """Print the configuration in force."""
        from quantgate.manifest.manifest import describe
        from quantgate.report.escape import plain

        folders = f"cache: {self.options.cache}, baselines: {self.options.baselines}"
        if self.options.baseline_ref:
            folders += f" at the merge base with {self.options.baseline_ref}"
        lines = [*describe(self.manifest), folders, *self._changed_baselines()]
        return [plain(f"quantgate: {line}") for line in lines]

    def _changed_baselines(self) -> list[str]:
        """Baselines that this branch changes; the gate reads them as they were before it."""
        ref = self.options.baseline_ref
        if ref is None:
            return []
        try:
            changed = self.baselines.changed_since_ref()
        except UsageFault:  # told where a test needs the baselines; others run without them
            return []
        return [f"changed against {ref}, not in force here: {name}" for name in changed]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Bring the tests of one case together, in the manifest's order: a model loads once."""
        groups: dict[str, int] = {}
        order: dict[str, int] = {}
        for case in (*self.cases, *(engine.case for engine in self.engines)):
            groups.setdefault(case.group, len(groups))
            order.setdefault(case.id, len(order))

        def rank(item: pytest.Item) -> tuple[int, int]:
            case = case_of(item)
            return (-1, -1) if case is None else (groups[case.group], order[case.id])

        items.sort(key=rank)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse what can't be measured before any model loads."""
        selected = {item: case for item in session.items if (case := case_of(item))}
        if not selected or self._config.option.collectonly:
            return
        from quantgate.preflight import preflight

        if self._config.pluginmanager.hasplugin("rerunfailures"):
            self._refuse_reruns(list(selected))
        try:
            suites = {suite for item in selected if (suite := suite_of(item))}
            cases = set(selected.values())
            preflight(self.corpora, self.baselines, suites, cases, self.options.cache)
        except UsageFault as fault:
            refuse(self._config, str(fault))

    def _refuse_reruns(self, items: list[pytest.Item]) -> None:
        marked = any(item.get_closest_marker("flaky") for item in items)
        if marked or self._config.getoption("reruns", default=None):
            refuse(
                self._config,
                "gate tests can't be rerun until they pass: a verdict that changes between runs "
                "is noise to be measured; run without --reruns and flaky markers",
            )

    # Results

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach a test's records to its report, which travels to the controller."""
        report = yield
        if report.when == "call" and (records := item.stash.get(RECORDS, None)):
            vars(report)["quantgate"] = records
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the records of a finished test."""
        records = getattr(report, "quantgate", None)
        if records and not self.is_worker:
            self.recorder.take(records)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Make the case that a worker of pytest-xdist died on INVALID: it must not be missing."""
        from quantgate.gate.decision import decide_fault
        from quantgate.records import to_record

        cases = (*self.cases, *(engine.case for engine in self.engines))
        case = next((case for case in cases if f"[{case.id}]" in crashitem), None)
        test = crashitem.partition("[")[0]  # a model may be named like a suite
        suite = next((name for name in SUITE_MARKERS if name in test), None)
        if case is None or suite is None:
            return
        fault = InvalidMeasurement(
            "worker-died",
            need=f"the pytest worker to outlive {crashitem}",
            found=str(report.longrepr),
            fix="run again: finished batches are kept; without -n if it persists",
        )
        vars(report)["quantgate"] = [to_record(decide_fault(case.id, suite, suite, fault))]

    @pytest.hookimpl(trylast=True)  # the exit status is ours to decide, after all others
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write results and baselines; in strict mode, fail a run that evaluated nothing."""
        if self.is_worker or self._config.option.collectonly:
            return
        if self._recorder is None:
            if self.options.strict:
                self._findings = ["nothing was evaluated: failed, because of --gate-strict"]
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        from quantgate.summary import finish

        self._findings, clean = finish(
            self._recorder,
            self.options,
            configuration=self._configuration(),
            given=given_options(self._config),
            exit_status=int(exitstatus),
        )
        if not clean and not exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table and what else was found."""
        if self._recorder is None and not self._findings:
            return
        from quantgate.summary import print_summary

        print_summary(terminalreporter, self._recorder, self._findings)

    def _configuration(self) -> Mapping[str, Any]:
        manifest = self.manifest
        return {
            "manifest": str(manifest.file),
            "data": manifest.data.model_dump(mode="json"),
            "runtime": manifest.runtime.model_dump(mode="json"),
            "tasks": manifest.tasks.model_dump(mode="json"),
            "policy": manifest.policy.model_dump(mode="json"),
            "cases": [dataclasses.asdict(case) | {"id": case.id} for case in self.cases],
        }


GATE = pytest.StashKey[GatePlugin]()
