"""What becomes of a finished run: it is compared with an earlier one, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantgate.comparing.compare import compare
from quantgate.comparing.comparison import Comparison
from quantgate.comparing.plugin import Wishes
from quantgate.comparing.saved_runs import LATEST, save_run, saved_runs
from quantgate.comparing.sides import side_of_run
from quantgate.comparing.sources import Places, find_side
from quantgate.errors import GateError
from quantgate.run_file import RunFile, read_run


@dataclass(frozen=True, slots=True)
class AfterRun:
    """What came of it: lines to print, and the comparison where there is one."""

    lines: list[str]
    comparison: Comparison | None = None


def after_run(results: Path, wishes: Wishes, *, runs: Path, baselines: Path) -> AfterRun:
    """Compare and keep a finished run; whatever goes wrong is told and loses nothing.

    Args:
        results: the run's `results.json`.
        wishes: what is asked for.
        runs: folder of kept runs.
        baselines: folder of baselines, for a comparison with those.
    """
    lines: list[str] = []
    comparison = None
    try:
        run = read_run(results)
    except GateError as fault:
        return AfterRun([f"not compared and not kept: {fault}"])
    if wishes.compare is not None:
        places = Places(runs=runs, baselines=baselines)
        try:  # before this run is kept: `latest` is the one before it
            comparison = _compare(run, wishes.compare, places)
        except (GateError, OSError) as fault:
            lines.append(f"not compared: {fault}")
        else:
            lines += [] if comparison else [f"not compared: no run is kept in {runs} yet"]
    if wishes.save is not None:
        try:
            lines.append(_keep(run, results, wishes.save, runs))
        except (GateError, OSError) as fault:
            lines.append(f"not kept: {fault}")
    return AfterRun(lines, comparison)


def _compare(run: RunFile, which: str, places: Places) -> Comparison | None:
    """Compare with the run of that name; None where no run is kept and none was named."""
    if which == LATEST and not saved_runs(places.runs):
        return None
    return compare(find_side(which, places), side_of_run(run, "this run"))


def _keep(run: RunFile, results: Path, name: str, runs: Path) -> str:
    if not run.facts["configuration"].get("complete", True):
        return "not kept: the run was interrupted, so what it measured is not all"
    commit = run.facts["provenance"].get("git_commit")
    saved = save_run(runs, results.read_bytes(), commit=commit, name=name)
    return f"kept: {saved.path}"
