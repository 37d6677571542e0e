"""Claim: a model takes as little memory and disk beside its reference as it should."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.memory


def test_memory_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """Each model by itself in a fresh process, while it loads and while it generates."""
    for task in gate.tasks("memory"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
