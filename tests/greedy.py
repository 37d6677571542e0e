"""Greedy decoding the naive way: a full forward of the unedited package for every id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import Decoding

# All logits of a sequence, [len(ids), V].
Forward = Callable[[Sequence[int]], NDArray[Any]]


def ids_of(count: int, seed: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(seed).integers(0, 268, count).tolist())


def naive(forward: Forward, ids: Sequence[int], count: int) -> tuple[int, ...]:
    """The `count` ids that follow `ids`, and `ids` before them."""
    found = list(ids)
    for _ in range(count):
        found.append(int(forward(found)[-1].argmax()))
    return tuple(found)


def decode(
    decoding: Decoding, rounds: Sequence[Sequence[int]], steps: int
) -> tuple[tuple[int, ...], list[int]]:
    """The whole sequence, the last answer's end excluded, and which of its places were generated.

    Each round but the first begins with what the round before left.
    """
    sequence: list[int] = []
    places: list[int] = []
    left: tuple[int, ...] = ()
    for ids in rounds:
        sequence += [*left, *ids]
        following = decoding.append((*left, *ids))
        for _ in range(steps):
            places.append(len(sequence))
            sequence.append(following)
            following = decoding.step(following)
        places.append(len(sequence))
        left = (following,)
    return (*sequence, *left), places


def behind_best(
    forward: Forward, sequence: Sequence[int], places: Sequence[int]
) -> NDArray[np.float64]:
    """How far behind the largest logit each generated id's is, by one full forward, [len(places)].

    Nought where the most likely id was chosen. Kernels that round activations compute a token
    behind a cache not quite as within a prompt, so that of two ids within that noise either may
    come out.
    """
    logits = forward(sequence)
    rows = np.stack([logits[place - 1] for place in places]).astype(np.float64)
    chosen = np.array([sequence[place] for place in places])
    return rows.max(axis=-1) - rows[np.arange(len(places)), chosen]
