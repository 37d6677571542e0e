"""Which questions of MMLU sides answer, by their names, and how far two are apart on those."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.shares import fixed_part

OURS = "quantgate-"

KEPT = ("gold", "read", "loglikelihoods")


@dataclass(frozen=True, slots=True)
class InCommon:
    """How two sides answered the questions that both were asked.

    Attributes:
        difference: the largest of their log-likelihoods, in nats, over the questions that both read
            as the same token ids; NaN where either has one, or no question is left.
        asked: questions that both were asked.
        read_otherwise: those of them that the sides' tokenizers read as other ids.
    """

    difference: float
    asked: int
    read_otherwise: int


def is_whole(side: str) -> bool:
    """Whether this side answers all questions; the others answer the fixed part of `shares`."""
    return side.startswith(OURS)


def batch_size(side: str) -> int:
    """Prompts that a side computes at a time, as its name ends: ` b8`; 1 where it doesn't say."""
    _, _, size = side.partition(" b")
    return int(size) if size else 1


def in_common(
    one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], share: int
) -> InCommon:
    """Compare two sides.

    Args:
        one: a side's name and its record.
        other: likewise.
        share: of the fixed part.

    Raises:
        SystemExit: the questions, known by their right answers, aren't the same.
    """
    both_whole = is_whole(one[0]) and is_whole(other[0])
    left, right = (
        _questions(record, share if is_whole(side) and not both_whole else 1)
        for side, record in (one, other)
    )
    if (left["subject"], left["gold"]) != (right["subject"], right["gold"]):
        raise SystemExit(f"{other[0]} answered other questions than {one[0]}")
    same = np.equal(left["read"], right["read"])
    apart = np.abs(np.subtract(left["loglikelihoods"], right["loglikelihoods"]))[same]
    largest = float(apart.max()) if len(apart) else math.nan
    return InCommon(largest, len(same), int(np.count_nonzero(~same)))


def _questions(record: dict[str, Any], step: int) -> dict[str, list[Any]]:
    """What is kept of every `step`-th question, subjects by name."""
    subjects = sorted(record["subjects"].items())
    kept = {
        field: [each for _, subject in subjects for each in fixed_part(subject[field], step)]
        for field in KEPT
    }
    names = [name for name, subject in subjects for _ in fixed_part(subject["gold"], step)]
    return {"subject": names, **kept}
