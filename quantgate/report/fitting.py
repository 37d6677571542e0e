"""Sections of a report brought under a limit of bytes by leaving out whole rows, worst kept.

Texts are never cut: a name cut short names something else. What is said about rows left out has its
room from the start, so a report says of each of its sections how much of it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

Item = TypeVar("Item")

# A row may take this share of the limit; a longer one would displace all others.
_LARGEST_ROW = 1 / 8
# Of the room that is left, so much goes to a section before the sections behind it have had any.
_SHARE = 1 / 2
_NOTE_BYTES = 200


class Rows(Sequence[str]):
    """Rows that are made when they are asked for: of many, few are.

    Args:
        items: what the rows are of.
        row: makes an item's row.
    """

    def __init__(self, items: Sequence[Item], row: Callable[[Item], str]) -> None:
        self._items = items
        self._row = row

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._row(item) for item in self._items[index]]
        return self._row(self._items[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report.

    Attributes:
        head: what stands before the rows; with `tail` it always stays.
        rows: whole lines without line ends, the most important first.
        tail: what stands behind the rows.
    """

    head: str
    rows: Sequence[str] = ()
    tail: str = ""


def fit(sections: Sequence[Section], limit_bytes: int, rest: str) -> str:
    """Return the sections, one after another, in at most `limit_bytes` of UTF-8.

    Args:
        sections: the most important first: where not all fits, it gets the most room.
        limit_bytes: what the report may take.
        rest: where the rows are that are left out, in a few words.

    Raises:
        ValueError: heads and tails alone don't fit.
    """
    note = _NOTE_BYTES + _size(rest)
    fixed = sum(
        _size(section.head) + _size(section.tail) + 2 + (note if section.rows else 0)
        for section in sections
    )
    room = limit_bytes - fixed
    if room < 0:
        raise ValueError(f"{limit_bytes:,} bytes can't hold the {fixed:,} that are always there")
    fillings = [_Filling(section, int(limit_bytes * _LARGEST_ROW)) for section in sections]
    for share in (_SHARE, 1.0):  # what is over after the first round is for the first in line
        for filling in fillings:
            last = filling is fillings[-1]
            room -= filling.add(room if last else int(room * share))
    return "\n\n".join(filling.render(rest).strip("\n") for filling in fillings) + "\n"


class _Filling:
    """A section as it is being filled, in the order of its rows."""

    def __init__(self, section: Section, longest: int) -> None:
        self._section = section
        self._longest = longest
        self._next = 0
        self._kept: list[str] = []

    def add(self, budget: int) -> int:
        """Add rows of at most `budget` bytes in all; return how many bytes they take."""
        rows, taken = self._section.rows, 0
        while self._next < len(rows):
            row = rows[self._next]
            size = _size(row) + 1
            if size <= self._longest:
                if taken + size > budget:
                    break
                taken += size
                self._kept.append(row)
            self._next += 1
        return taken

    def render(self, rest: str) -> str:
        """The section with what was kept, and how much was not."""
        section = self._section
        missing = len(section.rows) - len(self._kept)
        verb = "is" if missing == 1 else "are"
        note = f"\n{missing:,} of {len(section.rows):,} rows {verb} left out here; {rest}.\n"
        rows = "".join(f"{row}\n" for row in self._kept)
        return f"{section.head}{rows}{section.tail}{note if missing else ''}"


def _size(text: str) -> int:
    return len(text.encode("utf-8"))
