"""The end of a run: the files that stay, the table, and what else was found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantgate import provenance
from quantgate.errors import GateError
from quantgate.recorder import Update
from quantgate.report.escape import plain
from quantgate.report.files import write_reports_of
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
    update = Update()
    unused = []
    try:
        results = recorder.write(run, configuration)
        lines.append(f"results: {results}")
        lines += [f"note: {line}" for line in recorder.unpaired()]
        unused = [f"unused baseline: {line}" for line in recorder.unused_baselines()]
        lines += unused
        if options.writes_baselines:
            update = recorder.update_baselines(facts)
            lines += _updated(update, options)
    except GateError as fault:
        return [*lines, f"not written: {fault}"], False
    drawn = write_reports_of(results, page=options.page)
    lines += [f"report: {path}" for path in drawn.written if path.parent == results.parent]
    lines += drawn.failures
    missing = _missing(recorder, options, update)
    strictly = unused or (missing and options.update_new_only)
    clean = not (update.faults or drawn.failures or (strictly and options.strict))
    return lines + missing + _inconclusive(recorder), clean


def _updated(update: Update, options: RunOptions) -> list[str]:
    """Word what an update did, every figure from what it was to what it is."""
    nothing = "nothing was without a baseline" if options.update_new_only else "nothing changed"
    return [
        UPDATED if update.changed else f"{UPDATED}: none, {nothing}",
        *update.changed,
        *(f"not stored: {line}" for line in update.left_out),
        *(f"not written: {line}" for line in update.faults),
    ]


def _missing(recorder: Recorder, options: RunOptions, update: Update) -> list[str]:
    """Count what has no baseline still; a full update has left out only what it told of."""
    missing = [
        decision
        for decision in recorder.decisions
        if decision.verdict is Verdict.NO_BASELINE
        and (decision.case_id, decision.task, decision.metric) not in update.stored
    ]
    if not missing or options.update:
        return []
    command = 'quantgate run --gate-update-baselines --gate-reason "..."'
    if options.update_new_only:
        why = "an entry is stored without them, or no policy asks for one"
        return [f"NO BASELINE still for {len(missing)} figures ({why}); store them with: {command}"]
    return [f"NO BASELINE for {len(missing)} figures; store them with: {command}"]


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
            (
                UPDATED,
                "NO BASELINE",
                "INCONCLUSIVE",
                "unused",
                "not stored",
                "not written",
                "nothing",
            )
        )
        reporter.write_line(plain(line), yellow=loud, bold=loud)
