"""`quantgate inspect`: what a package holds and what the planner may do with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("inspect", help="show a package's layout, precisions and digest")
    parser.add_argument("package", type=Path, help="folder with genai_config.json")
    parser.set_defaults(act=inspect)


def inspect(options: argparse.Namespace) -> int:
    """Print the package's facts and the precision of its layers."""
    from rich.console import Console

    from quantgate.report.console import wide_enough
    from quantgate.report.inspection import print_inspection

    print_inspection(options.package, wide_enough(Console(soft_wrap=True)))
    return 0
