"""Runs that stopped early: their figures are over a part of the items, and held against no other.

Every test but the last two fails where only the fields of the comparability are looked at, which
are those of the complete run.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from rich.console import Console

from quantgate.baselines.sets import BaselineSet
from quantgate.comparing.compare import compare
from quantgate.comparing.comparison import Outcome
from quantgate.comparing.history import moments_of_runs, trace
from quantgate.comparing.saved_runs import save_run
from quantgate.comparing.sides import side_of_baselines
from quantgate.report import compare_markdown, compare_table
from quantgate.report.history_table import print_history
from quantgate.results import Measurement
from tests.test_comparing import (
    BEFORE,
    GOLD,
    NOW,
    mmlu,
    only,
    perplexity,
    results_of,
    score,
    side,
    stored,
)
from tests.test_saved_runs import COMMIT, NOON

QUESTIONS, WINDOWS = 400, 50
TOKENS = np.full(WINDOWS, 64.0)
NATS = TOKENS * np.random.default_rng(5).gamma(20, 0.1, WINDOWS)


def told(taken: int, of: int, *, early: bool = True) -> dict[str, object]:
    return {"taken": taken, "of": of, "saved": of - taken, "stopped": early}


def asked(
    chosen: dict[str, str], first: int, *, skipped: int = 0, early: bool = True
) -> Measurement:
    """A run of so many questions of each subject, behind those skipped."""
    taken = slice(skipped, skipped + first)
    part = {
        name: "." * skipped + each[taken] + "." * (len(each) - skipped - first)
        for name, each in chosen.items()
    }
    right = [a == b for k in GOLD for a, b in zip(chosen[k][taken], GOLD[k][taken], strict=True)]
    whole = mmlu(part, GOLD, scores=(score("accuracy", float(np.mean(right)), len(right)),))
    detail = {**whole.detail, "sequential": told(len(right), QUESTIONS, early=early)}
    return replace(whole, detail=detail)


def read(nats: np.ndarray, windows: slice) -> Measurement:
    """A run of some windows; they begin where they begin in the text."""
    whole = perplexity(nats, TOKENS)
    value = math.exp(nats[windows].sum() / TOKENS[windows].sum())
    taken = whole.detail["windows"][windows]
    return replace(
        whole,
        scores=(replace(whole.scores[0], value=value),),
        detail={"windows": taken, "sequential": told(len(taken), WINDOWS)},
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("whole", "part", "taken"),
    [
        (mmlu(BEFORE, GOLD), asked(BEFORE, 60), "120 of 400 items"),
        (perplexity(NATS, TOKENS), read(NATS, slice(20)), "20 of 50 items"),
    ],
    ids=["answers", "windows"],
)
def test_part_is_not_subtracted_from_the_whole(whole, part, taken, turned):
    """The same answers, of which the first part has other figures than all."""
    assert part.scores[0].value != whole.scores[0].value
    sides = [side(part), side(whole)] if turned else [side(whole), side(part)]
    comparison = compare(*sides, metrics=[whole.scores[0].metric])
    (row,) = comparison.rows
    assert row.outcome is Outcome.UNLIKE
    assert (row.delta, row.evidence, row.p_value) == (None, None, None)
    words = [f"stopped after {taken}", "all"] if turned else ["all", f"stopped after {taken}"]
    assert row.why == f"other items were taken: before {words[0]}, now {words[1]}"
    for text in (
        compare_table.render_comparison(comparison),
        compare_markdown.render_comparison(comparison),
    ):
        assert f"stopped after {taken}" in text


def test_part_is_not_subtracted_from_a_baseline():
    baselines = side_of_baselines(BaselineSet("b", stored(mmlu(BEFORE, GOLD))))
    row = only(compare(baselines, side(asked(BEFORE, 60))), "accuracy")
    assert row.outcome is Outcome.UNLIKE
    assert row.delta is None


@pytest.mark.parametrize("other", [asked(BEFORE, 90), asked(BEFORE, 60, skipped=20)])
def test_other_parts_are_not_subtracted_however_many_they_are(other):
    row = only(compare(side(asked(BEFORE, 60)), side(other)), "accuracy")
    assert row.outcome is Outcome.UNLIKE
    assert row.why.startswith("other items were taken: before stopped after 120 of 400 items")


def test_part_without_its_items_is_held_against_nothing():
    bare = asked(BEFORE, 60)
    bare = replace(bare, detail={"sequential": bare.detail["sequential"]})
    assert only(compare(side(bare), side(bare)), "accuracy").outcome is Outcome.UNLIKE


def test_history_breaks_before_and_behind_a_part(tmp_path):
    """Two runs that asked the same part are joined, and so are two of everything."""
    for measurement in (
        mmlu(BEFORE, GOLD),
        mmlu(NOW, GOLD),
        asked(BEFORE, 180),
        asked(NOW, 180),
        asked(NOW, 60),
        mmlu(NOW, GOLD),
    ):
        save_run(tmp_path, results_of(measurement), commit=COMMIT, now=NOON)
    history = trace(moments_of_runs(tmp_path, 30)[0], metrics=["accuracy"])
    (series,) = history.series
    breaks = [bool(point.unlike) for point in series.points]
    assert breaks == [False, False, True, False, True, True]
    assert series.points[4].unlike.endswith(
        "before stopped after 360 of 400 items, now stopped after 120 of 400 items"
    )
    console = Console(file=io.StringIO(), width=132)
    print_history(history, console)
    assert console.file.getvalue().count("other data") == 3


def test_same_parts_are_paired():
    row = only(compare(side(asked(BEFORE, 60)), side(asked(NOW, 60))), "accuracy")
    assert (row.evidence.lost, row.evidence.won, row.evidence.n) == (23, 0, 120)
    assert row.delta == pytest.approx(-23 / 120)
    assert row.p_value == pytest.approx(scipy.stats.binomtest(0, 23).pvalue)
    assert row.outcome is Outcome.WORSE
    part = slice(5, 45)
    row = only(compare(side(read(NATS, part)), side(read(NATS + 1, part))), "perplexity")
    assert row.evidence.delta == pytest.approx(1 / 64)


def test_run_in_stages_that_asked_everything_is_whole():
    staged = asked(NOW, 200, early=False)
    assert only(compare(side(mmlu(BEFORE, GOLD)), side(staged)), "accuracy").delta == (
        pytest.approx(-18 / 400)
    )
