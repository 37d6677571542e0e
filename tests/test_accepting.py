"""Accepting a change by the very command that the summary prints."""

import json
import shlex

from tests.test_command_line import BASELINE, FAILED, PASSED, edit_baseline


def tasks_in(workspace):
    return json.loads((workspace.folder / BASELINE).read_bytes())["tasks"]


def test_the_summarys_command_accepts_the_failing_case_and_no_other(gated):
    def another(tasks):
        tasks["mmlu"]["metrics"]["accuracy"]["value"] = 2.0

    edit_baseline(gated, another)
    before = tasks_in(gated)
    others = {
        path: path.read_bytes()
        for path in (gated.folder / "baselines").rglob("*.*")
        if "int4" not in path.name
    }
    assert others
    assert gated.run("-m", "mmlu").status == FAILED
    summary = (gated.folder / "reports" / "summary.md").read_text(encoding="utf-8")
    assert "Its package is the baseline's; the environment is the baseline's." in summary
    (line,) = (line for line in summary.splitlines() if "--gate-update-baselines" in line)
    words = shlex.split(line)
    assert words[:6] == ["quantgate", "run", "-m", "mmlu", "-k", "[tiny-int4-ort-cpu]"]
    assert words[-1] == "..."
    accepted = gated.run(*words[2:-1], "it was meant")
    assert accepted.status == PASSED, accepted.text
    after = tasks_in(gated)
    assert after["mmlu"]["reason"] == "it was meant"
    assert {**after, "mmlu": before["mmlu"]} == before, "other suites keep what they had"
    assert {path: path.read_bytes() for path in others} == others
    assert gated.run("-m", "mmlu").status == PASSED
