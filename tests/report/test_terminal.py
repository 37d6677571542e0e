"""The table on a terminal and in a log."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from quantgate.report.terminal import HEADINGS, print_table, render_table, tolerance_words
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

CASE = "tiny-int4_rtn_b32-ort-cpu"


def measure(metric, unit):
    score = Score(metric=metric, value=1.0, n=1, unit=unit, direction=Direction.HIGHER)
    same = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")
    return Measurement(case_id=CASE, task="t", scores=(score,), comparability=same, identity={})


MEASUREMENTS = [measure("accuracy", "fraction"), measure("perplexity", "perplexity")]
DECISIONS = [
    Decision(
        case_id=CASE, task="t", metric="accuracy", verdict=Verdict.REGRESSION, value=0.79,
        reason="", anchor=0.8125, against="baseline", delta=-0.0225, allowed=0.01,
        tolerance=Tolerance(kind="absolute", value=0.01), reference=0.82,
    ),
    Decision(
        case_id=CASE, task="t", metric="perplexity", verdict=Verdict.PASS, value=14.82,
        reason="", anchor=14.6, against="reference", delta=0.22, allowed=0.3,
        tolerance=Tolerance(kind="relative", value=0.02), reference=14.6,
    ),
    Decision(
        case_id=CASE, task="t", metric="kl_mean", verdict=Verdict.INVALID, value=None, reason="x"
    ),
]  # fmt: skip


def test_rows_and_units():
    text = render_table(DECISIONS, MEASUREMENTS, width=140)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    rows = [row for row in rows if row and row[0] == CASE]
    assert rows == [
        [CASE, "t accuracy", "79.00 %", "82.00 %", "-2.25 points (b)", "1.00 points", "REGRESSION"],
        [CASE, "t perplexity", "14.82", "14.60", "+0.220 (r)", "2.00 %", "PASS"],
        [CASE, "t kl_mean", "-", "-", "-", "-", "INVALID"],
    ]
    assert all(heading in text for heading in HEADINGS)


@pytest.mark.parametrize(
    ("tolerance", "unit", "words"),
    [
        (Tolerance(kind="absolute", value=0.01), "fraction", "1.00 points"),
        (Tolerance(kind="relative", value=0.01), "perplexity", "1.00 %"),
        (Tolerance(kind="ratio_to_reference", value=0.999), "fraction", ">= 99.90 % kept"),
        (Tolerance(kind="significant_drop", value=0.01), "fraction", "1.00 points at 95 %"),
        (Tolerance(kind="significant_drop", value=0.01), "perplexity", "0.0100 nats at 95 %"),
        (Tolerance(kind="three_state", value=0.05, at_risk=0.1), "", "5.00 % / 10.00 %"),
    ],
)
def test_every_kind_of_tolerance_has_its_words(tolerance, unit, words):
    assert tolerance_words(tolerance, unit) == words


def test_pass_at_risk_is_told_from_a_pass():
    risky = replace(DECISIONS[1], at_risk=True)
    assert "PASS (at risk)" in render_table([risky], MEASUREMENTS, width=140)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system="standard")
    print_table([risky], MEASUREMENTS, console)
    assert "\x1b[33mPASS (at risk)" in out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 140])
def test_fits_its_width_and_cuts_nothing(width):
    lines = render_table(DECISIONS, MEASUREMENTS, width=width).splitlines()
    assert max(map(len, lines)) <= width
    first = "".join(line.split("|")[1].strip() for line in lines if line.count("|") == 8)
    assert CASE in first
    assert sum("REGRESSION" in line for line in lines) == 1


def hostile(name):
    return [
        Decision(case_id=name, task="t", metric="m", verdict=Verdict.PASS, value=1.0, reason="")
    ]


def test_fault_70_log_is_ascii_and_without_controls():
    text = render_table(hostile("\x1b[31m[bold]größe[/bold]\n| forged | PASS\u202e"), [], width=160)
    assert text.isascii()
    assert "\x1b" not in text
    assert "[bold]gr\\xf6\\xdfe[/bold] | forged | PASS" in text


def test_fault_70_terminal_gets_only_our_colours():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, color_system="standard")
    print_table(hostile("\x1b[2J[link=http://evil]x[/link] :smile:"), [], console)
    text = out.getvalue()
    assert "\x1b[2J" not in text
    assert "\x1b]8" not in text
    assert "[link=http://evil]x[/link] :smile:" in text
    assert "\x1b[32mPASS" in text


def test_unbalanced_markup_is_only_text():
    assert "[/nothing] [unclosed" in render_table(hostile("[/nothing] [unclosed"), [], width=160)
