"""Claim: the same weights give the same answers on every engine they may ship on."""

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.agreement


def test_engines_agree_within_limits(gate: Gate, subtests: pytest.Subtests) -> None:
    """The same questions and text on each; what batching alone changes is the noise."""
    for task in gate.tasks("agreement"):
        measurement = gate.measure(task)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
