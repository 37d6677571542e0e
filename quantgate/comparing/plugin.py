"""At the end of a pytest run: keep the run, and show how it compares with an earlier one.

Asked for by `--gate-save` and `--gate-compare`, or by what pytest-benchmark calls the same, so that
one option gives both tables. A first run has nothing to be compared with; that is told, and is no
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.comparing.saved_runs import LATEST, RUNS_FOLDER, as_name, require_name

if TYPE_CHECKING:
    from quantgate.comparing.comparison import Comparison
    from quantgate.options import RunOptions

# Told by pytest-benchmark as warnings, which a strict configuration makes errors.
HARMLESS = (
    r"default:Can't compare\. No benchmark files",
    r"default:Not saving anything, no benchmarks have been run",
    r"default:Benchmark machine_info is different",
    r"default:Benchmarks are automatically disabled because xdist plugin is active",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be done with the finished run.

    Attributes:
        save: keep it under this name, which may be empty; None not to keep it.
        compare: the earlier run to compare it with, as `compare_sources.find_side` takes it; None
            not to compare it.
    """

    save: str | None = None
    compare: str | None = None

    def __bool__(self) -> bool:
        return self.save is not None or self.compare is not None


def read_wishes(config: pytest.Config) -> Wishes:
    """What the options ask for.

    Raises:
        UsageFault: `run-name`.
    """

    def option(name: str) -> Any:  # pytest-benchmark may be absent
        return config.getoption(name, default=None)

    save, compare = option("gate_save"), option("gate_compare")
    if save:
        require_name(save)
    if save is None and (told := option("benchmark_save")):
        save = as_name(told)
    if save is None and option("benchmark_autosave"):
        save = ""
    if compare is None and (told := option("benchmark_compare")):
        compare = LATEST if told is True else told
    return Wishes(save=save, compare=compare)


def expect_first_run(early_config: pytest.Config) -> None:
    """Let pytest-benchmark only warn, in the strictest configuration, of what does no harm."""
    for line in HARMLESS:
        early_config.addinivalue_line("filterwarnings", line)


def add_comparison(config: pytest.Config, options: RunOptions) -> None:
    """Register the plugin in the process that reports, where the options ask for it.

    Raises:
        UsageFault: `run-name`.
    """
    wishes = read_wishes(config)
    if wishes and not hasattr(config, "workerinput") and not config.option.collectonly:
        from quantgate.recorder import RESULTS_NAME

        plugin = ComparisonPlugin(wishes, options.reports / RESULTS_NAME, options.baselines)
        config.pluginmanager.register(plugin, "quantgate-comparison")


class ComparisonPlugin:
    """Does it in the controller of one pytest run, behind the gate's own report.

    Args:
        wishes: what is asked for.
        results: where the run's `results.json` will be; one that lies there already is not it.
        baselines: folder of baselines.
    """

    def __init__(self, wishes: Wishes, results: Path, baselines: Path) -> None:
        self._wishes = wishes
        self._results = results
        self._baselines = baselines
        self._runs = RUNS_FOLDER.absolute()
        self._stale = _stamp(results)
        self._lines: list[str] = []
        self._comparison: Comparison | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Compare and keep what the gate has written."""
        if _stamp(self._results) == self._stale:
            self._lines = ["not compared and not kept: the run wrote no results"]
            return
        from quantgate.comparing.after_run import after_run

        done = after_run(self._results, self._wishes, runs=self._runs, baselines=self._baselines)
        self._lines, self._comparison = done.lines, done.comparison

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the comparison behind the gate's table."""
        from quantgate.report.escape import plain

        terminalreporter.write_sep("=", "quantgate: earlier runs")
        if self._comparison is not None:
            from quantgate.report.compare_table import print_comparison
            from quantgate.report.console import console_of

            print_comparison(self._comparison, console_of(terminalreporter))
        for line in self._lines:
            loud = line.startswith("not ")
            terminalreporter.write_line(plain(line), yellow=loud, bold=loud)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells one file at a path from the next; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
