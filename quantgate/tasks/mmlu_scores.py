"""Figures of an MMLU run: accuracies with their errors, the breakdown, and flips.

Accuracy is over the question set fixed before the run: micro (over questions), macro (mean of the
subjects' accuracies), per category and per subject. Standard errors are plain and clustered by
subject. A candidate's difference to its reference is paired question by question.

All figures are by the decision asked for; the accuracy by the other one stands beside them where
the same pass has it: log-likelihoods always, greedy answers unless one takes a second token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate import stats
from quantgate.corpus.questions import LETTERS
from quantgate.metrics.choice import UNREADABLE, Decisions, degenerate_reason, flips
from quantgate.results import Direction, Score
from quantgate.tasks.categories import CATEGORIES
from quantgate.tasks.mmlu import MmluSamples
from quantgate.tasks.mmlu_items import GREEDY, LOGLIKELIHOOD, MmluItem, MmluItems

FLIPS_LISTED = 200  # of a case
NO_LETTER = "-"
UNASKED = "."


def mmlu_scores(
    samples: MmluSamples, items: MmluItems, decision: str, reference: MmluSamples | None
) -> tuple[Score, ...]:
    """Accuracy over all (gated by default), macro, by the other decision, and of each group.

    Groups are categories, the authors' (`tasks.categories`), which subjects outside MMLU have none
    of, and subjects.
    """
    correct = samples.decisions(items.items, decision).correct
    subjects = [item.question.subject for item in items.items]
    before = None if reference is None else reference.decisions(items.items, decision).correct
    by_subject = _by_group(correct, subjects)
    macro = float(np.mean([value for value, _ in by_subject.values()]))
    categories = [CATEGORIES["hendrycks"].get(subject, "") for subject in subjects]
    return (
        _accuracy("accuracy", correct, subjects, before),
        Score(
            metric="accuracy_macro",
            value=macro,
            n=len(correct),
            unit="fraction",
            direction=Direction.HIGHER,
        ),
        *_by_other_decision(samples, items, decision, reference),
        *(_grouped("category", correct, categories, subjects, before) if items.categorized else ()),
        *_grouped("subject", correct, subjects, subjects, before),
    )


def _by_other_decision(
    samples: MmluSamples, items: MmluItems, decision: str, reference: MmluSamples | None
) -> Iterator[Score]:
    other = LOGLIKELIHOOD if decision == GREEDY else GREEDY
    if other == GREEDY and samples.texts is None:
        return
    comparable = reference is not None and (other != GREEDY or reference.texts is not None)
    before = reference.decisions(items.items, other).correct if reference and comparable else None
    correct = samples.decisions(items.items, other).correct
    subjects = [item.question.subject for item in items.items]
    yield _accuracy(f"accuracy_{other}", correct, subjects, before)


def _grouped(
    kind: str,
    correct: NDArray[np.float64],
    groups: list[str],
    subjects: list[str],
    before: NDArray[np.float64] | None,
) -> Iterator[Score]:
    names, labels = np.array(groups), np.array(subjects)
    for name in sorted(set(groups) - {""}):
        mask = names == name
        anchor = None if before is None else before[mask]
        yield _accuracy(f"{kind}.{name}", correct[mask], labels[mask].tolist(), anchor)


def _accuracy(
    metric: str,
    correct: NDArray[np.float64],
    subjects: list[str],
    before: NDArray[np.float64] | None,
) -> Score:
    clusters = len(set(subjects))
    value = float(correct.mean())
    stderr = stats.mean_stderr(correct)[1] if len(correct) > 1 else None
    paired: dict[str, Any] = {}
    if before is not None and clusters > 1:
        delta, error = stats.paired(correct, before, subjects)
        paired = {"paired_delta": delta, "paired_stderr": error, "paired_unit": "fraction"}
    return Score(
        metric=metric,
        value=value,
        n=len(correct),
        unit="fraction",
        direction=Direction.HIGHER,
        stderr=stderr,
        stderr_clustered=stats.clustered_stderr(correct, subjects) if clusters > 1 else None,
        clusters=clusters,
        **paired,
    )


def mmlu_detail(
    samples: MmluSamples,
    items: MmluItems,
    decision: str,
    reference: MmluSamples | None,
    complete: MmluItems | None = None,
) -> dict[str, Any]:
    """JSON-ready breakdown: subjects, categories by both maps, ties, flips, what was excluded.

    Where `items` are only those that were asked, `complete` are all of the question set.
    """
    decisions = samples.decisions(items.items, decision)
    subjects = [item.question.subject for item in items.items]
    detail: dict[str, Any] = {
        "subjects": _table(decisions.correct, subjects),
        "categories": {
            name: _table(decisions.correct, [table.get(s, "") for s in subjects])
            for name, table in CATEGORIES.items()
            if items.categorized and any(s in table for s in subjects)
        },
        "ties": int(decisions.tied.sum()),
        "unreadable": decisions.unreadable,
        "excluded": list(items.excluded),
        "shots": _histogram(item.shots for item in items.items),
        "chosen": _histogram(map(_letter, decisions.chosen)),
        "answers": _answers(decisions, items, complete or items),
    }
    if reason := degenerate_reason(decisions, LETTERS[: items.widest]):
        detail["degenerate"] = reason
    if reference is not None:
        before = reference.decisions(items.items, decision)
        detail["flips"] = _flips(decisions, before, items.items)
    return detail


def _letter(number: int) -> str:
    return NO_LETTER if number == UNREADABLE else LETTERS[number]


def _answers(
    decisions: Decisions, items: MmluItems, complete: MmluItems
) -> dict[str, dict[str, str]]:
    """Every answer, to audit an accuracy by: letters by subject, in the items' order."""
    chosen = {
        item.question.id: _letter(number)
        for item, number in zip(items.items, decisions.chosen, strict=True)
    }
    answers: dict[str, dict[str, str]] = {}
    for question in (item.question for item in complete.items):
        letters = answers.setdefault(question.subject, {"chosen": "", "gold": ""})
        letters["chosen"] += chosen.get(question.id, UNASKED)
        letters["gold"] += LETTERS[question.answer]
    return answers


def _flips(now: Decisions, before: Decisions, items: Sequence[MmluItem]) -> dict[str, Any]:
    """How many answers changed, and which: of more than fit lost ones first, then won ones."""
    masks = flips(now, before)
    changed = np.flatnonzero(masks["changed"])
    rank = np.where(masks["right_to_wrong"], 0, np.where(masks["wrong_to_right"], 1, 2))[changed]
    kept = np.sort(changed[np.argsort(rank, kind="stable")[:FLIPS_LISTED]])
    listed = [
        {
            "question": items[i].question.id,
            "text": items[i].question.text,
            "options": list(items[i].question.options),
            "gold": _letter(now.gold[i]),
            "reference": _letter(before.chosen[i]),
            "candidate": _letter(now.chosen[i]),
        }
        for i in kept
    ]
    return {**{name: int(mask.sum()) for name, mask in masks.items()}, "listed": listed}


def _by_group(values: NDArray[np.float64], groups: Sequence[str]) -> dict[str, tuple[float, int]]:
    names = np.array(groups)
    return {
        name: (float(values[names == name].mean()), int((names == name).sum()))
        for name in sorted(set(groups))
        if name
    }


def _table(values: NDArray[np.float64], groups: Sequence[str]) -> Mapping[str, Any]:
    return {
        name: {"accuracy": mean, "n": n} for name, (mean, n) in _by_group(values, groups).items()
    }


def _histogram(values: Iterable[object]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[str(value)] = counts.get(str(value), 0) + 1
    return dict(sorted(counts.items()))
