"""Which questions of MMLU sides answer, by their names, and how far two are apart on those."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.peers.shares import fixed_part

OURS = "quantgate-"

Answers = dict[str, tuple[list[str], list[list[float]]]]


def is_whole(side: str) -> bool:
    """Whether this side answers all questions; the others answer the fixed part of `shares`."""
    return side.startswith(OURS)


def batch_size(side: str) -> int:
    """Prompts that a side computes at a time, as its name ends: ` b8`; 1 where it doesn't say."""
    _, _, size = side.partition(" b")
    return int(size) if size else 1


def largest_difference(
    one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], share: int
) -> float:
    """Largest difference of log-likelihoods in nats; NaN where either has one.

    Args:
        one: a side's name and its record.
        other: likewise.
        share: of the fixed part.

    Raises:
        SystemExit: the questions, known by their right answers, aren't the same.
    """
    both_whole = is_whole(one[0]) and is_whole(other[0])
    left, right = (
        _answers(record, share if is_whole(side) and not both_whole else 1)
        for side, record in (one, other)
    )
    if _gold(left) != _gold(right):
        raise SystemExit(f"{other[0]} answered other questions than {one[0]}")
    apart = [np.subtract(right[subject][1], values) for subject, (_, values) in left.items()]
    return float(np.abs(np.concatenate(apart)).max())


def _answers(record: dict[str, Any], step: int) -> Answers:
    """Right letters and log-likelihoods of every `step`-th question by subject."""
    return {
        name: (
            list(fixed_part(subject["gold"], step)),
            list(fixed_part(subject["loglikelihoods"], step)),
        )
        for name, subject in record["subjects"].items()
    }


def _gold(answers: Answers) -> dict[str, list[str]]:
    return {subject: letters for subject, (letters, _) in answers.items()}
