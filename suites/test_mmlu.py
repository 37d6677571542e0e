"""Claim: a model answers as many questions as its baseline, and as its reference, within limits."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.mmlu


def test_mmlu_accuracy_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """One pass answers for the whole, for each category and for each subject."""
    for task in gate.tasks("mmlu"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
