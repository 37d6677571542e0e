"""Charts as drawn: fit for a strict policy, harmless, repeatable and true to their figures."""

import math
import re
from xml.etree import ElementTree as ET

import pytest

from quantgate.report.charts.distribution import Spread, histogram_chart, percentile_chart
from quantgate.report.charts.interval import interval_chart
from quantgate.report.charts.style import COLOURS
from quantgate.report.charts.subjects import Change, subject_chart
from quantgate.report.charts.svg import label
from quantgate.report.charts.tradeoff import Scale, Spot, tradeoff_chart
from quantgate.report.charts.windows import Along, windows_chart

HOSTILE = '$x$ </text><script>alert(1)</script> "&\x1b[31m \uffff\ud800_'


def subjects(name="astronomy", ident="c"):
    changes = [
        Change(name, -0.10, -0.15, -0.05, 12, 2),
        Change("virology", -0.01, -0.05, 0.03, 3, 2),
        Change("zoology", 0.06, 0.01, 0.11, 1, 7),
    ]
    return subject_chart(changes, Change("all", -0.02, -0.06, 0.02, 16, 11), ident=ident, title="T")


def spreads():
    edges = tuple(-6 + bin_ for bin_ in range(6))
    percentiles = ((0.0, 0.0), (50.0, 1e-4), (99.9, 1e-2), (100.0, 0.1))
    return [Spread(number, edges, (1, 5, 30, 4, 1), 41, percentiles) for number in range(7)]


def windows(ident="c"):
    lines = [Along(number, (2.1, 3.2), (0.05, 0.07), 0.06, 0.04, 0.08) for number in range(3)]
    return windows_chart([0, 1024, 2048], [2.0, 3.0], lines, axis="tokens", ident=ident, title="T")


def tradeoff(ident="c"):
    spots = [
        Spot("fp32", None, 20.0, 100.0, 100.0, 100.0, front=True),
        *(Spot("int4 ort", n, 5.0, 90.0 - n / 2, 85.0, 95.0, front=n == 0) for n in range(8)),
    ]
    size, kept = Scale("size, MiB", rising=False), Scale("kept, %", rising=True)
    return tradeoff_chart(spots, size, kept, ident=ident, title="T")[0]


CHARTS = {
    "tradeoff": tradeoff,
    "subjects": subjects,
    "histogram": lambda ident="c": histogram_chart(spreads(), ident=ident, title="T"),
    "percentiles": lambda ident="c": percentile_chart(spreads(), ident=ident, title="T"),
    "windows": windows,
    "interval": lambda ident="c": interval_chart(
        -2.0, -3.0, -1.0, -1.5, unit="points", ident=ident
    ),
}


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_drawings_stand_in_a_page_with_a_strict_policy(draw):
    svg = draw()
    root = ET.fromstring(svg)
    names = {name for element in root.iter() for name in element.attrib}
    assert not names & {"style", "onload"}
    assert {element.tag for element in root.iter()} <= {
        "svg", "title", "desc", "g", "path", "text", "defs", "use", "clipPath", "rect", "tspan",
    }  # fmt: skip
    assert "://" not in svg
    assert root.attrib["role"] == "img"
    titles = root.attrib["aria-labelledby"].split()
    assert [root.find(f"*[@id='{each}']").tag for each in titles] == ["title", "desc"]
    assert all(root.find(tag).text for tag in ("title", "desc"))


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_ids_are_a_charts_own_and_every_one_that_is_meant_exists(draw):
    first, second = (ET.fromstring(draw(ident=ident)) for ident in ("one", "two"))
    ids = [[e.attrib["id"] for e in root.iter() if "id" in e.attrib] for root in (first, second)]
    assert len(ids[0]) == len(set(ids[0]))
    assert not set(ids[0]) & set(ids[1])
    meant = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", ET.tostring(first, encoding="unicode")))
    assert meant <= set(ids[0])


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_the_same_chart_has_the_same_bytes(draw):
    assert draw() == draw()


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_every_colour_has_a_class_so_that_dark_mode_reaches_it(draw):
    known = {colour.light: name for name, colour in COLOURS.items()}
    for element in ET.fromstring(draw()).iter():
        for paint, letter in (("fill", "f"), ("stroke", "s")):
            colour = element.attrib.get(paint, "none")
            if colour != "none":
                assert f"{letter}-{known[colour]}" in element.attrib["class"].split()
        if element.tag == "text":
            assert "fill" in element.attrib


def test_fault_70_names_are_text_in_a_drawing_and_no_formula():
    root = ET.fromstring(subjects(name=HOSTILE))
    texts = [element.text for element in root.iter("text")]
    assert any(text.startswith("$x$ </text><script>") for text in texts)
    assert not list(root.iter("script"))


def test_names_are_cut_to_their_place_and_say_so():
    assert label("a" * 35, 34) == "a" * 33 + "…"
    assert label("a" * 34, 34) == "a" * 34
    assert label("\uffff\x00b") == "b"


def test_subjects_stand_in_order_with_their_changed_answers():
    texts = [element.text for element in ET.fromstring(subjects()).iter("text")]
    names = [text for text in texts if text in {"all", "astronomy", "virology", "zoology"}]
    assert names == ["all", "astronomy", "virology", "zoology"]
    counts = [text for text in texts if " / " in text and text != "lost / won"]
    assert counts == ["16 / 11", "12 / 2", "3 / 2", "1 / 7"]
    assert "change in accuracy, points (95 % interval)" in texts


def _centres(svg, name):
    """Places of the markers of one colour, `(x, y)`."""
    root = ET.fromstring(svg)
    return [
        (float(use.attrib["x"]), float(use.attrib["y"]))
        for use in root.iter("use")
        if name in use.attrib.get("class", "")
    ]


def test_places_in_the_forest_are_proportional_to_the_changes():
    svg = subjects()
    worse = sorted(set(_centres(svg, "f-series-2")))
    better = sorted(set(_centres(svg, "f-series-1")))
    # Ends of the interval and its middle, from -15 to -5 points and from 1 to 11.
    low, middle, high = sorted({x for x, _ in worse})
    assert middle - low == pytest.approx(high - middle, abs=0.02)
    points = (high - low) / 10
    assert {round((x - low) / points - 15, 1) for x, _ in better} == {1.0, 6.0, 11.0}


def test_only_intervals_without_zero_are_in_colour():
    # A marker and two ends each; virology and the whole have none.
    assert [len(_centres(subjects(), f"f-series-{number}")) for number in (1, 2)] == [3, 3]


def test_axes_name_their_units():
    for svg, wanted in (
        (CHARTS["histogram"](), {"KL divergence at a position, nats", "positions a bin, %"}),
        (CHARTS["percentiles"](), {"KL divergence, nats", "percentile of positions", "max"}),
        (windows(), {"tokens", "perplexity", "change, %"}),
        (CHARTS["interval"](), {"paired change, points (95 % interval)", "allowed"}),
    ):
        assert wanted <= {element.text for element in ET.fromstring(svg).iter("text")}


def test_figures_without_end_are_gaps_and_no_fault():
    line = Along(0, (math.nan, 3.0), (math.nan, 0.1), math.nan, math.nan, math.nan)
    svg = windows_chart([0, 1, 2], [math.nan, 2.0], [line], axis="t", ident="c", title="T")
    assert "nan" not in svg.lower()
