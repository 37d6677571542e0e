"""Claim: a model's greedy answers stay those of its reference as far as its limits say."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.generation


def test_generation_matches_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """Passages continued, questions answered, and dialogs that keep what was said before."""
    for task in gate.tasks("generation"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
