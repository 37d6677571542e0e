"""Speed, memory and greedy answers in the summary and the comment."""

import re
from dataclasses import replace

import pytest

from quantgate.report.markdown import render_comment, render_summary
from tests.hostile import HOSTILE, SECRETS
from tests.planted_runs import measure, run_of, score
from tests.report.test_sinks import CONTROLS, assert_inert, page

INT4, FP32 = "tiny-int4-ort-cpu", "tiny-fp32-ort-cpu"
COSTS = "Speed, memory and size, and how many times better than the reference"
GREEDY = "Greedy answers beside the reference's"


def figures(task, case_id=INT4, **values):
    scores = [score(metric, value, unit="") for metric, value in values.items()]
    return measure(scores, case_id=case_id, task=task, detail={"reference": FP32})


def speed(case_id=INT4, **more):
    rates = {"generation_tokens_per_s": 182.4, "first_token_s": 0.01234}
    ratios = {"generation_speedup": 1.853, "first_token_speedup": 0.5}
    return figures("speed", case_id, **rates, **ratios, **more)


def memory(case_id=INT4, **more):
    sizes = {"peak_mib": 812.0, "loading_mib": 1024.0, "disk_mib": 5.151}
    return figures("memory", case_id, **sizes, peak_saving=2.44, disk_saving=4.0, **more)


def generation(case_id=INT4, rows=({"matched": 2, "identical": False},) * 3):
    found = [replace(score("matched_share", 0.375), n=4), replace(score("identical", 0.25), n=4)]
    return measure(found, case_id=case_id, task="generation", detail={"generations": list(rows)})


def rows(markdown, title):
    """Cells of the table behind a title, its head first."""
    table = markdown.split(f"<summary>{title}", 1)[1].split("</details>")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [re.sub(r"</?code>|\\", "", line).strip("|").split("|") for line in lines]


@pytest.mark.parametrize("render", [render_summary, render_comment])
def test_a_row_a_case_with_the_ratios_to_the_reference(render):
    run = run_of([], [speed(), memory(), speed(FP32), memory(FP32)])
    head, _, *others = rows(render(run), COSTS)
    assert head == ["case", "tokens/s", "first token, ms", "peak, MiB", "on disk, MiB"]
    assert others == [
        [INT4, "182 (1.85 x)", "12.3 (0.500 x)", "812 (2.44 x)", "5.15 (4.00 x)"],
        [FP32, "182", "12.3", "812", "5.15"],
    ]


def test_only_what_was_measured_has_a_column():
    head, _, *others = rows(render_summary(run_of([], [memory()])), COSTS)
    assert head == ["case", "peak, MiB", "on disk, MiB"]
    assert others == [[INT4, "812 (2.44 x)", "5.15 (4.00 x)"]]
    measured = [speed(), memory(FP32, peak_device_mib=64.0)]
    head, _, *others = rows(render_summary(run_of([], measured)), COSTS)
    assert head[-3:] == ["peak, MiB", "peak on the device, MiB", "on disk, MiB"]
    assert others == [
        [INT4, "182 (1.85 x)", "12.3 (0.500 x)", "-", "-", "-"],
        [FP32, "-", "-", "812", "64.0", "5.15"],
    ]


def test_greedy_answers():
    markdown = render_summary(run_of([], [generation(), generation(FP32, rows=())]))
    head, _, *others = rows(markdown, GREEDY)
    assert head == ["case", "matched", "identical", "parts at"]
    assert others == [
        [INT4, "37.50 %", "1 of 4", "token 3 (median), 3 (first)"],
        [FP32, "37.50 %", "1 of 4", "nowhere"],
    ]


def test_other_runs_have_neither():
    markdown = render_summary(run_of([], [measure([score("accuracy", 0.5)])]))
    assert COSTS not in markdown
    assert GREEDY not in markdown


@pytest.mark.parametrize("render", [render_summary, render_comment])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_fault_70_names_stay_text(text, render):
    markdown = render(run_of([], [speed(text), memory(text), generation(text)]))
    assert not CONTROLS.search(markdown)
    assert_inert(page(markdown))
    assert not [secret for secret in SECRETS if secret in markdown]
    assert [len(row) for row in rows(markdown, COSTS)] == [5] * 3
    assert [len(row) for row in rows(markdown, GREEDY)] == [4] * 3


@pytest.mark.parametrize(
    "damage",
    [
        {"generations": 7},
        {"generations": [{"matched": "<b>", "identical": False}]},
        {"generations": [{}]},
        {"generations": {"a|b": 1}},
    ],
)
def test_damaged_generations_leave_a_row_without_figures(damage):
    damaged = replace(generation(), detail=damage)
    *_, row = rows(render_summary(run_of([], [damaged])), GREEDY)
    assert row == [INT4, "-", "-", "-"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, -1.0, 0.0])
def test_figures_that_cannot_be_stay_figures(value):
    run = run_of([], [figures("speed", generation_tokens_per_s=value, first_token_s=value)])
    (row,) = rows(render_summary(run), COSTS)[2:]
    assert [float(cell) for cell in row[1:]] == pytest.approx([value, value * 1000], nan_ok=True)


@pytest.mark.parametrize(
    ("render", "limit"), [(render_summary, 1_048_576), (render_comment, 65_536)]
)
def test_fault_71_many_cases_stay_under_the_limit(render, limit):
    names = [f"{'größe_@#1|' * 20}{number}" for number in range(10_000)]
    measured = [make(name) for name in names for make in (speed, memory, generation)]
    markdown = render(run_of([], measured))
    assert limit * 0.5 < len(markdown.encode("utf-8")) < limit
    found = rows(markdown, COSTS)[2:]
    left = re.findall(r"([\d,]+) of 10,000 rows are left out here; all are in", markdown)
    assert len(found) + int(left[0].replace(",", "")) == 10_000
    assert len(rows(markdown, GREEDY)[2:]) + int(left[1].replace(",", "")) == 10_000
    assert markdown.count("<details>") == markdown.count("</details>")
