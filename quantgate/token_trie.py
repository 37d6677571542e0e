"""Sorted token sequences and the prefixes they share.

A trie over token ids needs no nodes: sorted sequences and the lengths of their neighbours' common
prefixes (the LCP array of suffix sorting) say the same, at memory-compare speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SortedSequences:
    """Distinct sequences in lexicographic order.

    Attributes:
        sequences: the sequences.
        shared: `shared[i]` is the length of the common prefix of sequences i-1 and i;
            `shared[0]` is 0.
    """

    sequences: tuple[Ids, ...]
    shared: tuple[int, ...]

    @property
    def distinct_tokens(self) -> int:
        """Number of nodes of the trie: tokens that must be computed at least once."""
        return sum(len(ids) for ids in self.sequences) - sum(self.shared)


def sort_sequences(sequences: Iterable[Ids]) -> SortedSequences:
    """Sort distinct `sequences` and measure what neighbours share."""
    # Big-endian bytes compare like the ids they hold, and far faster than tuples of integers.
    keyed = sorted(
        (np.asarray(ids, dtype=">u4").tobytes(), ids) for ids in dict.fromkeys(sequences)
    )
    arrays = [np.frombuffer(key, dtype=">u4") for key, _ in keyed]
    shared = (0, *(common_length(a, b) for a, b in pairwise(arrays))) if keyed else ()
    return SortedSequences(tuple(ids for _, ids in keyed), shared)


def common_length(a: NDArray[np.unsignedinteger], b: NDArray[np.unsignedinteger]) -> int:
    """Length of the common prefix of two id arrays."""
    length = min(len(a), len(b))
    different = a[:length] != b[:length]
    return int(different.argmax()) if different.any() else length


def split_points(shared: Sequence[int], start: int, stop: int, depth: int) -> list[int]:
    """Starts of the maximal runs within [start, stop) that share more than `depth` tokens."""
    return [start, *(i for i in range(start + 1, stop) if shared[i] <= depth)]
