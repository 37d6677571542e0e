"""`quantgate build-default`: the embedded model's packages, ahead of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "fp16", "int8", "int4")


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("build-default", help="build the embedded model's packages")
    parser.add_argument(
        "--precision",
        nargs="+",
        default=list(PRECISIONS),
        choices=PRECISIONS,
        help="which to build (all)",
    )
    parser.add_argument("--cache-dir", type=Path, help="where to keep them (the user's cache)")
    parser.set_defaults(act=build_default)


def build_default(options: argparse.Namespace) -> int:
    """Build the packages into the cache and print where they are."""
    from quantgate.cases import BuildRecipe, Package
    from quantgate.options import default_cache
    from quantgate.packages.build import package_folder, prepare

    cache = (options.cache_dir or default_cache()).absolute()
    packages = [Package(recipe=BuildRecipe(None, each)) for each in options.precision]
    prepare(packages, cache)
    for precision, package in zip(options.precision, packages, strict=True):
        print(f"{precision:5} {package_folder(package, cache)}")
    return 0
