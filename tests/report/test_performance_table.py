"""The tables of speed and memory."""

from quantgate.report.performance import print_performance
from tests.report.planted_costs import FP32, INT4, measurement
from tests.report.printed import printed, table_rows

ITSELF = {"reference": FP32}
SPEEDS = {
    "generation_tokens_per_s": 182.4,
    "first_token_s": 0.01234,
    "prefill_tokens_per_s.512": 4321.0,
    "prefill_tokens_per_s.128": 5678.9,
    "generation_speedup": 1.853,
    "first_token_speedup": 0.5,
    "prefill_speedup.512": 2.0,
    "prefill_speedup.128": 1.0,
}


def rows(*measurements) -> list[list[str]]:
    return table_rows(printed(print_performance, *measurements))


def test_speeds_stand_beside_their_ratios_and_a_reference_has_none():
    without = {k: v for k, v in SPEEDS.items() if not k.endswith(".512")}
    found = rows(
        measurement(INT4, "speed", **SPEEDS), measurement(FP32, "speed", ITSELF, **without)
    )
    assert found == [
        ["case", "generation", "first token, ms", "prefill 128", "prefill 512"],
        [INT4, "182 (1.85 x)", "12.3 (0.500 x)", "5679 (1.00 x)", "4321 (2.00 x)"],
        [FP32, "182", "12.3", "5679", "-"],
    ]


def test_nearly_as_fast_is_not_as_fast():
    figures = {"generation_tokens_per_s": 182.4, "generation_speedup": 0.9996}
    (_, (_, told, _)) = rows(measurement(INT4, "speed", **figures))
    assert told == "182 (0.9996 x)"


def test_memory_has_a_table_of_its_own():
    figures = {"peak_mib": 812.0, "loading_mib": 1024.0, "resident_mib": 790.0, "disk_mib": 5.151}
    savings = {"peak_saving": 2.44, "loading_saving": 1.0, "resident_saving": 3.0, "disk_saving": 4}
    assert rows(measurement(INT4, "memory", **figures, **savings)) == [
        ["case", "peak", "loading", "loaded", "on disk"],
        [INT4, "812 (2.44 x)", "1024 (1.00 x)", "790 (3.00 x)", "5.15 (4.00 x)"],
    ]


def test_other_tasks_have_no_table():
    assert rows(measurement(INT4, "mmlu", **SPEEDS)) == []


def test_fault_70_control_characters_and_markup_stay_text():
    lines = printed(print_performance, measurement("\x1b[31m[bold]tiny[/bold]", "speed", **SPEEDS))
    assert "\x1b" not in "".join(lines)
    assert "[bold]" in "".join(lines)
