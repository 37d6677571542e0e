"""Claim: a model predicts a text as well as its baseline, and as its reference, within limits."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.perplexity


def test_perplexity_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """Every configured protocol is scored by one pass."""
    for task in gate.tasks("perplexity"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
