"""Maps of layers in the reports of a run: by variant, marked, and absent from older files."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quantgate.packages.precision_map import KEY, LEGEND, WHY, LayerRun, PrecisionMap
from quantgate.report.digest import notes
from quantgate.report.html import render_html
from quantgate.report.markdown import render_summary
from quantgate.report.precision import maps_of
from quantgate.report.results_json import RunFacts, build, serialize
from quantgate.report.sections.precision import precision
from quantgate.report.sections.sides import Sides
from quantgate.run_file import parse_run
from tests.report.planted_costs import FP32, GENAI, INT4, INT8, accuracy, memory, run_of
from tests.report.planted_run import planted_run

HOSTILE = '"><script>alert(1)</script>{{ 7*7 }}\x1b[31m\u202e'
WHOLE = PrecisionMap((LayerRun({"qkv": "int4 b32 acc4", "o": "int4 b32 acc4"}, (0, 29)),))
MIXED = PrecisionMap(
    (
        LayerRun({"q": "int4 b32", "k": "int4 b32", "v": "int8 b32"}, (0, 3), mixed=True),
        LayerRun({"q": "int4 b32", "k": "int4 b32", "v": "int4 b32"}, (4, 29)),
        LayerRun({"head": "fp16", "embedding": "fp16"}),
    )
)
TOLD = f"tiny-int8: Q, K and V differ in layers 0-3 (q int4 b32, k int4 b32, v int8 b32): {WHY}"


def with_map(measurement, found):
    told = found.as_json() if isinstance(found, PrecisionMap) else found
    return replace(measurement, detail={**measurement.detail, KEY: told})


def run_with(*pairs):
    return run_of(accuracy(FP32, 0.8), *(with_map(accuracy(c, 0.7), found) for c, found in pairs))


def test_a_variant_has_one_map_whatever_ran_it():
    run = run_with((INT4, WHOLE), (GENAI, WHOLE), (INT8, MIXED))
    found = maps_of(run.measurements)
    assert found.by_name == {"tiny-int4": WHOLE, "tiny-int8": MIXED}
    assert found.warnings == [TOLD]
    assert found.faults == ()


def test_engines_at_other_accuracy_levels_have_their_own():
    other = PrecisionMap((LayerRun({"qkv": "int4 b32"}, (0, 29)),))
    found = maps_of(run_with((INT4, WHOLE), (GENAI, other)).measurements)
    assert found.by_name == {INT4: WHOLE, GENAI: other}


def test_tasks_of_a_case_carry_it_once():
    run = run_of(with_map(accuracy(INT8, 0.7), MIXED), with_map(memory(INT8, 5.0), MIXED))
    assert maps_of(run.measurements).warnings == [TOLD]
    assert notes(run) == [(TOLD, 1)]


def test_layers_that_differ_are_told_in_the_summary():
    markdown = render_summary(run_with((INT4, WHOLE), (INT8, MIXED)))
    assert markdown.count("Q, K and V differ in layers 0-3") == 1
    assert "differ in" not in render_summary(run_with((INT4, WHOLE)))


def test_the_section_has_a_table_a_variant_and_marks_layers():
    run = run_with((INT4, WHOLE), (INT8, MIXED))
    found = precision(run, Sides(run))
    assert found.legend == LEGEND
    whole, mixed = found.variants
    assert whole.table.caption == "tiny-int4"
    assert whole.table.headings == ("layers", "qkv", "o")
    assert whole.table.rows == (("0-29", "int4 b32 acc4", "int4 b32 acc4"),)
    assert whole.warning == ""
    assert mixed.table.headings == ("layers", "q", "k", "v", "head", "embedding")
    assert mixed.table.rows == (
        ("0-3, Q, K and V differ", "int4 b32", "int4 b32", "int8 b32", "-", "-"),
        ("4-29", "int4 b32", "int4 b32", "int4 b32", "-", "-"),
        ("outside", "-", "-", "-", "fp16", "fp16"),
    )
    assert WHY in mixed.warning
    assert found.remarks == ()


def test_the_page_has_it_under_the_trade_off():
    sizes = memory(FP32, 20.0), with_map(memory(INT8, 8.0, 2.5), MIXED)
    text = render_html(run_of(*sizes, accuracy(FP32, 0.8), accuracy(INT8, 0.7)))
    places = [text.index(f'<section id="{name}">') for name in ("tradeoff", "precision", "mmlu")]
    assert places == sorted(places)
    assert '<a href="#precision">Precision</a>' in text
    section = text[places[1] : places[2]]
    assert "<td>int8 b32</td>" in section
    assert "Q, K and V differ in layers 0-3" in section


def test_a_file_of_an_older_run_has_no_section_and_one_with_maps_keeps_them():
    assert precision(planted_run(), Sides(planted_run())) is None
    run = run_with((INT8, MIXED))
    facts = RunFacts(
        started=datetime(2026, 1, 2, tzinfo=UTC),
        ended=datetime(2026, 1, 3, tzinfo=UTC),
        options=run.facts["options"],
        configuration=run.facts["configuration"],
        provenance=run.facts["provenance"],
    )
    document = build(facts, run.measurements, run.decisions)
    again = parse_run(serialize(document), "results.json")
    assert maps_of(again.measurements).by_name == {"tiny-int8": MIXED}
    for each in document["measurements"]:
        each["detail"].pop(KEY, None)
    older = parse_run(json.dumps(document).encode(), "results.json")
    assert 'id="precision"' not in render_html(older)
    assert 'id="precision"' in render_html(again)


@pytest.mark.parametrize("damaged", [3, [{"cells": 4}], [{"layers": [0, 1]}], "int4"])
def test_a_damaged_map_is_told_and_takes_no_other_along(damaged):
    run = run_with((INT4, damaged), (INT8, MIXED))
    found = precision(run, Sides(run))
    assert [each.table.caption for each in found.variants] == ["tiny-int8"]
    assert INT4 in found.remarks[0]
    assert "precision by layer" in found.remarks[0]
    assert 'id="precision"' in render_html(run)


def test_fault_70_hostile_maps_stay_text_and_within_bounds():
    cells = {HOSTILE: HOSTILE, **{f"c{n:03}": "x" * 9999 for n in range(100)}}
    wide = PrecisionMap((LayerRun(cells, (0, 1), mixed=True),))
    long = PrecisionMap(tuple(LayerRun({"q": "fp32"}, (n, n)) for n in range(2000)))
    run = run_with((INT4, wide), (INT8, long))
    text = render_html(run)
    section = text[text.index('<section id="precision">') :].partition("</section>")[0]
    assert "<script" not in text
    assert "alert(1)" in section
    assert not {"\x1b", "\u202e"} & set(text)
    assert ">c022<" in section
    assert ">c023<" not in text
    assert "77 more projections of tiny-int4 are in results.json" in section
    assert "1,800 more rows" in section
    assert len(text) < 600_000
    assert render_summary(run)
