"""The packer: which sequences share a prefix, and how wide the rows behind it are, by cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from quantgate.groups import Group, PlanLimits
from quantgate.rows import Row, RowBuilder
from quantgate.token_trie import Ids, SortedSequences, split_points

ROW_WIDTHS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Prefixes within prefixes that are tried; contexts that grow token by token nest without end.
NESTED_PREFIXES = 24


@dataclass(frozen=True, slots=True)
class Packer:
    """Turns sorted sequences into groups.

    Attributes:
        sorted: the sequences.
        order: the number of each, by first request.
        wanted: positions of each that are scored, ascending.
        limits: what the backend can do.
    """

    sorted: SortedSequences
    order: dict[Ids, int]
    wanted: dict[Ids, tuple[int, ...]]
    limits: PlanLimits

    def groups(self) -> Iterator[Group]:
        """The groups that cost least, in the order of their sequences; padded, longest first."""
        total = len(self.sorted.sequences)
        if not total:
            return
        if self.limits.alone:
            yield Group((), tuple(next(self._rows(i, i + 1, 0, 0)) for i in range(total)))
            return
        if not self.limits.keeps_prefix and not self.limits.packs:
            yield from self._padded()
            return
        _, spans = self._partition(0, total, self._depth(0, total))
        for start, stop, depth in spans:
            prefix = self.sorted.sequences[start][:depth]
            width = self._width(start, stop, depth)
            yield Group(prefix, tuple(self._rows(start, stop, depth, width)))

    def _depth(self, start: int, stop: int) -> int:
        """Longest prefix of sequences [start, stop) that may be kept: no scored token inside."""
        sequences = self.sorted.sequences[start:stop]
        if len(sequences) < 2 or not self.limits.keeps_prefix:
            return 0
        shared = min(self.sorted.shared[start + 1 : stop])
        return min(shared, *(self.wanted[ids][0] for ids in sequences))

    def _partition(
        self, start: int, stop: int, depth: int, levels: int = NESTED_PREFIXES
    ) -> tuple[float, list[tuple[int, int, int]]]:
        """Cheapest way to cover [start, stop) with groups: as one, or as its subtrees'."""
        whole = self._group_cost(start, stop, depth)
        if stop - start < 2 or not levels:
            return whole, [(start, stop, depth)]
        shared = min(self.sorted.shared[start + 1 : stop])
        points = [*split_points(self.sorted.shared, start, stop, shared), stop]
        cost = 0.0
        spans: list[tuple[int, int, int]] = []
        for left, right in _merge_singles(points):
            inner = self._depth(left, right)
            if right - left > 1 and inner > depth:
                part_cost, part = self._partition(left, right, inner, levels - 1)
            else:
                kept = min(depth, inner) if right - left > 1 else 0
                part_cost, part = self._group_cost(left, right, kept), [(left, right, kept)]
            cost += part_cost
            spans += part
        return (cost, spans) if cost < whole else (whole, [(start, stop, depth)])

    def _group_cost(self, start: int, stop: int, depth: int) -> float:
        width = self._width(start, stop, depth)
        return self.limits.cost.prefix(depth) + sum(
            self.limits.cost.row(size, depth) for size in self._sizes(start, stop, depth, width)
        )

    def _width(self, start: int, stop: int, depth: int) -> int:
        """Row width with the least total cost; 0 means one sequence a row."""
        if not self.limits.packs:
            return 0

        def cost(width: int) -> float:
            sizes = self._sizes(start, stop, depth, width)
            return sum(self.limits.cost.row(size, depth) for size in sizes)

        # Runtimes count the whole row against the context, restarted positions or not.
        before = depth or self.limits.unseen
        widest = min(self.limits.context - before, self.limits.batch_tokens)
        fitting = (width for width in ROW_WIDTHS if width <= widest)
        return min((0, *fitting), key=cost)

    def _sizes(self, start: int, stop: int, depth: int, width: int) -> Iterator[int]:
        """Token counts of the rows that `_rows` makes."""
        size = 0
        for index in range(start, stop):
            length = len(self.sorted.sequences[index])
            new = length - max(self.sorted.shared[index], depth)
            if size and size + new <= width:
                size += new
                continue
            if size:
                yield size
            size = length - depth
        yield size

    def _rows(self, start: int, stop: int, depth: int, width: int) -> Iterator[Row]:
        builder = RowBuilder(depth)
        for index in range(start, stop):
            ids = self.sorted.sequences[index]
            new = len(ids) - max(self.sorted.shared[index], depth)
            if builder.ids and len(builder.ids) + new > width:
                yield builder.row()
                builder = RowBuilder(depth)
            shared = self.sorted.shared[index] if builder.ids else depth
            builder.add(ids, max(shared, depth), self.order[ids], self.wanted[ids])
        yield builder.row()

    def _padded(self) -> Iterator[Group]:
        """Whole sequences, longest first, in right-padded batches of bounded area."""
        rows = [next(self._rows(i, i + 1, 0, 0)) for i in range(len(self.sorted.sequences))]
        rows.sort(key=lambda row: -len(row.ids))
        while rows:
            count = max(1, self.limits.batch_tokens // len(rows[0].ids))
            yield Group((), tuple(rows[:count]), padded=True)
            del rows[:count]


def _merge_singles(points: list[int]) -> Iterator[tuple[int, int]]:
    """Spans between `points`; neighbouring single sequences are taken together."""
    begin: int | None = None
    for left, right in itertools.pairwise(points):
        if right - left == 1:
            begin = left if begin is None else begin
            continue
        if begin is not None:
            yield begin, left
            begin = None
        yield left, right
    if begin is not None:
        yield begin, points[-1]
