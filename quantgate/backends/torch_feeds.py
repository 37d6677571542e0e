"""What a torch decoder is fed for a row, a prefix or a padded batch, as NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.feeds import row_bias
from quantgate.rows import Row


@dataclass(frozen=True, slots=True)
class TorchFeed:
    """Inputs of one run.

    Attributes:
        ids: `[B, S]` int64.
        positions: `[B, S]` int64.
        biases: additive masks `[S, prefix + S]` by layer type; None for plain causal attention.
        lengths: tokens of each padded row; None where nothing is padded.
        wanted: rows and columns of the positions whose hidden states are wanted.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    biases: Mapping[str, NDArray[np.float32]] | None
    lengths: tuple[int, ...] | None
    wanted: tuple[list[int], list[int]]


def row_feed(row: Row, prefix: int, windows: Mapping[str, int | None]) -> TorchFeed:
    """Feed of one row behind `prefix` kept tokens; a chain is left to plain causal attention."""
    positions = np.array([row.positions], dtype=np.int64)
    offsets = [want.offset for want in row.wanted]
    return TorchFeed(
        ids=np.array([row.ids], dtype=np.int64),
        positions=positions,
        biases=None if row.is_chain else _biases(row, positions[0], prefix, windows),
        lengths=None,
        wanted=([0] * len(offsets), offsets),
    )


def _biases(
    row: Row, positions: NDArray[np.int64], prefix: int, windows: Mapping[str, int | None]
) -> dict[str, NDArray[np.float32]]:
    """The row's visibility; in windows, by positions in the sequence and not in the row."""
    bias = row_bias(row.segments, len(row.ids), prefix)
    seen = np.concatenate([np.arange(prefix), positions])
    distance = positions[:, None] - seen[None, :]
    return {
        kind: bias if window is None else np.where(distance < window, bias, np.float32(-np.inf))
        for kind, window in windows.items()
    }


def prefix_feed(ids: tuple[int, ...]) -> TorchFeed:
    """Feed for computing a prefix alone; only its cache is wanted."""
    positions = np.arange(len(ids), dtype=np.int64)[None]
    return TorchFeed(np.array([ids], dtype=np.int64), positions, None, None, ([], []))


def padded_feeds(rows: tuple[Row, ...], switch: int | None) -> Iterator[TorchFeed]:
    """Feeds of whole sequences as right-padded batches, in their order.

    Sequences on the two sides of a `switch` of rotary tables don't share a batch: its longest row
    would choose the table for all.
    """

    def long(row: Row) -> bool:
        return switch is not None and len(row.ids) > switch

    for _, side in itertools.groupby(rows, key=long):
        yield _padded(tuple(side))


def _padded(rows: tuple[Row, ...]) -> TorchFeed:
    lengths = tuple(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), max(lengths)), dtype=np.int64)
    for number, row in enumerate(rows):
        ids[number, : lengths[number]] = row.ids
    pairs = [(number, want.offset) for number, row in enumerate(rows) for want in row.wanted]
    return TorchFeed(
        ids=ids,
        positions=np.broadcast_to(np.arange(ids.shape[1]), ids.shape),
        biases=None,
        lengths=None if len(set(lengths)) == 1 else lengths,
        wanted=([number for number, _ in pairs], [offset for _, offset in pairs]),
    )


def padding_mask(lengths: tuple[int, ...]) -> NDArray[np.int64]:
    """Mask `[B, S]` of a right-padded batch: 1 where there is a token."""
    return np.asarray(np.arange(max(lengths)) < np.array(lengths)[:, None], dtype=np.int64)


def as_mask(biases: Mapping[str, Any]) -> Any:
    """The masks as models take them: one for all layers, or by type where types differ."""
    masks = list(biases.values())
    return masks[0] if len(masks) == 1 else dict(biases)
