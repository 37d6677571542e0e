"""The report's part on perplexity along the text: a change too small for two decimals is one."""

import re

import pytest

from quantgate.report.sections.along import perplexity
from quantgate.report.sections.parts import Numbering
from quantgate.report.sections.sides import Sides
from tests.report import planted_run
from tests.report.planted_costs import FP32, INT4, run_of


def plot(shift: float):
    """The chart of a candidate whose windows are `shift` to 1.4 times that nats a token worse."""
    run = run_of(planted_run.perplexity(FP32, 0.0), planted_run.perplexity(INT4, shift))
    ((found,),) = (part.plots for part in perplexity(Sides(run), Numbering()))
    return found


@pytest.mark.parametrize("shift", [1e-5, -1e-5, 1e-8, -1e-8])
def test_a_small_change_is_no_zero_and_has_its_sign(shift):
    sign = "-" if shift < 0 else "+"
    changes = [row[-1] for row in plot(shift).table.rows]
    assert len(changes) == planted_run.WINDOWS
    for change in changes:
        assert change.startswith(sign)
        assert abs(float(change.removesuffix(" %"))) == pytest.approx(abs(shift) * 120, rel=0.2)


def test_no_change_is_a_zero():
    assert {row[-1] for row in plot(0.0).table.rows} == {"+0.00 %"}


def test_a_small_change_over_the_text_has_its_digits():
    (told,) = plot(-1e-5).remarks
    assert re.match(
        rf"{INT4}: -0\.00\d+ % over the text, 95 % interval -0\.00\d+ to -0\.00\d+", told
    )
