"""The table of engines."""

from quantgate.report.agreement import COLUMNS, print_agreement
from quantgate.results import Comparability, Direction, Measurement, Score
from tests.report.printed import printed, table_rows

ANCHOR = "tiny-fp32-torch-cpu"
SAME = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")


def measure(case, largest=0.00234, *, task="agreement", noise=0.001, same=0.995):
    figures = (
        ("max_difference", largest, Direction.LOWER, noise),
        ("mean_difference", largest / 10, Direction.LOWER, None),
        ("top1_agreement", same, Direction.HIGHER, None),
    )
    scores = tuple(
        Score(metric=metric, value=value, n=1559, unit="nats", direction=direction, noise=floor)
        for metric, value, direction, floor in figures
    )
    return Measurement(
        case_id=case,
        task=task,
        scores=scores,
        comparability=SAME,
        identity={},
        detail={"anchor": ANCHOR},
    )


def test_rows_hold_engine_anchor_and_figures():
    lines = printed(
        print_agreement,
        measure(ANCHOR, 0.0, noise=None),
        measure("tiny-fp32-ort-cpu"),
    )
    assert lines[0].startswith("differences of log-probabilities between engines, in nats")
    assert table_rows(lines) == [
        [column.heading for column in COLUMNS],
        [ANCHOR, "itself", "0.0e+00", "0.0e+00", "-", "99.50 %", "1,559 targets"],
        ["tiny-fp32-ort-cpu", ANCHOR, "2.3e-03", "2.3e-04", "1.0e-03", "99.50 %", "1,559 targets"],
    ]  # fmt: skip


def test_one_target_that_differs_is_seen():
    lines = printed(print_agreement, measure("tiny-fp32-ort-cpu", same=63_999 / 64_000))
    assert table_rows(lines)[1][5] == "99.998 %"


def test_other_tasks_have_no_row_and_without_any_there_is_no_table():
    assert printed(print_agreement, measure("tiny-fp32-ort-cpu", task="mmlu")) == []
    assert printed(print_agreement) == []


def test_fault_70_control_characters_and_markup_stay_text():
    lines = printed(print_agreement, measure("\x1b[31m[bold]tiny[/bold]"))
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "[bold]" in text
