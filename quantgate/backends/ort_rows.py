"""Which rows may share a run where long sequences have other rotary tables than short ones.

The planner doesn't know of the switch: rows are taken apart where one goes over it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from quantgate.packages.rotary_switch import crosses
from quantgate.rows import Row, Wanted, chain
from quantgate.token_trie import Ids


def apart(row: Row, prefix: Ids, switch: int | None) -> Iterator[tuple[Ids, Row]]:
    """Each sequence of a row as a chain, and the prefix that it may be run behind.

    That is the row's own, or none for a sequence that is short with it and long as a whole.
    """
    for _, wants in itertools.groupby(row.wanted, key=lambda want: want.sequence):
        wanted = tuple(wants)
        ids = prefix + _path(row, wanted[-1].offset)
        kept = 0 if crosses(switch, len(prefix), len(ids)) else len(prefix)
        behind = tuple(
            Wanted(want.position - kept, want.sequence, want.position) for want in wanted
        )
        yield ids[:kept], chain(ids[kept:], kept, behind)


def _path(row: Row, offset: int) -> Ids:
    """Ids of the segment of token `offset` and of all that it follows in the row."""
    (own,) = (each for each in row.segments if each.start <= offset < each.stop)
    spans = (*own.ancestors, (own.start, own.stop))
    return tuple(id_ for start, stop in spans for id_ in row.ids[start:stop])


def same_tables(rows: tuple[Row, ...], switch: int | None) -> Iterator[tuple[Row, ...]]:
    """Whole sequences, in their order, in batches that don't cross the switch.

    The longest row of a padded batch chooses the tables for all.
    """
    for _, side in itertools.groupby(rows, key=lambda row: crosses(switch, 0, len(row.ids))):
        yield tuple(side)
