"""The planner: which tokens are computed, once, and in which rows.

Requests that read the same ids become one sequence. Sequences with a common prefix become a
*group*: the prefix is computed once and its KV cache kept. Behind it, the rest of the trie is
packed into *rows*: a row's tokens form a forest in which every token sees the prefix and its own
ancestors only, by position ids and an attention bias. A plan is a pure function of the requests
and the declared limits; never of timing, hardware or the number of workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantgate.errors import InvalidMeasurement
from quantgate.groups import BATCH_TOKENS, Group, PlanLimits
from quantgate.packing import Packer
from quantgate.requests import Request
from quantgate.rows import Row
from quantgate.token_trie import Ids, sort_sequences


@dataclass(frozen=True)
class Plan:
    """All groups of a run.

    Attributes:
        sequences: distinct id sequences, in the order of first request.
        members: for each sequence, the indices of the requests that read it.
        requested: tokens of all sequences, what one forward per sequence computes.
        computed: tokens that this plan computes.
        carried_rows: as in `PlanLimits`.
    """

    groups: tuple[Group, ...]
    sequences: tuple[Ids, ...]
    members: tuple[tuple[int, ...], ...]
    requested: int
    computed: int
    carried_rows: int = 0

    @property
    def widest_batch(self) -> int:
        """Most tokens that a packed row or a padded batch holds."""
        rows = (len(row.ids) for group in self.groups if not group.padded for row in group.rows)
        return max((*rows, *(group.tokens for group in self.groups if group.padded)), default=0)

    def batches(self, most_rows: int = 0) -> Iterator[Group]:
        """The groups, cut between rows so that a batch has about `BATCH_TOKENS`.

        Batches of one group follow each other, so that its prefix is computed once.

        Args:
            most_rows: most rows that a batch may score; a longer chain is cut into batches of
                which each stands behind the one before. 0 sets no bound.
        """
        most_tokens = min(BATCH_TOKENS, most_rows or BATCH_TOKENS)
        for group in self.groups:
            if group.padded:
                yield group
                continue
            rows: list[Row] = []
            tokens = 0
            for row in group.rows:
                if rows and tokens + len(row.ids) > most_tokens:
                    yield Group(group.prefix, tuple(rows))
                    rows, tokens = [], 0
                if most_rows and row.is_chain and len(row.wanted) > most_rows:
                    yield from _in_parts(group.prefix, row, most_rows)
                    continue
                rows.append(row)
                tokens += len(row.ids)
            if rows:
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


def _in_parts(prefix: Ids, row: Row, most_rows: int) -> Iterator[Group]:
    """A chain as batches of which each has the ones before it as its prefix.

    Parts in which nothing is scored are computed as the prefix of the next that has something.
    """
    whole = prefix + row.ids
    behind = len(prefix)
    for part in row.parts(most_rows):
        if part.wanted:
            room = len(whole) - behind - len(part.ids)
            yield Group(whole[:behind], (part,), room=room)
        behind += len(part.ids)


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
    packer = Packer(sort_sequences(members), order, wanted, limits)
    groups = tuple(packer.groups())
    return Plan(
        groups=groups,
        sequences=tuple(members),
        members=tuple(map(tuple, members.values())),
        requested=sum(map(len, members)),
        computed=sum(len(g.prefix) + sum(len(r.ids) for r in g.rows) for g in groups),
        carried_rows=limits.carried_rows,
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
