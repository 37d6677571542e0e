"""`quantgate history`: a metric over the kept runs, or over the commits of the baselines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantgate.commands.compare import BASELINES, add_runs
from quantgate.errors import UsageFault

MOST = 30


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "history",
        help="show a metric over kept runs or over the baselines' commits",
        description="Show metrics over the runs kept with --gate-save, or, where none is kept or "
        "with --baselines, over the commits that changed the baselines.",
    )
    for name, told in (("--case", "cases"), ("--metric", "metrics")):
        parser.add_argument(
            name,
            action="append",
            default=[],
            metavar="PATTERN",
            help=f"show these {told}; may be repeated",
        )
    parser.add_argument(
        "--baselines",
        type=Path,
        nargs="?",
        const=BASELINES,
        metavar="DIR",
        help=f"over the commits that changed DIR ({BASELINES}), not over runs",
    )
    add_runs(parser)
    parser.add_argument("--limit", type=_positive, default=MOST, metavar="N", help="the last N")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write table and chart to FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the chart to FILE")
    parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
    """Print the history and write what is asked for; return 0.

    Raises:
        UsageFault: there is no history (`history-empty`).
        InvalidMeasurement: the disk refuses.
    """
    from rich.console import Console

    from quantgate.comparing import history
    from quantgate.report import tables_page
    from quantgate.report.charts.history import history_chart, standalone
    from quantgate.report.console import wide_enough
    from quantgate.report.history_table import print_history
    from quantgate.storage import write_atomically

    moments: list[history.Moment] = []
    notes: list[str] = []
    if options.baselines is None:
        moments, notes = history.moments_of_runs(options.runs, options.limit)
    if not moments:
        root = options.baselines or BASELINES
        moments, told = history.moments_of_baselines(root, options.limit)
        notes += told
    found = history.trace(moments, cases=options.case, metrics=options.metric, notes=notes)
    if not found.series:
        raise UsageFault(
            "history-empty",
            need=f"figures in {options.runs}, or in commits of {options.baselines or BASELINES}",
            found=f"none of these cases and metrics in {len(moments)} runs or commits",
            fix="keep runs with --gate-save, commit baselines, or correct --case and --metric",
        )
    print_history(found, wide_enough(Console()))
    if options.html:
        write_atomically(options.html, tables_page.render_history(found).encode("utf-8"))
    if options.svg:
        chart = standalone(history_chart(found, ident="history"))
        write_atomically(options.svg, chart.encode("utf-8"))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is no number of runs")
    return number
