"""The `quantgate` command: `run` the suites, and everything around a run (`commands/`)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from quantgate import __version__
from quantgate.commands import (
    build_default,
    compare,
    doctor,
    github,
    history,
    init,
    inspect,
    report,
)
from quantgate.errors import GateError, UsageFault

USAGE_ERROR = 4  # as pytest's
COMMANDS = (build_default, inspect, init, doctor, compare, history, report, github)


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
    # The suites come first: behind `--benchmark-compare`, say, they would be taken for its value.
    return int(pytest.main([*settings, str(suites), *words]))


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantgate", description="Accuracy gate for quantized ONNX language models."
    )
    parser.add_argument("--version", action="version", version=f"quantgate {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="run the suites; takes pytest's options and --gate-*")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
