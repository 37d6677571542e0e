"""The reports of a run, beside its `results.json`: each is whole, or missing and told so.

`results.json` is written first and never touched here, so whatever goes wrong with a report, the
results stay and every report can be drawn again by `quantgate report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.errors import GateError
from quantgate.report.escape import plain
from quantgate.run_file import RunFile, read_run
from quantgate.storage import write_atomically


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """What came of the reports: the files written, and a line for each report that failed."""

    written: tuple[Path, ...]
    failures: tuple[str, ...]


def summary(run: RunFile) -> bytes:
    """The step summary in UTF-8."""
    from quantgate.report.markdown import render_summary

    return render_summary(run).encode("utf-8")


def html(run: RunFile) -> bytes:
    """The HTML report in UTF-8."""
    from quantgate.report.html import render_html

    return render_html(run).encode("utf-8")


def junit(run: RunFile) -> bytes:
    """JUnit's XML."""
    from quantgate.report.junit import render_junit

    return render_junit(run)


def lm_eval(run: RunFile) -> dict[str, bytes]:
    """Results in the form of lm-evaluation-harness by file name, one a case."""
    from quantgate.report.lm_eval import render_lm_eval

    return render_lm_eval(run)


PAGE: Final = "report.html"
# What is drawn, by the name it has beside `results.json`.
REPORTS: Final[Mapping[str, Callable[[RunFile], bytes]]] = {
    "summary.md": summary,
    PAGE: html,
    "junit.xml": junit,
}
LM_EVAL: Final = "lm_eval"


def write_reports(folder: Path, run: RunFile, *, page: bool = True) -> ReportFiles:
    """Write every report of a run into `folder`; one that fails is told and stops no other.

    A file of an earlier run doesn't stay in the place of a report that failed or isn't wanted: it
    would be taken for this run's. Without `page` there is no `report.html`, whose charts take
    seconds.
    """
    made = _Made()
    for name, render in REPORTS.items():
        if page or name != PAGE:
            made.add(name, lambda render=render, name=name: {folder / name: render(run)})  # type: ignore[misc]
        if folder / name not in made.written:
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
    made.add(
        LM_EVAL,
        lambda: {folder / LM_EVAL / name: data for name, data in lm_eval(run).items()},
    )
    return ReportFiles(tuple(made.written), tuple(made.failures))


def write_reports_of(results: Path, *, page: bool = True) -> ReportFiles:
    """Write every report of a results file beside it; an unreadable file is told like a failure."""
    try:
        run = read_run(results)
    except GateError as fault:
        return ReportFiles((), (f"no report could be drawn: {plain(str(fault))}",))
    return write_reports(results.parent, run, page=page)


class _Made:
    """Collects what was written and what failed."""

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.failures: list[str] = []

    def add(self, name: str, render: Callable[[], Mapping[Path, bytes]]) -> None:
        """Draw a report and write its files."""
        try:
            for path, data in render().items():
                write_atomically(path, data)
                self.written.append(path)
        except Exception as error:  # noqa: BLE001  whatever is wrong with a report, results stay
            self.failures.append(f"{name} not written: {plain(f'{type(error).__name__}: {error}')}")
