"""What is kept against size and speed: the points, the front, the drawing, the page."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from quantgate import stats
from quantgate.report.charts.tradeoff import Scale, Spot, tradeoff_chart
from quantgate.report.html import render_html
from quantgate.report.numbers import number
from quantgate.report.sections.parts import Numbering
from quantgate.report.sections.sides import Sides
from quantgate.report.sections.tradeoff import tradeoffs
from quantgate.results import Decision, Verdict
from quantgate.run_file import RunFile
from tests.report.planted_costs import (
    FP32,
    GENAI,
    INT4,
    INT8,
    accuracy,
    measurement,
    memory,
    run_of,
    speed,
)
from tests.report.planted_run import divergence, mmlu, perplexity, planted_run

HOSTILE = '$x$ "><script>alert(1)</script>{{ 7*7 }}\x1b[31m\u202e'
SIZES = memory(FP32, 20.0), memory(INT4, 5.0, 4.0), memory(INT8, 8.0, 2.5)
SPEEDS = speed(FP32, 1.01), speed(INT4, 2.0), speed(INT8, 0.9)
ACCURACIES = accuracy(FP32, 0.8), accuracy(INT4, 0.6), accuracy(INT8, 0.5)
UP, LEFT = Scale("kept, %", rising=True), Scale("size, MiB", rising=False)
RIGHT = Scale("speed", rising=True)


def made(run):
    return tradeoffs(run, Sides(run), Numbering())


def only(*measurements, **more):
    (found,) = made(run_of(*measurements, **more))
    return found


def rows(found):
    return {row[0]: row[1:] for row in found.table.rows}


def test_every_variant_is_a_point_with_its_figures_and_fronts():
    found = only(*SIZES, *SPEEDS, *ACCURACIES)
    assert found.model == "tiny"
    assert found.table.headings == (
        "variant",
        "size on disk, MiB",
        "generation, times the reference's",
        "MMLU accuracy kept, %",
        "95 % interval",
        "on the Pareto front of",
    )
    # int8 is larger, slower and worse than int4; fp32 keeps most, int4 is smallest and fastest.
    assert rows(found) == {
        "fp32": ("20.00", "1.00", "100.00", "-", "size and speed"),
        "int4": ("5.00", "2.00", "75.00", "-", "size and speed"),
        "int8": ("8.00", "0.900", "62.50", "-", "-"),
    }
    assert [plot.title for plot in found.plots] == [
        "MMLU accuracy kept, % against size, tiny",
        "MMLU accuracy kept, % against speed, tiny",
    ]
    assert found.remarks == ()


def test_a_variant_may_be_on_one_front_alone():
    found = only(*SIZES, *SPEEDS[:2], speed(INT8, 2.5), *ACCURACIES)
    assert [row[-1] for row in found.table.rows] == ["size and speed", "size and speed", "speed"]


def test_what_was_not_measured_has_no_chart():
    sizes, speeds = only(*SIZES, *ACCURACIES), only(*SPEEDS, *ACCURACIES)
    assert [len(each.plots) for each in (sizes, speeds)] == [1, 1]
    assert "size on disk, MiB" in sizes.table.headings
    assert "size on disk, MiB" not in speeds.table.headings
    assert made(run_of(*ACCURACIES)) == []
    assert made(run_of(*SIZES, *SPEEDS)) == []
    assert made(RunFile(facts={}, measurements=(), decisions=())) == []


def test_intervals_are_those_of_the_paired_answers():
    found = only(*SIZES[:2], mmlu(FP32, 1), mmlu(INT4, 2))
    # 18 of 20 right before and 15 now; three answers went from right to wrong.
    before = [1] * 18 + [0, 0]
    now = [1] * 15 + [0] * 5
    estimate = stats.paired_share(now, before)
    low, high = (100 * (0.75 - estimate.value + end) / 0.9 for end in (estimate.low, estimate.high))
    assert rows(found)["int4"][1:3] == ("83.33", f"{low:.2f} to {high:.2f}")
    assert low < 100 * 0.75 / 0.9 < high


def test_without_accuracy_the_divergence_stands_for_it_and_less_is_better():
    found = only(*SIZES, divergence(INT4), measurement(INT8, "kl_divergence", kl_mean=0.001))
    assert found.table.headings[2] == "KL divergence, nats"
    assert "MMLU wasn't measured" in found.remarks[0]
    told = rows(found)
    assert told["fp32"][1:] == ("0.00", "-", "size")
    # Two windows of 50 positions with means of 0.01 and 0.02.
    estimate = stats.clustered_ratio([0.5, 1.0], [50, 50])
    assert told["int4"][1] == "0.0150"
    assert told["int4"][2] == f"{number(max(0.0, estimate.low))} to {number(estimate.high)}"
    assert [each[-1] for each in told.values()] == ["size", "size", "size"]


def test_without_both_the_ratio_of_perplexities_stands_for_it():
    found = only(*SIZES[:2], perplexity(FP32, 0.0), perplexity(INT4, 0.02))
    assert found.table.headings[2] == "ratio of perplexities, %"
    assert "perplexity strided" in found.remarks[0]
    # Nats a token, by the planted windows.
    change = sum(0.02 * (1 + 0.2 * (window % 3)) for window in range(24)) / 24
    kept, interval, _ = rows(found)["int4"][1:]
    assert float(kept) == pytest.approx(100 * math.exp(-change), abs=0.006)
    low, high = (float(end) for end in interval.split(" to "))
    assert low < float(kept) < high < 100


def stopped(whole, taken, of, **detail):
    """A run that stopped early: its figures are over what it took."""
    told = {"taken": taken, "of": of, "stopped": True}
    return replace(whole, detail={**whole.detail, **detail, "sequential": told})


def first_answers(whole, count):
    answers = {
        name: {**each, "chosen": each["chosen"][:count] + "." * (len(each["chosen"]) - count)}
        for name, each in whole.detail["answers"].items()
    }
    pairs = [(a, b) for each in answers.values() for a, b in zip(*each.values(), strict=True)]
    right = sum(chosen == gold for chosen, gold in pairs)
    taken = count * len(answers)
    part = stopped(whole, taken, len(pairs), answers=answers)
    return replace(part, scores=(replace(whole.scores[0], value=right / taken, n=taken),))


def first_windows(whole, count):
    windows = whole.detail["windows"][:count]
    nats = sum(each["nll_nats"] for each in windows) / sum(each["n"] for each in windows)
    part = stopped(whole, count, len(whole.detail["windows"]), windows=windows)
    return replace(part, scores=(replace(whole.scores[0], value=math.exp(nats)),))


def test_a_case_that_stopped_early_is_held_against_the_same_questions():
    found = only(*SIZES[:2], mmlu(FP32, 1), first_answers(mmlu(INT4, 2), 6))
    # Of the first six of both subjects the reference has all 12 right, int4 10.
    estimate = stats.paired_share([1] * 10 + [0] * 2, [1] * 12)
    low, high = (100 * (10 / 12 - estimate.value + end) for end in (estimate.low, estimate.high))
    assert rows(found)["int4"][1:3] == ("83.33", f"{low:.2f} to {high:.2f}")


def test_a_case_that_stopped_early_is_held_against_the_same_windows():
    whole = perplexity(FP32, 0.0), perplexity(INT4, 0.02)
    found = only(*SIZES[:2], whole[0], first_windows(whole[1], 6))
    # Shifts of 0.02, 0.024 and 0.028 nats a token, twice each.
    kept, interval, _ = rows(found)["int4"][1:]
    assert float(kept) == pytest.approx(100 * math.exp(-0.024), abs=0.006)
    low, high = (float(end) for end in interval.split(" to "))
    assert low < float(kept) < high


def test_a_reference_that_stopped_elsewhere_is_known_from_the_decision():
    now = mmlu(INT4, 2)
    decided = Decision(
        case_id=INT4, task="mmlu", metric="accuracy", verdict=Verdict.PASS, value=0.75,
        reason="", reference=0.9,
    )  # fmt: skip
    run = run_of(*SIZES[:2], first_answers(mmlu(FP32, 1), 6), now)
    (found,) = made(replace(run, decisions=(decided,)))
    assert rows(found)["int4"][1:3] == ("83.33", "-")
    assert all("int4" not in rows(each) for each in made(run))  # nothing says what is kept


def test_what_keeps_nearly_all_is_not_shown_as_the_reference():
    speeds = speed(FP32, 1.0), speed(INT4, 0.9996)
    found = only(*SIZES[:2], *speeds, accuracy(FP32, 0.8), accuracy(INT4, 0.8 * 0.999993))
    assert rows(found)["fp32"][1:3] == ("1.00", "100.00")
    assert rows(found)["int4"][1:3] == ("0.9996", "99.999")


def test_a_reference_that_was_not_asked_itself_is_known_from_its_candidates():
    candidates = memory(INT4, 5.0, 4.0), speed(INT4, 2.0), accuracy(INT4, 0.6)
    run = run_of(accuracy(FP32, 0.8), *candidates)
    told = rows(made(run)[0])
    assert told["fp32"][:3] == ("20.00", "1.00", "100.00")
    # Held against the reference by a decision alone.
    decision = Decision(
        case_id=INT4, task="mmlu", metric="accuracy", verdict=Verdict.PASS, value=0.6,
        reason="r", reference=0.75,
    )  # fmt: skip
    alone = replace(run, measurements=candidates, decisions=(decision,))
    assert rows(made(alone)[0])["int4"][2] == "80.00"


def test_a_variant_on_two_backends_has_two_points_named_by_both():
    found = only(*SIZES[:2], memory(GENAI, 5.0, 4.0), *ACCURACIES[:2], accuracy(GENAI, 0.64))
    assert rows(found) == {
        "fp32 · ort": ("20.00", "100.00", "-", "size"),
        "int4 · ort": ("5.00", "75.00", "-", "-"),
        "int4 · ortgenai": ("5.00", "80.00", "-", "size"),
    }


def test_candidates_of_several_references_are_compared_in_tokens_a_second():
    torch = "tiny-fp32-torch-cpu"
    found = only(
        speed(FP32, 1.0, 100.0), speed(torch, 1.0, 20.0), speed(INT4, 2.0, 200.0),
        speed("tiny-int4-torch-cpu", 4.0, 80.0), accuracy(FP32, 0.8), accuracy(torch, 0.8),
        accuracy(INT4, 0.6), accuracy("tiny-int4-torch-cpu", 0.6),
        references={INT4: FP32, "tiny-int4-torch-cpu": torch},
    )  # fmt: skip
    assert found.table.headings[1] == "generation, tokens/s"
    assert [row[1] for row in found.table.rows] == ["100.00", "20.00", "200.00", "80.00"]


def test_models_have_pictures_of_their_own():
    others = [replace(m, case_id=m.case_id.replace("tiny", "small")) for m in (*SIZES, *ACCURACIES)]
    references = {INT4: FP32, INT8: FP32}
    references |= {
        each.replace("tiny", "small"): FP32.replace("tiny", "small") for each in (INT4, INT8)
    }
    found = made(run_of(*SIZES, *ACCURACIES, *others, references=references))
    assert [each.model for each in found] == ["tiny", "small"]


@pytest.mark.parametrize("damaged", [math.nan, math.inf, -1.0, 0.0])
def test_figures_that_cannot_be_drawn_are_told(damaged):
    found = only(*SIZES[:2], memory(INT8, damaged, 1.0), *ACCURACIES)
    assert list(rows(found)) == ["fp32", "int4"]
    assert INT8 in found.remarks[0]
    assert made(run_of(*SIZES[:2], accuracy(FP32, damaged), accuracy(INT4, math.nan))) == []


def test_engines_whose_agreement_was_measured_are_not_missed():
    found = only(*SIZES[:2], *ACCURACIES[:2], measurement(GENAI, "agreement", max_difference=0.1))
    assert found.remarks == ()


def test_a_measurement_without_scores_is_left_out():
    broken = replace(SIZES[2], scores=())
    assert list(rows(only(*SIZES[:2], broken, *ACCURACIES))) == ["fp32", "int4"]


def page(*measurements, **more):
    return render_html(run_of(*measurements, **more))


def test_the_page_has_the_section_before_the_details():
    text = page(*SIZES, *SPEEDS, *ACCURACIES)
    assert '<a href="#tradeoff">Trade-off</a>' in text
    assert text.index('<section id="tradeoff">') < text.index('<section id="environment">')
    section = text[text.index('<section id="tradeoff">') :].partition("</section>")[0]
    assert section.count('class="chart"') == 2
    assert section.count("<table>") == 1
    for cell in ("75.00", "20.00", "0.900", "size and speed"):
        assert f">{cell}</td>" in section
    assert "<details" not in section
    assert page(*SIZES, *SPEEDS, *ACCURACIES) == text


def test_a_page_of_a_run_without_sizes_and_speeds_is_as_it_was():
    text = render_html(planted_run())
    assert "tradeoff" not in text
    assert 'id="precision"' not in text


def test_fault_70_hostile_names_stay_text():
    case = f"tiny-{HOSTILE}-ort-cpu"
    text = page(*SIZES[:1], memory(case, 4.0, 5.0), accuracy(FP32, 0.8), accuracy(case, 0.7))
    assert "<script" not in text
    assert "alert(1)" in text
    assert not {"\x1b", "\u202e"} & set(text)
    assert ">49<" not in text


# --- the drawing ---------------------------------------------------------------------------------


def spot(name, x, y, *, front=True, number=0, spread=0.0):
    return Spot(name, number, x, y, y - spread, y + spread, front)


SPOTS = [
    spot("fp32", 20.0, 100.0, number=None),
    spot("int4", 5.0, 75.0, number=0, spread=4.0),
    spot("int8", 8.0, 62.5, number=1, front=False),
]


def drawn(spots=SPOTS, across=LEFT, up=UP, ident="c"):
    svg, unnamed = tradeoff_chart(spots, across, up, ident=ident, title="T")
    assert unnamed == ()
    return ET.fromstring(svg)


def markers(root, name):
    """Centre and whether it is filled, of the markers in the colour `name`."""
    return [
        (float(use.attrib["x"]), float(use.attrib["y"]), f"f-{name}" in use.attrib["class"])
        for use in root.iter("use")
        if f"s-{name}" in use.attrib.get("class", "").split()
    ]


def test_points_of_the_front_are_filled_and_the_others_hollow():
    root = drawn()
    ((_, _, fp32),) = markers(root, "ink")
    ((_, _, int4),) = markers(root, "series-1")
    ((_, _, int8),) = markers(root, "series-2")
    assert (fp32, int4, int8) == (True, True, False)


def test_places_are_proportional_to_the_figures():
    root = drawn()
    (x_fp32, y_fp32, _), (x_int4, y_int4, _), (x_int8, y_int8, _) = (
        markers(root, name)[0] for name in ("ink", "series-1", "series-2")
    )
    assert (x_int8 - x_int4) / (x_fp32 - x_int4) == pytest.approx(3 / 15, abs=0.001)
    assert (y_int4 - y_int8) / (y_fp32 - y_int8) == pytest.approx(12.5 / 37.5, abs=0.001)
    assert y_fp32 < y_int4 < y_int8, "better is above"


def test_less_is_above_where_less_is_better():
    down = Scale("KL divergence, nats", rising=False)
    root = drawn([spot("a", 1.0, 0.0, number=None), spot("b", 2.0, 0.5)], up=down)
    ((_, best, _),), ((_, worst, _),) = markers(root, "ink"), markers(root, "series-1")
    assert best < worst


def corners(root):
    """Corners of the dashed line."""
    (path,) = (
        each
        for each in root.iter("path")
        if "s-soft" in each.attrib.get("class", "") and "stroke-dasharray" in each.attrib
    )
    numbers = [float(text) for text in re.findall(r"-?[\d.]+", path.attrib["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@pytest.mark.parametrize(("across", "corner"), [(LEFT, 0), (RIGHT, 1)])
def test_the_line_of_the_front_goes_along_what_can_be_had(across, corner):
    """At a size between two, what the smaller keeps; at a speed between two, the faster one's."""
    small, large = (5.0, 75.0), (20.0, 100.0)
    if across.rising:  # the faster keeps less
        small, large = (5.0, 100.0), (20.0, 75.0)
    root = drawn([spot("a", *small, number=None), spot("b", *large)], across=across)
    ((a_x, a_y, _),), ((b_x, b_y, _),) = markers(root, "ink"), markers(root, "series-1")
    expected = [(a_x, a_y), [(b_x, a_y), (a_x, b_y)][corner], (b_x, b_y)]
    for found, wanted in zip(corners(root), expected, strict=True):
        assert found == pytest.approx(wanted, abs=0.02)


def test_names_and_axes_are_written():
    texts = {each.text for each in drawn().iter("text")}
    assert {"fp32", "int4", "int8", "kept, %", "size, MiB (less is better)"} <= texts
    assert "speed (more is better)" in {each.text for each in drawn(across=RIGHT).iter("text")}


@pytest.mark.parametrize("least", [99.0, 99.9, 99.97, 99.9993, 99.99999999])
@pytest.mark.parametrize("most", [100.0, 100.4])
def test_ticks_stand_where_they_say(least, most):
    root = drawn([spot("a", 5.0, most, number=None), spot("b", 2.0, least)])
    ticks = [
        (float(each.attrib["y"]), float(each.text))
        for each in root.iter("text")
        if each.attrib["text-anchor"] == "end"
    ]
    (bottom, low), *_, (top, high) = ticks
    assert low < high
    for y, value in ticks:
        assert (value - low) / (high - low) == pytest.approx(
            (y - bottom) / (top - bottom), abs=1e-3
        )


def test_one_point_and_equal_points_can_be_drawn():
    assert markers(drawn([spot("a", 5.0, 100.0)]), "series-1")
    names = {each.text for each in drawn([spot(n, 5.0, 0.0) for n in "abc"]).iter("text")}
    assert {"a", "b", "c"} <= names


def test_more_names_than_there_is_room_for_are_told_the_fronts_last():
    crowd = [spot(f"a rather long name {n:03}", 5.0, 1.0, front=n == 99) for n in range(100)]
    svg, unnamed = tradeoff_chart(crowd, LEFT, UP, ident="c", title="T")
    assert 0 < len(unnamed) < 100
    assert "a rather long name 099" not in unnamed
    assert "a rather long name 099" in {each.text for each in ET.fromstring(svg).iter("text")}


def test_fault_70_a_name_is_no_formula_and_no_markup():
    texts = [each.text for each in drawn([spot(HOSTILE, 5.0, 1.0)]).iter("text")]
    assert any(text.startswith("$x$ ") for text in texts if text)
    assert not list(drawn([spot(HOSTILE, 5.0, 1.0)]).iter("script"))
