"""The page's part on greedy answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.report.html import render_html
from quantgate.report.sections.generation import generation
from quantgate.report.sections.sides import Sides
from quantgate.results import Comparability, Direction, Measurement, Score
from tests.report.planted_run import CANDIDATE, REFERENCE, planted_run

HOSTILE = '</td><script>alert(1)</script>{{ 7*7 }}\x1b[31m\u202e"'
ROWS = [
    {"name": "paragraph 0", "tokens": 9, "matched": 9, "identical": True},
    {
        "name": "paragraph 3", "tokens": 1234, "matched": 1022, "identical": False, "parted": 0,
        "candidate": " a fox", "reference": " a dog",
    },
    {
        "name": "anatomy/1 (5-shot)", "tokens": 4, "matched": 1, "identical": False, "parted": 0,
        "candidate": "", "reference": HOSTILE,
    },
]  # fmt: skip


def measure(case=CANDIDATE, **detail):
    scores = tuple(
        Score(metric=metric, value=0.6, n=3, unit="fraction", direction=Direction.HIGHER)
        for metric in ("matched_share", "identical")
    )
    told = {
        "reference": REFERENCE,
        "generations": ROWS,
        "ended": {"candidate": {"limit": 3}, "reference": {"limit": 3}},
    }
    return Measurement(
        case_id=case,
        task="generation",
        scores=scores,
        comparability=Comparability(
            protocol="p", items=3, ids_digest="a", corpus="b", tokenizer="c", plan="d"
        ),
        identity={},
        detail={**told, **detail},
    )


def run_with(*measurements):
    run = planted_run()
    return replace(run, measurements=(*run.measurements, *measurements))


def test_partings_are_listed_the_soonest_first():
    found = generation(Sides(run_with(measure())))
    assert found.table.rows[0][0] == CANDIDATE
    assert found.table.rows[0][2:4] == ("60.00 %", "2 of 3")
    (partings,) = found.partings
    assert [row[:3] for row in partings.table.rows] == [
        ("anatomy/1 (5-shot)", "2", "4"),
        ("paragraph 3", "1,023", "1,234"),
    ]
    assert partings.table.rows[1][3:] == (" a dog", " a fox")
    assert partings.table.rows[0][4] == "-", "a candidate that ended there"
    assert found.remarks == ()


def test_identical_answers_are_in_the_figures_alone():
    found = generation(Sides(run_with(measure(generations=ROWS[:1]))))
    assert found.partings == ()
    assert found.table.rows[0][4] == "nowhere"


def test_without_a_generation_there_is_no_section():
    assert generation(Sides(planted_run())) is None
    assert 'id="generation"' not in render_html(planted_run())


def test_fault_70_generated_text_stays_text():
    page = render_html(run_with(measure()))
    assert 'id="generation"' in page
    assert '<a href="#generation">' in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


@pytest.mark.parametrize(
    "detail",
    [
        {"generations": 3},
        {"generations": [{"name": "x"}]},
        {"ended": ["no", "mapping"]},
        {"generations": [{"matched": "x", "identical": False}]},
    ],
)
def test_damaged_items_are_told_and_take_no_other_part_along(detail):
    run = run_with(measure(**detail), measure("tiny-int8-ort-cpu"))
    found = generation(Sides(run))
    assert len(found.table.rows) == 2
    assert len(found.remarks) == 1
    assert "damaged" in found.remarks[0]
    assert "damaged" in render_html(run)
