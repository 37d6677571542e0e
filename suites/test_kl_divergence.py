"""Claim: a model's next-token distributions stay close to its reference's."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.kl_divergence


def test_kl_divergence_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """The divergence comes from the same pass as the perplexity."""
    for task in gate.tasks("kl_divergence"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
