"""The end of a run: the files that stay, the table, and what else was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantgate import provenance
from quantgate.errors import GateError
from quantgate.report.escape import plain
from quantgate.results import Verdict

if TYPE_CHECKING:
    import pytest

    from quantgate.options import RunOptions
    from quantgate.recorder import Recorder

UPDATED = "BASELINES UPDATED"
NARROWEST = 132  # a log has no width of its own; case and metric must not be broken there


def finish(
    recorder: Recorder,
    options: RunOptions,
    *,
    configuration: Mapping[str, Any],
    given: Mapping[str, Any],
    exit_status: int,
) -> tuple[list[str], bool]:
    """Write `results.json`, then the baselines if asked.

    Returns:
        Lines to print, and whether everything could be written and, in strict mode, every stored
        baseline has a test.
    """
    facts = provenance.collect()
    run = {"options": given, "provenance": facts, "exit_status": exit_status}
    lines = [f"note: {line}" for line in recorder.warnings()]
    unused = []
    try:
        unused = [f"unused baseline: {line}" for line in recorder.unused_baselines()]
        lines += unused
        lines.append(f"results: {recorder.write(run, configuration)}")
        if options.update:
            changed = recorder.update_baselines(facts)
            lines += [UPDATED, *(changed or ["no valid figure was measured, nothing changed"])]
    except GateError as fault:
        return [*lines, f"not written: {fault}"], False
    clean = not (unused and options.strict)
    return lines + _missing(recorder, options) + _inconclusive(recorder), clean


def _missing(recorder: Recorder, options: RunOptions) -> list[str]:
    count = sum(decision.verdict is Verdict.NO_BASELINE for decision in recorder.decisions)
    if not count or options.update:
        return []
    command = 'pytest --gate-update-baselines --gate-reason "..."'
    return [f"NO BASELINE for {count} figures; store them with: {command}"]


def _inconclusive(recorder: Recorder) -> list[str]:
    found = [d for d in recorder.decisions if d.verdict is Verdict.INCONCLUSIVE]
    return [f"INCONCLUSIVE {d.case_id} {d.task} {d.metric}: {d.reason}" for d in found]


def print_summary(
    reporter: pytest.TerminalReporter, recorder: Recorder | None, lines: list[str]
) -> None:
    """Print the table of decisions, then `lines`."""
    reporter.write_sep("=", "quantgate")
    if recorder is not None:
        from rich.console import Console

        writer = reporter._tw  # noqa: SLF001  pytest has no public way to its writer's file
        width = max(writer.fullwidth, NARROWEST)
        recorder.print_table(Console(file=writer._file, width=width))  # noqa: SLF001
    for line in lines:
        loud = line.startswith(
            (UPDATED, "NO BASELINE", "INCONCLUSIVE", "unused", "not written", "nothing")
        )
        reporter.write_line(plain(line), yellow=loud, bold=loud)
