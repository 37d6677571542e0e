"""MMLU for the sides that run in quantgate's own environment: what is asked, what is recorded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.record import LETTERS, read_digest
from benchmarks.peers.shares import fixed_part
from quantgate.corpus.mmlu import MmluCorpus, read_mmlu
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluItems, MmluOptions


def read_task(
    data: Path,
    subjects: Sequence[str],
    *,
    shots: int,
    questions: int | None = None,
    share: int = 1,
) -> MmluTask:
    """The questions, asked as lm-eval's `mmlu` tasks ask them.

    Args:
        data: MMLU's CSV folder.
        subjects: by name.
        shots: examples before a question.
        questions: the first so many of each subject; None takes all.
        share: of these the fixed part (see `shares`); 1 takes all.
    """
    corpus = read_mmlu(str(data.resolve()), base=Path(), subjects=subjects, limit=questions)
    protocol = MmluOptions(
        template="lm_eval", shots=shots, decision="loglikelihood", overflow="error"
    )
    return MmluTask(_part(corpus, share), protocol)


def _part(corpus: MmluCorpus, share: int) -> MmluCorpus:
    subjects = itertools.groupby(corpus.questions, key=lambda question: question.subject)
    kept = [question for _, rows in subjects for question in fixed_part(tuple(rows), share)]
    return replace(corpus, questions=tuple(kept))


def by_subject(items: MmluItems, loglikelihoods: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
    """A record's `subjects`, from log-likelihoods `[questions, 4]` in nats."""
    subjects: dict[str, dict[str, Any]] = {}
    for item, values in zip(items.items, loglikelihoods.tolist(), strict=True):
        empty: dict[str, Any] = {
            "loglikelihoods": [],
            "chosen": [],
            "gold": [],
            "read": [],
            "prompt_tokens": [],
        }
        subject = subjects.setdefault(item.question.subject, empty)
        subject["loglikelihoods"].append(values)
        subject["chosen"].append(LETTERS[values.index(max(values))])
        subject["gold"].append(LETTERS[item.question.answer])
        subject["read"].append(read_digest(item.context + ids for ids in item.continuations))
        subject["prompt_tokens"].append(len(item.context))
    for subject in subjects.values():
        hits = [a == b for a, b in zip(subject["chosen"], subject["gold"], strict=True)]
        subject["accuracy"] = sum(hits) / len(hits)
    return subjects
