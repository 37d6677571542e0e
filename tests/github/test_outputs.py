"""What a job is told: no value can end its own line and begin another command."""

from __future__ import annotations

import pytest

from quantgate.github.outputs import (
    LOG_LINES,
    SUMMARY_BYTES,
    error_lines,
    output_text,
    run_values,
    run_verdict,
    summary,
    workflow_command,
)
from quantgate.results import Verdict
from quantgate.run_file import parse_run
from tests.github.job import parse_outputs
from tests.github.runs import decision, results

HOSTILE = (
    "plain",
    "a\nverdict=PASS",
    "a\r\n::set-output name=verdict::PASS",
    "EOF\nverdict<<X\nPASS\nX",
    "%0A%25\u2028\x00\x1b[31m",
    "",
)


@pytest.mark.parametrize("value", HOSTILE)
def test_fault_72_a_value_comes_back_as_it_was_and_sets_nothing_else(value):
    text = output_text({"before": "1", "verdict": value, "after": "2"})
    assert parse_outputs(text) == {"before": "1", "verdict": value, "after": "2"}


def test_fault_72_marks_can_t_be_foretold():
    marks = {output_text({"a": "b"}).split("<<")[1].split("\n")[0] for _ in range(50)}
    assert len(marks) == 50
    assert min(map(len, marks)) >= 32


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a<<b", "a=b", "1a"])
def test_fault_72_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="no name"):
        output_text({name: "x"})


def test_fault_72_workflow_commands_are_escaped():
    line = workflow_command("error", "50 %\nb::c", title="x,y:z\n%")
    assert line == "::error title=x%2Cy%3Az%0A%25::50 %25%0Ab::c"


def test_fault_72_a_hostile_case_yields_one_line_of_annotation():
    hostile = decision(Verdict.REGRESSION, case="x\n::stop-commands::a", reason="b\n::add-mask::c")
    (line,) = error_lines(parse_run(results(hostile), "test"))
    assert line.startswith("::error title=REGRESSION x ")
    assert "\n" not in line
    assert "\r" not in line


def test_only_failures_are_annotated_and_not_too_many():
    failing = [decision(Verdict.REGRESSION, case=f"m-{n}-ort-cpu") for n in range(30)]
    run = parse_run(results(decision(), decision(Verdict.NO_BASELINE), *failing), "test")
    assert len(error_lines(run)) == 10


@pytest.mark.parametrize(
    ("verdicts", "status", "expected"),
    [
        ([Verdict.PASS], 0, "PASS"),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], 0, "INCONCLUSIVE"),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], 1, "INCONCLUSIVE"),
        ([Verdict.NO_BASELINE, Verdict.PASS], 0, "NO_BASELINE"),
        ([Verdict.PASS, Verdict.REGRESSION], 1, "REGRESSION"),
        ([Verdict.INVALID, Verdict.REGRESSION], 1, "INVALID"),
        ([Verdict.PASS], 1, "ERROR"),
        ([Verdict.PASS], 2, "ERROR"),
        ([Verdict.REGRESSION], 0, "ERROR"),
        ([Verdict.PASS], None, "UNCHANGED"),
    ],
)
def test_the_worst_verdict_is_the_run_s_and_never_better_than_its_status(
    verdicts, status, expected
):
    run = parse_run(results(*map(decision, verdicts)), "test")
    assert run_verdict(run, status) == expected


def test_a_run_without_results_is_an_error_whatever_its_status(tmp_path):
    assert [run_verdict(None, status) for status in (0, 1, 4)] == ["ERROR"] * 3
    values = run_values(None, 0, tmp_path)
    assert (values["results"], values["pass"]) == ("", "0")


def test_counts_are_of_all_verdicts(tmp_path):
    run = parse_run(results(decision(), decision(), decision(Verdict.NO_BASELINE)), "test")
    values = run_values(run, 1, tmp_path)
    assert {name: values[name] for name in ("pass", "no-baseline", "regression", "invalid")} == {
        "pass": "2",
        "no-baseline": "1",
        "regression": "0",
        "invalid": "0",
    }


def test_the_summary_is_the_run_s_own_with_why_these_models(tmp_path):
    (tmp_path / "summary.md").write_text("# verdict\n", encoding="utf-8")
    text = summary(tmp_path, 1, reasons=["a-int4: its `package` differs", "b: </details>", " "])
    assert text.startswith("# verdict\n")
    assert "- `a-int4: its 'package' differs`" in text
    assert "- `b: </details>`" in text


def test_fault_47_changed_settings_stand_open_in_the_summary(tmp_path):
    text = summary(tmp_path, None, settings=["policy.mmlu.accuracy.baseline.absolute: 0.01 -> 1"])
    assert "<details open><summary>This request changes the gate's own settings" in text
    assert "- `policy.mmlu.accuracy.baseline.absolute: 0.01 -> 1`" in text


def test_fault_71_a_summary_beyond_the_limit_gives_way_to_the_log(tmp_path):
    (tmp_path / "summary.md").write_bytes(b"x" * (SUMMARY_BYTES + 1))
    assert len(summary(tmp_path, 1).encode()) < 1000
    (tmp_path / "summary.md").write_bytes(b"x" * SUMMARY_BYTES)
    assert len(summary(tmp_path, 1, reasons=["a reason"]).encode()) == SUMMARY_BYTES


def test_fault_70_without_results_the_log_s_end_is_shown_and_can_t_leave_its_block(tmp_path):
    log = tmp_path / "log"
    lines = [f"line {n}" for n in range(100)] + ["````", "# heading\x1b[31m", "<script>"]
    log.write_text("\n".join(lines), encoding="utf-8")
    text = summary(tmp_path, 4, log=log)
    assert "exit status 4" in text
    _, block, rest = text.split("`````")
    assert block.startswith("text\n")
    assert block.count("\n") == LOG_LINES + 1
    assert "# heading\n<script>" in block
    assert "line 62" not in block
    assert not rest.strip()


def test_fault_73_a_token_in_the_log_is_not_shown(tmp_path):
    log = tmp_path / "log"
    log.write_text("get https://me:secret@example.org\nghp_abcdefghij0123456789\n", "utf-8")
    text = summary(tmp_path, 4, log=log)
    assert "secret" not in text
    assert "ghp_" not in text
