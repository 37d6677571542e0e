"""Tables on a terminal and in a log."""

import io
import re

import pytest
from rich.console import Console

from quantgate.report.console import as_log
from quantgate.report.text_table import Column, TextTable
from tests.hostile import HOSTILE, SECRETS

COLUMNS = (Column("case", whole=True), Column("value", right=True), Column("verdict"))
CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069]")


def logged(*rows, width=60, title=None, indent=""):
    def show(console):
        table = TextTable(COLUMNS, console, title)
        for row in rows:
            table.add(*row, indent=indent)
        table.print()

    return as_log(show, width)


def coloured(*rows, width=60):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system="standard")
    table = TextTable(COLUMNS, console)
    for row in rows:
        table.add(*row)
    table.print()
    return out.getvalue()


def cells(text):
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [line for line in lines if line and not line[0].startswith("-")]


def test_a_log_has_plain_lines_with_figures_to_the_right():
    text = logged(("a", "1.5", ("PASS", "green")), ("bcd", "22.5", "-"), title="what it shows")
    assert text.splitlines()[0].rstrip() == "what it shows"
    assert text.isascii()
    assert cells(text) == [
        [" case ", " value ", " verdict "],
        [" a    ", "   1.5 ", " PASS    "],
        [" bcd  ", "  22.5 ", " -       "],
    ]


def test_styles_are_for_terminals_alone():
    row = ("a", "1", ("FAIL", "bold red"))
    assert "\x1b[1;31mFAIL" in coloured(row)
    assert "\x1b" not in logged(row)


def test_indented_rows_begin_behind_their_title():
    assert cells(logged(("tiny",)))[1][0] == " tiny "
    assert cells(logged(("tiny", "1", ""), indent="  "))[1][0] == "   tiny "


def test_what_is_too_wide_is_folded_and_never_cut():
    words = "one_two_three_four_five_six_seven"
    text = logged(("case", "1", words), width=40)
    assert "".join(row[2].strip() for row in cells(text)[1:]) == words
    assert "..." not in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_fault_70_any_text_stays_text(text):
    row = (text, text, (text, "bold"))
    log = logged(row, title=text, indent="  ", width=200)
    assert log.isascii()
    ours = re.sub(r"\x1b\[[0-9;]*m", "", coloured(row, width=200))
    for shown in (log, ours):
        assert not CONTROLS.search(shown.replace("\n", ""))
        assert not [secret for secret in SECRETS if secret in shown]


def test_fault_70_markup_is_shown_as_it_stands():
    assert "[bold]x[/]" in logged(("[bold]x[/]", "1", "2"), title="[bold]x[/]")
    assert logged(("a", "1", "2"), title="[bold]x[/]").startswith("[bold]x[/]")
