"""`quantgate report`: draw the reports of a results file again.

The file may be a stranger's artifact, as in a `workflow_run` job that comments on a pull request:
nothing of it is executed, its size is bounded, and every report escapes its texts.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report",
        help="draw reports from a results.json",
        description="Draw reports from a results.json; all of them beside it where none is named.",
    )
    parser.add_argument("results", type=Path, help="results.json of a run")
    for name, told in (
        ("--markdown", "write the step summary to FILE"),
        ("--comment", "write the comment for a pull request to FILE"),
        ("--html", "write the HTML report to FILE"),
        ("--junit", "write JUnit XML to FILE"),
    ):
        parser.add_argument(name, type=Path, metavar="FILE", help=told)
    parser.add_argument(
        "--lm-eval",
        type=Path,
        metavar="DIR",
        help="write results in lm-evaluation-harness' form to DIR, a file a case",
    )
    parser.add_argument(
        "--report-url", default="", metavar="URL", help="address of the whole report, for --comment"
    )
    parser.set_defaults(act=act)


def act(options: argparse.Namespace) -> int:
    """Write what is asked for; return the exit status.

    Raises:
        UsageFault: the file is no results file, or the address is no plain one.
        InvalidMeasurement: the disk refuses.
    """
    from quantgate.report import files
    from quantgate.report.markdown import render_comment
    from quantgate.run_file import read_run
    from quantgate.storage import write_atomically

    run = read_run(options.results)
    wanted: dict[Path, bytes] = {}
    if options.markdown:
        wanted[options.markdown] = files.summary(run)
    if options.comment:
        wanted[options.comment] = render_comment(run, report_url=options.report_url).encode("utf-8")
    if options.html:
        wanted[options.html] = files.html(run)
    if options.junit:
        wanted[options.junit] = files.junit(run)
    if options.lm_eval:
        wanted |= {options.lm_eval / name: data for name, data in files.lm_eval(run).items()}
    for path, data in wanted.items():
        write_atomically(path, data)
    if wanted:
        return 0
    reports = files.write_reports(options.results.parent, run)
    for line in (*map(str, reports.written), *reports.failures):
        print(line)
    return 1 if reports.failures else 0
