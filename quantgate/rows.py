"""Rows of packed tokens: a forest in which every token follows its own ancestors.

Sequences that share a beginning share its tokens. A row's tokens keep the positions they have in
their sequences; which tokens each may see is told by segments.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantgate.token_trie import Ids


@dataclass(frozen=True, slots=True)
class Segment:
    """A run [start, stop) of a row's tokens and the earlier runs of the row that it follows."""

    start: int
    stop: int
    ancestors: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hidden state to be scored: token `offset` of a row is `position` of a sequence."""

    offset: int
    sequence: int
    position: int


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens computed in one run: `ids` and `positions` of equal length, in `segments`."""

    ids: Ids
    positions: Ids
    segments: tuple[Segment, ...]
    wanted: tuple[Wanted, ...]

    @property
    def is_chain(self) -> bool:
        """Whether every token follows the one before it, as in plain causal attention."""
        return len(self.segments) == 1

    def parts(self, widest: int) -> list[Row]:
        """A chain as rows of at most `widest` tokens, each behind the ones before it."""
        return [
            chain(
                self.ids[start : start + widest],
                self.positions[start],
                tuple(
                    Wanted(want.offset - start, want.sequence, want.position)
                    for want in self.wanted
                    if start <= want.offset < start + widest
                ),
            )
            for start in range(0, len(self.ids), widest)
        ]


def chain(ids: Ids, position: int = 0, wanted: tuple[Wanted, ...] = ()) -> Row:
    """The row of tokens that follow each other, the first at `position` of its sequence."""
    positions = tuple(range(position, position + len(ids)))
    return Row(ids, positions, (Segment(0, len(ids), ()),), wanted)


class RowBuilder:
    """Collects sequences, in sorted order, into one row behind a prefix of `depth` tokens."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.ids: list[int] = []
        self._positions: list[int] = []
        self._segments: list[Segment] = []
        self._wanted: list[Wanted] = []
        self._path: list[int] = []  # row offset of each token of the latest sequence

    def add(self, ids: Ids, shared: int, sequence: int, wanted: tuple[int, ...]) -> None:
        """Add a sequence whose first `shared` tokens are the prefix and the path so far."""
        del self._path[shared - self._depth :]
        start, stop = len(self.ids), len(self.ids) + len(ids) - shared
        if stop > start:
            self._segments.append(Segment(start, stop, _spans(self._path)))
        self.ids += ids[shared:]
        self._positions += range(shared, len(ids))
        self._path += range(start, stop)
        self._wanted += (Wanted(self._path[p - self._depth], sequence, p) for p in wanted)

    def row(self) -> Row:
        """The row so far."""
        return Row(
            tuple(self.ids), tuple(self._positions), tuple(self._segments), tuple(self._wanted)
        )


def _spans(offsets: list[int]) -> tuple[tuple[int, int], ...]:
    """Ascending offsets as half-open runs."""
    spans: list[tuple[int, int]] = []
    for offset in offsets:
        if spans and spans[-1][1] == offset:
            spans[-1] = (spans[-1][0], offset + 1)
        else:
            spans.append((offset, offset + 1))
    return tuple(spans)
