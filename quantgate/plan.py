"""The planner: which tokens are computed, once, and in which rows.

Requests that read the same ids become one sequence. Sequences with a common prefix become a
*group*: the prefix is computed once and its KV cache kept. Behind it, the rest of the trie is
packed into *rows*: a row's tokens form a forest in which every token sees the prefix and its own
ancestors only, by position ids and an attention bias. A plan is a pure function of the requests
and the declared limits; never of timing, hardware or the number of workers.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement
from quantgate.requests import Request
from quantgate.rows import Row, RowBuilder, Wanted
from quantgate.token_trie import Ids, SortedSequences, sort_sequences, split_points

ROW_WIDTHS = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Tokens that a backend computes before it hands results over: enough to keep its matrix products
# full, few enough to lose little when it dies.
BATCH_TOKENS = 2048
# Prefixes within prefixes that are tried; contexts that grow token by token nest without end.
NESTED_PREFIXES = 24


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a backend declares about a package.

    Attributes:
        packs: a row may carry a token tree (attention takes a bias and position ids).
        keeps_prefix: a row may start from a kept KV cache.
        context: longest sequence in tokens.
        cost: relative costs, from the model's shape.
        unseen: tokens that a packed row behind no prefix has in front, which nobody sees.
        alone: share nothing: every sequence in a row of its own, from an empty cache.
        batch_tokens: most tokens in a packed row or a padded batch; less after a device ran out of
            memory.
    """

    packs: bool
    keeps_prefix: bool
    context: int
    cost: CostModel
    unseen: int = 0
    alone: bool = False
    batch_tokens: int = BATCH_TOKENS


@dataclass(frozen=True, slots=True)
class Group:
    """Rows behind one kept prefix; a `padded` group is one right-padded batch of whole rows."""

    prefix: Ids
    rows: tuple[Row, ...]
    padded: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of all rows; the prefix' not counted."""
        return sum(len(row.ids) for row in self.rows)

    @property
    def wanted(self) -> list[Wanted]:
        """What is scored, row by row: the order of a backend's results."""
        return [want for row in self.rows for want in row.wanted]


@dataclass(frozen=True)
class Plan:
    """All groups of a run.

    Attributes:
        sequences: distinct id sequences, in the order of first request.
        members: for each sequence, the indices of the requests that read it.
        requested: tokens of all sequences, what one forward per sequence computes.
        computed: tokens that this plan computes.
    """

    groups: tuple[Group, ...]
    sequences: tuple[Ids, ...]
    members: tuple[tuple[int, ...], ...]
    requested: int
    computed: int

    @property
    def widest_batch(self) -> int:
        """Most tokens that a packed row or a padded batch holds."""
        rows = (len(row.ids) for group in self.groups if not group.padded for row in group.rows)
        return max((*rows, *(group.tokens for group in self.groups if group.padded)), default=0)

    def batches(self) -> Iterator[Group]:
        """The groups, cut between rows so that a batch has about `BATCH_TOKENS`.

        Batches of one group follow each other, so that its prefix is computed once.
        """
        for group in self.groups:
            if group.padded:
                yield group
                continue
            rows: list[Row] = []
            tokens = 0
            for row in group.rows:
                if rows and tokens + len(row.ids) > BATCH_TOKENS:
                    yield Group(group.prefix, tuple(rows))
                    rows, tokens = [], 0
                rows.append(row)
                tokens += len(row.ids)
            yield Group(group.prefix, tuple(rows))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over groups and rows in their order."""
        digest = hashlib.sha256()
        for group in self.groups:
            for ids in (group.prefix, (int(group.padded),)):
                digest.update(np.asarray(ids, dtype="<i8").tobytes() + b"|")
            for row in group.rows:
                wanted = [(w.offset, w.sequence, w.position) for w in row.wanted]
                spans = [(s.start, s.stop, *sum(s.ancestors, ())) for s in row.segments]
                digest.update(np.asarray([row.ids, row.positions], dtype="<i8").tobytes())
                digest.update(f"{spans}{wanted}".encode())
        return digest.hexdigest()


def make_plan(requests: Sequence[Request], limits: PlanLimits) -> Plan:
    """Plan `requests` within `limits`.

    Raises:
        InvalidMeasurement: `context-overflow` where a request is longer than the context.
    """
    members: dict[Ids, list[int]] = {}
    for index, request in enumerate(requests):
        members.setdefault(request.ids, []).append(index)
    _require_context(members, limits.context)
    order = {ids: number for number, ids in enumerate(members)}
    wanted = {
        ids: tuple(sorted({p for i in indices for p in requests[i].scored}))
        for ids, indices in members.items()
    }
    packer = _Packer(sort_sequences(members), order, wanted, limits)
    groups = tuple(packer.groups())
    return Plan(
        groups=groups,
        sequences=tuple(members),
        members=tuple(map(tuple, members.values())),
        requested=sum(map(len, members)),
        computed=sum(len(g.prefix) + sum(len(r.ids) for r in g.rows) for g in groups),
    )


def _require_context(sequences: dict[Ids, list[int]], context: int) -> None:
    for ids, indices in sequences.items():
        if len(ids) > context:
            raise InvalidMeasurement(
                "context-overflow",
                need=f"request {indices[0]} within the context of {context} tokens",
                found=f"{len(ids)} tokens",
                fix='set overflow = "drop_shots" or "exclude" for the task in quantgate.toml',
            )


@dataclass(frozen=True, slots=True)
class _Packer:
    """Turns sorted sequences into groups; all choices are made here, by cost."""

    sorted: SortedSequences
    order: dict[Ids, int]
    wanted: dict[Ids, tuple[int, ...]]
    limits: PlanLimits

    def groups(self) -> Iterator[Group]:
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
