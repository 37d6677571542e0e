"""The `quantgate` command: run the suites, build the default packages, look into a package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from quantgate import __version__
from quantgate.errors import GateError, UsageFault

USAGE_ERROR = 4  # as pytest's


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Everything behind `run` is pytest's, `--help` included.
    if words[:1] == ["run"]:
        return run(words[1:])
    options = _parser().parse_args(words)
    try:
        return int(options.act(options))
    except UsageFault as fault:
        print(fault, file=sys.stderr)
        return USAGE_ERROR
    except GateError as fault:
        print(fault, file=sys.stderr)
        return 1


def run(words: Sequence[str]) -> int:
    """Run the suites with pytest, wherever quantgate is installed.

    Without `--gate-config`, the manifest of the current folder is in force, or else the one for
    the embedded model.
    """
    import pytest

    tree = suites_tree()
    given = [word.partition("=")[0] for word in words]
    manifest = Path("quantgate.toml")
    if "--gate-config" not in given:
        chosen = manifest if manifest.is_file() else tree / manifest
        words = [*words, f"--gate-config={chosen.absolute()}"]
    suites = tree / "suites"
    settings = [f"--rootdir={tree}", f"--confcutdir={tree}", "-o", f"pythonpath={tree}"]
    settings += ["-c", str(suites / "run.ini"), "-p", "no:cacheprovider"]
    return int(pytest.main([*settings, *words, str(suites)]))


def suites_tree() -> Path:
    """The folder that holds `conftest.py`, `fixtures/` and `suites/`.

    Raises:
        UsageFault: `suites-missing` in a broken installation.
    """
    package = Path(__file__).parent
    for tree in (package / "tree", package.parent):
        if (tree / "suites").is_dir() and (tree / "conftest.py").is_file():
            return tree
    raise UsageFault(
        "suites-missing",
        need="the suites that quantgate carries",
        found=f"none beside {package}",
        fix="install it again: pip install --force-reinstall pytest-quantgate",
    )


def build_default(options: argparse.Namespace) -> int:
    """Build the embedded model's packages into the cache and print where they are."""
    from quantgate.cases import BuildRecipe, Package
    from quantgate.options import default_cache
    from quantgate.packages.build import package_folder, prepare

    cache = (options.cache_dir or default_cache()).absolute()
    packages = [Package(recipe=BuildRecipe(None, each)) for each in options.precision]
    prepare(packages, cache)
    for precision, package in zip(options.precision, packages, strict=True):
        print(f"{precision:5} {package_folder(package, cache)}")
    return 0


def inspect(options: argparse.Namespace) -> int:
    """Print what a package holds and what the planner may do with it."""
    from rich.console import Console

    from quantgate.report.inspection import print_inspection

    print_inspection(options.package, Console(soft_wrap=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantgate", description="Accuracy gate for quantized ONNX language models."
    )
    parser.add_argument("--version", action="version", version=f"quantgate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the suites; takes pytest's options and --gate-*")
    build = commands.add_parser("build-default", help="build the embedded model's packages")
    build.add_argument(
        "--precision",
        nargs="+",
        default=["fp32", "fp16", "int8", "int4"],
        choices=["fp32", "fp16", "int8", "int4"],
        help="which to build (all)",
    )
    build.add_argument("--cache-dir", type=Path, help="where to keep them (the user's cache)")
    build.set_defaults(act=build_default)
    look = commands.add_parser("inspect", help="show a package's layout, precisions and digest")
    look.add_argument("package", type=Path, help="folder with genai_config.json")
    look.set_defaults(act=inspect)
    return parser


if __name__ == "__main__":
    sys.exit(main())
