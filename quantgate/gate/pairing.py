"""Which items of two results make pairs, and what a figure is over some of them only."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from quantgate.gate.scales import LOGARITHMIC, is_median
from quantgate.items import NOT_ASKED, ChoiceItems, ItemResults, WindowItems
from quantgate.tasks.categories import CATEGORIES


def mismatch(now: ItemResults, before: ItemResults) -> str:
    """Say in words why two results can't be paired; "" where they can.

    Questions must be of the same subjects in the same order, with the same right answers; windows
    must begin at the same ids and hold as many. Results that were cut differently are never cut to
    what they share.
    """
    if isinstance(now, ChoiceItems) and isinstance(before, ChoiceItems):
        return _other_questions(now, before)
    if isinstance(now, WindowItems) and isinstance(before, WindowItems):
        return _other_windows(now, before)
    return "one result is of questions, the other of windows"


def _other_questions(now: ChoiceItems, before: ChoiceItems) -> str:
    if now.subjects != before.subjects:
        counts = f"{len(before.subjects):,} before, {len(now.subjects):,} now"
        return f"the questions are not of the same subjects ({counts})"
    changed = int((now.gold != before.gold).sum())
    return f"{changed:,} of the questions have another right answer" if changed else ""


def _other_windows(now: WindowItems, before: WindowItems) -> str:
    if not np.array_equal(now.begins, before.begins):
        return f"the windows are not the same ({len(before.begins):,} before, {len(now.begins):,})"
    for metric in sorted(now.counts.keys() & before.counts.keys()):
        if not np.array_equal(now.counts[metric], before.counts[metric]):
            return f"the windows hold other numbers of positions for {metric}"
    return ""


def same(now: ItemResults, before: ItemResults) -> bool:
    """Whether two results are of the same items, so that any figure of theirs can be compared."""
    if mismatch(now, before):
        return False
    if isinstance(now, ChoiceItems) and isinstance(before, ChoiceItems):
        return bool(np.array_equal(now.asked, before.asked))
    return True


def restrict(items: ItemResults, to: ItemResults) -> ItemResults:
    """Return of `items` what `to` has as well, in the order of `to`.

    A run that was stopped early is compared with what its anchor answered to the same questions.
    """
    if isinstance(items, ChoiceItems) and isinstance(to, ChoiceItems):
        if items.subjects != to.subjects:
            return items  # which `mismatch` tells
        chosen = np.where(to.asked, items.chosen, NOT_ASKED).astype(np.int8)
        return ChoiceItems(items.subjects, chosen, items.gold)
    if isinstance(items, WindowItems) and isinstance(to, WindowItems):
        place = {int(begin): number for number, begin in enumerate(items.begins)}
        rows = [place[begin] for begin in map(int, to.begins) if begin in place]
        return WindowItems(
            items.begins[rows],
            {metric: counts[rows] for metric, counts in items.counts.items()},
            {metric: sums[rows] for metric, sums in items.sums.items()},
        )
    return items


def ideal(items: WindowItems, value: float) -> WindowItems:
    """Return the items of a model whose every figure is `value` in every window of `items`."""
    sums = {metric: counts * value for metric, counts in items.counts.items()}
    return WindowItems(items.begins, items.counts, sums)


def labels(family: str, items: ChoiceItems) -> NDArray[np.str_] | None:
    """Return the subject or category of each question, `[questions]`; None for any other family.

    Categories are the authors'; what has none is called "".
    """
    if family == "subject":
        return np.array(items.subjects)
    if family == "category":
        table = CATEGORIES["hendrycks"]
        return np.array([table.get(subject, "") for subject in items.subjects])
    return None


def questions_of(metric: str, items: ChoiceItems) -> NDArray[np.bool_] | None:
    """Return which questions an accuracy is over, `[questions]`; None for one without items.

    A question that wasn't asked counts nowhere.
    """
    if metric == "accuracy":
        return items.asked
    family, _, name = metric.partition(".")
    groups = labels(family, items)
    return None if groups is None or not name else items.asked & (groups == name)


def share(metric: str, items: ChoiceItems) -> Fraction | None:
    """Return an accuracy as what it is, right answers over questions; None where it has none."""
    mask = questions_of(metric, items)
    if mask is None or not mask.any():
        return None
    return Fraction(int(items.correct[mask].sum()), int(mask.sum()))


def figure(metric: str, items: ItemResults) -> float | None:
    """Return a metric's value over the items; None where they don't yield it."""
    if isinstance(items, ChoiceItems):
        part = share(metric, items)
        return None if part is None else float(part)
    if metric not in items.sums or not items.counts[metric].sum() > 0:
        return None
    if is_median(metric):
        return float(np.median(items.sums[metric] / items.counts[metric]))
    mean = float(items.sums[metric].sum() / items.counts[metric].sum())
    try:
        return math.exp(mean) if metric in LOGARITHMIC else mean
    except OverflowError:
        return math.inf
