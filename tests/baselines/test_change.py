"""An update says what becomes of every figure, in words a reviewer can judge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.results import Direction, Limits, Score, Tolerance
from tests.storing import COMPARABILITY, measure, update


def score(value, unit, direction):
    return Score(metric="figure", value=value, n=80, unit=unit, direction=direction)


@pytest.mark.parametrize(
    ("old", "new", "unit", "direction", "words"),
    [
        (0.81, 0.80, "fraction", Direction.HIGHER, "1.00 points worse"),
        (0.80, 0.8225, "fraction", Direction.HIGHER, "2.25 points better"),
        (10.0, 10.31, "perplexity", Direction.LOWER, "3.10 % worse"),
        (10.0, 9.0, "perplexity", Direction.LOWER, "10.00 % better"),
        (0.01, 0.0125, "nats", Direction.LOWER, "0.00250 nats worse"),
        (0.0, 2e-9, "nats", Direction.LOWER, "2.00e-09 nats worse"),
        (0.5, 0.5, "fraction", Direction.HIGHER, "unchanged"),
    ],
)
def test_change_in_words(store, old, new, unit, direction, words):  # noqa: PLR0917
    update(store, measure(scores=(score(old, unit, direction),)))
    lines = update(store, measure(scores=(score(new, unit, direction),)))
    assert lines == [f"mmlu figure {old!r} -> {new!r}: {words}"]


def test_a_wider_tolerance_is_told(store):
    wide = Limits(baseline=Tolerance(kind="three_state", value=0.05, at_risk=0.1))
    update(store, measure(0.8))
    (line,) = update(store, measure(0.8), limits=lambda *_: wide)
    before, after = "absolute 0.01", "three_state 0.05 to 0.1"
    assert line == f"mmlu accuracy 0.8 -> 0.8: unchanged; tolerance {before} -> {after}"


def test_figures_of_other_items_are_neither_better_nor_worse(store):
    update(store, measure(0.8))
    fewer = replace(COMPARABILITY, items=79)
    assert update(store, measure(0.9, comparability=fewer)) == [
        "mmlu accuracy 0.8 -> 0.9: not comparable (items: baseline 80, now 79)"
    ]


def test_figures_in_another_unit_are_neither_better_nor_worse(store):
    update(store, measure(scores=(score(0.8, "fraction", Direction.HIGHER),)))
    assert update(store, measure(scores=(score(80.0, "per cent", Direction.HIGHER),))) == [
        "mmlu figure 0.8 -> 80.0: not comparable (another unit)"
    ]
