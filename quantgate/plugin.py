"""The pytest plugin: options, markers, parametrization by case, ordering, and the report."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.options import OPTIONS, add_options, given_options, read_manifest, run_options

if TYPE_CHECKING:
    from quantgate.baselines import BaselineStore
    from quantgate.cases import Case
    from quantgate.engines import Engine
    from quantgate.manifest import Manifest
    from quantgate.options import RunOptions
    from quantgate.recorder import Recorder

SUITE_MARKERS = {
    "mmlu": "multiple-choice accuracy",
    "perplexity": "perplexity of a text",
    "kl_divergence": "divergence from the reference",
    "agreement": "agreement of engines on the same weights",
}
OTHER_MARKERS = {
    "gpu": "needs a GPU and is skipped without one",
    "slow": "takes minutes; deselect with -m 'not slow'",
}
RECORDS = pytest.StashKey[list[dict[str, Any]]]()
GATE = pytest.StashKey["GatePlugin"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `--gate-*` options."""
    add_options(parser)


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Refuse `--gate-… PATH` in two words where it has led pytest to another root folder.

    pytest looks for its settings beside every existing path among the words that it doesn't know
    yet, and at that time it knows no plugin's options; `--gate-…=PATH` in one word is safe.
    """
    words = {name for name, _ in OPTIONS}
    for option, value in itertools.pairwise(args):
        if option in words and Path(value).exists() and early_config.inipath is None:
            raise pytest.UsageError(
                f"write {option}={value} in one word: in two, pytest takes the path for a test "
                f"folder and looks for its settings there (it found root {early_config.rootpath})"
            )


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Under `-n`, keep the tests of one case on one worker unless told otherwise.

    pytest-xdist would spread them, and a model would load on every worker.
    """
    option = config.option
    if getattr(option, "numprocesses", None) and option.dist == "no":
        option.dist = "loadgroup"
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Register markers; where a manifest is in force, the gate."""
    for name, meaning in {**SUITE_MARKERS, **OTHER_MARKERS}.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    if config.getoption("help", default=False) or config.getoption("markers", default=False):
        return
    try:
        manifest = read_manifest(config)
        if manifest is not None:
            from quantgate.suites import require_known_metrics

            require_known_metrics(manifest)
            plugin = GatePlugin(config, manifest, run_options(config, manifest))
            config.stash[GATE] = plugin
            config.pluginmanager.register(plugin, "quantgate-run")
    except UsageFault as fault:
        raise pytest.UsageError(str(fault)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize the suites' tests by the manifest's cases."""
    suite = suite_of(metafunc.definition)
    if suite is None or "case" not in metafunc.fixturenames:
        return
    gate = metafunc.config.stash.get(GATE, None)
    cases = [] if gate is None else gate.cases_of(suite)
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run the suites without a manifest: nothing would be gated."""
    orphan = any(suite_of(item) and "case" in item.fixturenames for item in _functions(session))
    if orphan and GATE not in session.config.stash:
        raise pytest.UsageError(
            f"quantgate.toml is needed for the suites and isn't in {session.config.rootpath}; "
            "name one with --gate-config FILE"
        )


def _functions(session: pytest.Session) -> Iterator[pytest.Function]:
    return (item for item in session.items if isinstance(item, pytest.Function))


def suite_of(item: pytest.Item) -> str | None:
    """The suite whose marker a test carries, or None."""
    return next((name for name in SUITE_MARKERS if item.get_closest_marker(name)), None)


def case_of(item: pytest.Item) -> Case | None:
    """The case of a gate test, or None for any other test."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or suite_of(item) is None:
        return None
    case: Case | None = callspec.params.get("case")
    return case


class GatePlugin:
    """The gate of one pytest run, in the controller or a worker."""

    def __init__(self, config: pytest.Config, manifest: Manifest, options: RunOptions) -> None:
        from quantgate.corpora import Corpora

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
        from quantgate.baselines import BaselineStore

        return BaselineStore(self.options.baselines, git_ref=self.options.baseline_ref)

    @property
    def recorder(self) -> Recorder:
        """The run's recorder, made when the first record comes."""
        if self._recorder is None:
            from quantgate.recorder import Recorder

            self._recorder = Recorder(self.manifest, self.options)
        return self._recorder

    def cases_of(self, suite: str) -> list[Case]:
        """The cases that `suite` can measure: a divergence needs something to diverge from."""
        if suite == "agreement":
            return [engine.case for engine in self.engines]
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
        from quantgate.manifest import describe
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
        changed = self.baselines.changed_since_ref()
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
            raise pytest.UsageError(str(fault)) from None

    def _refuse_reruns(self, items: list[pytest.Item]) -> None:
        marked = any(item.get_closest_marker("flaky") for item in items)
        if marked or self._config.getoption("reruns", default=None):
            raise pytest.UsageError(
                "gate tests can't be rerun until they pass: a verdict that changes between runs "
                "is noise to be measured; run without --reruns and flaky markers"
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
        from quantgate.gate import decide_fault
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
