"""The table of greedy answers."""

from quantgate.report.generation import HEADINGS, parting, print_generation
from quantgate.results import Comparability, Direction, Measurement, Score
from tests.report.printed import printed, table_rows

REFERENCE = "tiny-fp32-ort-cpu"
SAME = Comparability(protocol="p", items=4, ids_digest="a", corpus="b", tokenizer="c", plan="d")
ROWS = [
    {"name": "paragraph 0", "tokens": 8, "matched": 8, "identical": True},
    {"name": "paragraph 3", "tokens": 8, "matched": 2, "identical": False},
    {"name": "anatomy/1", "tokens": 4, "matched": 1, "identical": False},
    {"name": "anatomy/7", "tokens": 4, "matched": 0, "identical": False},
]


def measure(case="tiny-int4-ort-cpu", *, task="generation", rows=ROWS):
    figures = (("matched_share", 0.375), ("identical", 0.25))
    scores = tuple(
        Score(metric=metric, value=value, n=4, unit="fraction", direction=Direction.HIGHER)
        for metric, value in figures
    )
    return Measurement(
        case_id=case,
        task=task,
        scores=scores,
        comparability=SAME,
        identity={},
        detail={
            "reference": REFERENCE,
            "generations": rows,
            "ended": {"candidate": {"limit": 1, "string": 3}, "reference": {"string": 4}},
        },
    )


def test_row_holds_figures_partings_and_endings():
    lines = printed(print_generation, measure())
    assert lines[0].startswith("greedy answers beside the reference's")
    assert table_rows(lines) == [
        list(HEADINGS),
        [
            "tiny-int4-ort-cpu",
            REFERENCE,
            "37.50 %",
            "1 of 4",
            "token 2 (median), 1 (first)",
            "limit 1, string 3",
            "string 4",
        ],
    ]


def test_answers_that_never_part_say_so():
    assert parting(ROWS[:1]) == "nowhere"


def test_other_tasks_have_no_row_and_without_any_there_is_no_table():
    assert printed(print_generation, measure(task="mmlu")) == []
    assert printed(print_generation) == []


def test_fault_70_control_characters_and_markup_stay_text():
    text = "\n".join(printed(print_generation, measure("\x1b[31m[bold]tiny[/bold]")))
    assert "\x1b" not in text
    assert "[bold]" in text
