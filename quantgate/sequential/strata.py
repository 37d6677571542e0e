"""The order in which a sequential run takes its items: stratified blocks, and stages of them.

Each block takes from all strata in proportion to what is left of them. Targets that are no whole
numbers are rounded up with the probability of their fraction, else down, independently: so every
item that is left is as likely to be taken as any other, which the tests rest on
(`quantgate.sequential.betting`), and every prefix of the order holds each stratum near its share.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

SEED: Final = 20_201_008
BLOCK_SHARE: Final = 0.1  # of the items taken or left, whichever are fewer
SMALLEST_BLOCK: Final = 8
GROWTH: Final = 1.5  # of the items taken, from stage to stage


def stratified_blocks(strata: Sequence[Hashable], seed: int = SEED) -> tuple[Indices, ...]:
    """The order in which items are taken: blocks of their numbers, all of them in the end.

    Args:
        strata: stratum of each item.
        seed: of the order.

    Returns:
        Blocks that grow in proportion to what is taken and shrink with what is left, in each the
        strata near their shares of what is left.
    """
    numbers = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata))}
    labels = draw_blocks(np.array([numbers[stratum] for stratum in strata], dtype=np.int64), seed)
    order = np.argsort(labels, kind="stable")
    return tuple(np.split(order, np.flatnonzero(np.diff(labels[order])) + 1))


def draw_blocks(codes: Indices, seed: int) -> Indices:
    """The block of each item, `[items]`; `codes` are the numbers of their strata."""
    source = np.random.default_rng(seed)
    order = np.lexsort((source.random(len(codes)), codes))
    left = np.bincount(codes)
    drawn = []
    while rest := int(left.sum()):
        # One item of each stratum on average, at least: smaller blocks would be plain samples.
        size = max(BLOCK_SHARE * min(len(codes) - rest, rest), SMALLEST_BLOCK, len(left))
        # floor(q + u) is q on average for u uniform in [0, 1), and never more than is left.
        share = np.floor(left * min(size / rest, 1.0) + source.random(len(left)))
        counts = left if size >= rest else np.minimum(share, left).astype(np.int64)
        if counts.any():
            drawn.append(counts)
        left = left - counts
    table = np.array(drawn).T  # [strata, blocks]: of each stratum's items in their random order
    labels = np.empty(len(codes), dtype=np.int64)
    labels[order] = np.repeat(np.tile(np.arange(len(drawn)), len(table)), table.ravel())
    return labels


def stage_ends(sizes: Sequence[int], fewest: int, share: float) -> tuple[int, ...]:
    """Where stages end, as numbers of blocks: stages that grow geometrically.

    Args:
        sizes: items in each block of a run.
        fewest: items in the first stage, at least.
        share: of all items in the first stage, at least.
    """
    reached = np.cumsum(sizes)
    total = int(reached[-1])
    goal = max(float(fewest), total * share)
    ends = []
    while goal * (1 + GROWTH) / 2 < total:  # a last stage that is worth its own
        ends.append(int(np.searchsorted(reached, goal)) + 1)
        goal = max(goal, float(reached[ends[-1] - 1])) * GROWTH
    return (*(end for end in ends if end < len(sizes)), len(sizes))
