"""What sections are made of: tables, charts with their data, and remarks.

What a results file says about items may be damaged or come from a stranger, so a part that can't
be made is told and doesn't take the report with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, ParamSpec, TypeVar

ROWS: Final = 200
MISSING: Final = "-"
_LONGEST: Final = 4000
_DAMAGE: Final = (LookupError, ArithmeticError, AttributeError, TypeError, ValueError)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: says what it shows.
        headings: of its columns.
        rows: as many texts each as there are headings; the first heads the row.
        words: which columns are words, the others being figures.
        left_out: how many rows were left out.
    """

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[int]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a legend; `number` is the series', None the reference's."""

    name: str
    number: int | None


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart with the figures it shows.

    Attributes:
        svg: the drawing, as an element of the page.
        title: what it shows.
        keys: its legend; empty where it has one series only.
        table: its figures; None where a table beside it has them.
        remarks: what a reader must know to read it right.
    """

    svg: str
    title: str
    keys: tuple[Key, ...]
    table: Table | None
    remarks: tuple[str, ...] = ()


class Numbering:
    """Gives the charts of one page their ids, in the order they are drawn."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        """Return an id that no other chart of the page has."""
        self._last += 1
        return f"chart-{self._last}"


def table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Collection[int] = (0,),
    most: int = ROWS,
) -> Table:
    """Return a table of the first `most` rows; the caller brings them into their order."""
    listed = [tuple(map(shorten, row)) for row in rows]
    kept = tuple(listed[:most])
    return Table(caption, tuple(headings), kept, frozenset(words), len(listed) - len(kept))


def shorten(text: str) -> str:
    """Return `text`, at most 4,000 characters of it and how many are left out."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters)"


def chunks(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the values in their order, `size` at a time."""
    rest = iter(values)
    while some := list(islice(rest, size)):
        yield some


def attempt(make: Callable[P, T], *args: P.args, **named: P.kwargs) -> tuple[T | None, str]:
    """Return what `make` makes and "", or None and why the items it reads are damaged."""
    import numpy as np

    try:
        with np.errstate(all="ignore"):
            return make(*args, **named), ""
    except _DAMAGE as error:
        return None, f"The items of this measurement are damaged: {type(error).__name__}: {error}"
