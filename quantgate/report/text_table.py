"""A table for a terminal or a log: colours and lines on a terminal, plain ASCII elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantgate.report.escape import ascii_only, plain
from quantgate.results import Measurement

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Column:
    """A column; what is too wide for it is folded and never cut, since a name cut short is another.

    Attributes:
        heading: its name.
        right: figures stand to the right.
        whole: it is as wide as its widest text, where there is room.
    """

    heading: str
    right: bool = False
    whole: bool = False


class TextTable:
    """Rows are added, then printed.

    Texts may come from anywhere: control characters are dropped and rich's markup stays text.

    Args:
        columns: from left to right.
        console: where it is printed.
        title: stands above it.
    """

    def __init__(
        self, columns: Iterable[Column], console: Console, title: str | None = None
    ) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        self._console = console
        self._in_colour = console.is_terminal
        self._clean = plain if self._in_colour else ascii_only
        self._table = Table(
            box=box.SIMPLE_HEAD if self._in_colour else box.ASCII,
            highlight=False,
            title=None if title is None else Text(self._clean(title)),
            title_justify="left",
            title_style="",
        )
        for column in columns:
            self._table.add_column(
                column.heading,
                justify="right" if column.right else "left",
                overflow="fold",
                no_wrap=column.whole,
            )

    def add(self, *cells: str | tuple[str, str], indent: str = "") -> None:
        """Add a row.

        Args:
            cells: texts, or texts with rich's style, which only a terminal shows.
            indent: stands before the first.
        """
        from rich.text import Text

        row = []
        for cell in cells:
            text, style = (cell, "") if isinstance(cell, str) else cell
            # Text objects, since a string would be read as rich's markup.
            row.append(Text(self._clean(text), style=style if self._in_colour else ""))
        if indent:
            row[0] = Text(indent) + row[0]
        self._table.add_row(*row)

    def print(self) -> None:
        """Print what was added."""
        self._console.print(self._table)


def print_task(
    table: TextTable,
    measurements: Iterable[Measurement],
    task: str,
    cells: Callable[[Measurement], tuple[str, ...]],
) -> None:
    """Print a row for each measurement of a task; nothing where it has none.

    Args:
        table: empty.
        measurements: of any task.
        task: its name.
        cells: the texts of a row, as many as the table has columns.
    """
    rows = [cells(each) for each in measurements if each.task == task]
    for row in rows:
        table.add(*row)
    if rows:
        table.print()
