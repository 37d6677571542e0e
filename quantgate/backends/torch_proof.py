"""Proves on a few ids, once a model is loaded, that its parts give what the whole gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import ScoredBlock
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group, PlanLimits
from quantgate.rows import RowBuilder

STEM, BRANCHES = 12, (7, 6)
# Root mean square of the difference over that of the logits: rounding stays far below, a mask or a
# head that is wrong comes out near 1.
TOLERANCE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.15}

Logits = NDArray[np.float32]
Sequences = list[tuple[int, ...]]


def probe_sequences(vocabulary: int) -> Sequences:
    """Two sequences that share `STEM` ids."""
    ids = [(number * number * 7 + number * 3 + 1) % vocabulary for number in range(1, 100)]
    stem, rest = ids[:STEM], iter(ids[STEM:])
    return [(*stem, *(next(rest) for _ in range(count))) for count in BRANCHES]


def whole_logits(model: Any, sequences: Sequences) -> list[Logits]:
    """Logits `[S, V]` of each sequence by one plain forward of the whole model."""
    import torch

    device = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        return [
            model(input_ids=torch.tensor([ids], device=device), use_cache=False)
            .logits[0]
            .float()
            .cpu()
            .numpy()
            for ids in sequences
        ]


def prove(
    score: Callable[[Group], Iterator[ScoredBlock]],
    sequences: Sequences,
    expected: Sequence[Logits],
    limits: PlanLimits,
    dtype: str,
) -> None:
    """Hold the parts against the whole: first head and decoder, then shared rows.

    Args:
        score: scores a batch with decoder and head.
        sequences: what `probe_sequences` gave.
        expected: the whole model's logits `[S, V]` of each.
        limits: what the planner may do; only that is proved.
        dtype: the model's type, which sets the tolerance.

    Raises:
        InvalidMeasurement: `head-not-found`, `packing-not-exact`.
    """
    alone = RowBuilder(0)
    alone.add(sequences[0], 0, 0, tuple(range(len(sequences[0]))))
    found = _logits(score(Group((), (alone.row(),))))
    _require(
        "head-not-found",
        found,
        expected[0],
        dtype,
        fix="measure this model type on another backend",
    )
    if limits.keeps_prefix:
        found = _logits(score(_shared(sequences, packs=limits.packs)))
        wanted = np.concatenate([logits[STEM:] for logits in expected])
        _require("packing-not-exact", found, wanted, dtype, fix="packing = false")


def _shared(sequences: Sequences, *, packs: bool) -> Group:
    """The sequences behind their stem, as one row or as a row each."""
    builders = [RowBuilder(STEM)] if packs else [RowBuilder(STEM) for _ in sequences]
    for number, ids in enumerate(sequences):
        builder = builders[0 if packs else number]
        builder.add(ids, STEM, number, tuple(range(STEM, len(ids))))
    return Group(sequences[0][:STEM], tuple(builder.row() for builder in builders))


def _logits(blocks: Iterator[ScoredBlock]) -> Logits:
    return np.concatenate([block.logits for block in blocks])


def _require(code: str, found: Logits, wanted: Logits, dtype: str, *, fix: str) -> None:
    share = np.inf
    if found.shape == wanted.shape:
        share = float(np.sqrt(np.mean((found - wanted) ** 2) / np.mean(wanted**2)))
    if not share <= TOLERANCE[dtype]:
        raise InvalidMeasurement(
            code,
            need=f"the whole model's logits within {TOLERANCE[dtype]:g} of their size",
            found=f"{list(found.shape)} for {list(wanted.shape)}, {share:.3g} of their size away",
            fix=fix,
        )
