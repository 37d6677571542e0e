"""What the action's `arguments` make a run rest on, beside the manifest.

They are split and read as the run itself reads them: one a line, in one word or two.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from quantgate.errors import UsageFault
from quantgate.github.changed import is_path
from quantgate.option_table import OPTIONS

# With these the manifest's variants aren't the ones that are measured.
_REPLACING: Final = ("--gate-config", "--gate-model")
_FILES: Final = ("--gate-reference", "--gate-baselines")
_DATA: Final = ("--gate-data-dir", "--gate-text")
_FROM_FILE: Final = "@"  # pytest reads further arguments from the file behind it


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the change is held against because of the arguments.

    Attributes:
        paths: files and folders that touch every variant, relative to the working directory.
        unknown: why git can't tell what a run rests on, in words; empty where it can.
    """

    paths: tuple[Path, ...]
    unknown: str = ""


def read_arguments(text: str) -> Arguments:
    """Read further arguments of `quantgate run`, one a line.

    Raises:
        UsageFault: `arguments-unreadable`, where an option's value is missing or can't be used.
    """
    words = [word for line in text.split("\n") if (word := line.removesuffix("\r"))]
    for word in words:
        if word.startswith(_FROM_FILE):
            return Arguments((), f"{word} holds further arguments")
    given = vars(_parser().parse_known_args(words)[0])
    for option in _REPLACING:
        if given[option]:
            return Arguments((), f"{option} is given: git can't tell")
    files = [given[option] for option in _FILES]
    data = [given[option] for option in _DATA]
    data = [location for location in data if location and is_path(location)]
    return Arguments(tuple(Path(place) for place in [*files, *data] if place))


class _Parser(argparse.ArgumentParser):
    """A parser that refuses as the rest of the program does, and doesn't end it."""

    def error(self, message: str) -> NoReturn:
        raise UsageFault(
            "arguments-unreadable",
            need="arguments of `quantgate run`, one a line",
            found=message,
            fix="correct the action's input `arguments`: --gate-text=PATH in one line",
        )


def _parser() -> _Parser:
    """Every `--gate-*` option under its own name, so that none is taken for another's value."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name, keywords in OPTIONS:
        parser.add_argument(name, dest=name, **keywords)
    return parser
