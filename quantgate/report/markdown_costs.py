"""What quantization buys and how answers change, in GitHub's Markdown: a row a case.

Speed and memory stand in one table, greedy answers in another; both are short, the whole is in the
report. All is read from a results file, which may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from quantgate.report.escape import markdown_cell, markdown_code
from quantgate.report.fitting import Rows, Section
from quantgate.report.generation import TASK as GREEDY
from quantgate.report.generation import agreement_cells
from quantgate.report.performance import (
    DEVICE_PEAK,
    FIRST_TOKEN,
    GENERATION,
    MEMORY,
    MISSING,
    ON_DISK,
    PEAK,
    SPEED,
    Figure,
    known_anywhere,
)
from quantgate.report.sections.parts import attempt
from quantgate.results import Measurement
from quantgate.run_file import RunFile

_GREEDY_COLUMNS: Final = ("matched", "identical", "parts at")
_MIB: Final = frozenset({PEAK, DEVICE_PEAK, ON_DISK})
_Sides = tuple[str, Measurement | None, Measurement | None]
Item = TypeVar("Item")


def costs(run: RunFile) -> list[Section]:
    """Speed, memory and size of each case, with the ratios to its reference."""
    speed, memory = _by_case(run, SPEED), _by_case(run, MEMORY)
    if not speed and not memory:
        return []
    names = dict.fromkeys(m.case_id for m in run.measurements if m.task in {SPEED, MEMORY})
    sides: list[_Sides] = [(name, speed.get(name), memory.get(name)) for name in names]
    speeds = (GENERATION, FIRST_TOKEN) if speed else ()
    device = known_anywhere(DEVICE_PEAK, list(memory.values()))
    sizes = (PEAK, *device, ON_DISK) if memory else ()

    def row(each: _Sides) -> str:
        name, fast, small = each
        told = [_told(figure, fast) for figure in speeds] + [_told(f, small) for f in sizes]
        return _line(name, told)

    return [
        _table(
            "Speed, memory and size, and how many times better than the reference",
            [_heading(figure) for figure in (*speeds, *sizes)],
            sides,
            row,
        )
    ]


def greedy_answers(run: RunFile) -> list[Section]:
    """How far each case's greedy answers are its reference's."""
    found = [each for each in run.measurements if each.task == GREEDY]
    if not found:
        return []

    def row(measurement: Measurement) -> str:
        told, _ = attempt(agreement_cells, measurement)
        return _line(measurement.case_id, told or (MISSING,) * len(_GREEDY_COLUMNS))

    return [_table("Greedy answers beside the reference's", _GREEDY_COLUMNS, found, row)]


def _by_case(run: RunFile, task: str) -> dict[str, Measurement]:
    return {each.case_id: each for each in run.measurements if each.task == task}


def _heading(figure: Figure) -> str:
    if figure is GENERATION:
        return "tokens/s"
    return f"{figure.heading}, MiB" if figure in _MIB else figure.heading


def _told(figure: Figure, measurement: Measurement | None) -> str:
    return MISSING if measurement is None else figure.told(measurement)


def _table(
    title: str, columns: Sequence[str], items: Sequence[Item], row: Callable[[Item], str]
) -> Section:
    rule = "|---:" * len(columns)
    return Section(
        head=f"<details><summary>{title}: {len(items):,}</summary>\n\n"
        f"|case|{'|'.join(columns)}|\n|---{rule}|\n",
        rows=Rows(items, row),
        tail="\n</details>\n",
    )


def _line(case_id: str, cells: Sequence[str]) -> str:
    return f"|{markdown_code(case_id)}|{'|'.join(map(markdown_cell, cells))}|"
