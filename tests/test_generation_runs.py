"""Greedy answers under the gate: stored, held against, told."""

from __future__ import annotations

import json

import pytest

from tests.command_line import Workspace

PASSED, FAILED = 0, 1
CASE = "tiny-int4-ort-cpu"
WORDS = ("-m", "generation")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, built, mmlu_folder, text_file):
    """A workspace with baselines of the generation alone."""
    folder = tmp_path_factory.mktemp("generation")
    found = Workspace(
        folder / "workspace",
        reference=built["fp32"],
        candidate=built["int4"],
        mmlu=mmlu_folder,
        text=text_file,
        cache=folder / "cache",
    )
    outcome = found.run(*WORDS, "--gate-update-baselines", "--gate-reason=first")
    assert outcome.status == PASSED, outcome.text
    return found


def test_unchanged_candidate_passes_and_is_told(workspace):
    outcome = workspace.run(*WORDS, "-n", "2", "--gate-sequential")
    assert outcome.status == PASSED, outcome.text
    found = outcome.decisions()
    assert set(found) == {(CASE, "generation", "matched_share")}, (
        "a reference has no answers to match"
    )
    decision = found[CASE, "generation", "matched_share"]
    assert decision["verdict"] == "PASS"
    assert decision["reference"] == 1.0
    assert "greedy answers beside the reference's" in outcome.text
    (measured,) = [m for m in outcome.results["measurements"] if m["task"] == "generation"]
    assert len(measured["detail"]["generations"]) == 15
    stored = json.loads((workspace.folder / "baselines/tiny/int4-ort-cpu.json").read_bytes())
    entry = stored["tasks"]["generation"]
    assert entry["items"]["n"] == 15
    assert entry["metrics"]["matched_share"]["value"] == decision["value"]


def test_candidate_that_parts_too_soon_is_a_regression_against_the_reference(workspace):
    old = "reference = { absolute = 1.0 }"
    workspace.edit(old, "reference = { absolute = 0.01 }")
    try:
        outcome = workspace.run(*WORDS)
    finally:
        workspace.edit("reference = { absolute = 0.01 }", old)
    (decision,) = outcome.decisions().values()
    assert outcome.status == FAILED
    assert (decision["verdict"], decision["against"]) == ("REGRESSION", "reference")
    assert decision["evidence"]["method"] == "Student's t, 14 degrees of freedom, 15 generations"
    assert decision["evidence"]["clusters"] == 15
    assert "matched_share" in outcome.text
