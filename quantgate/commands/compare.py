"""`quantgate compare A B`: two runs, baselines or git revisions beside each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from quantgate.comparing.saved_runs import RUNS_FOLDER

BASELINES = Path("baselines")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "compare",
        help="compare two runs, baselines or git revisions",
        description="Compare B with A, paired item by item where both keep their items. Each is a "
        "results.json, a folder of baselines or one of its files, a kept run (`latest`, a number "
        "or a name), or a git revision, whose baselines are meant (`git:REV` where a run or path "
        "has the same name).",
    )
    parser.add_argument("before", metavar="A", help="the earlier one, or what to hold against")
    parser.add_argument("now", metavar="B", help="the later one")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="PATTERN",
        help="compare these metrics, for example 'subject.*' or '*'; may be repeated "
        "(default: those that a policy is for)",
    )
    parser.add_argument("--case-a", metavar="CASE", help="hold this case of A ...")
    parser.add_argument("--case-b", metavar="CASE", help="... against this case of B")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown to FILE")
    add_runs(parser)
    parser.add_argument(
        "--baselines",
        type=Path,
        metavar="DIR",
        default=BASELINES,
        help=f"the folder whose revisions are meant ({BASELINES})",
    )
    parser.set_defaults(act=act)


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Add where kept runs are looked up."""
    parser.add_argument(
        "--runs", type=Path, metavar="DIR", default=RUNS_FOLDER, help=f"kept runs ({RUNS_FOLDER})"
    )


def act(options: argparse.Namespace) -> int:
    """Print the comparison and write what is asked for; 0, whatever has changed.

    Raises:
        UsageFault: A, B, a case or a metric is not there, or damaged.
        InvalidMeasurement: the disk refuses.
    """
    from rich.console import Console

    from quantgate.comparing.compare import compare
    from quantgate.comparing.sources import Places, find_side
    from quantgate.report import compare_markdown, tables_page
    from quantgate.report.compare_table import print_comparison
    from quantgate.report.console import wide_enough
    from quantgate.storage import write_atomically

    places = Places(runs=options.runs, baselines=options.baselines)
    cases = (options.case_a or options.case_b, options.case_b or options.case_a)
    comparison = compare(
        find_side(options.before, places),
        find_side(options.now, places),
        cases=cases if all(cases) else None,
        metrics=options.metric,
    )
    print_comparison(comparison, wide_enough(Console()))
    if options.html:
        write_atomically(options.html, tables_page.render_comparison(comparison).encode("utf-8"))
    if options.markdown:
        page = compare_markdown.render_comparison(comparison)
        write_atomically(options.markdown, page.encode("utf-8"))
    return 0
