"""Claim: a model generates and reads as fast beside its reference as it should."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.gate import Gate

pytestmark = pytest.mark.speed


def test_speed_within_limits(gate: Gate, benchmark: Any, subtests: pytest.Subtests) -> None:
    """Rounds of candidate and reference take turns; ratios are gated, times are told."""
    for task in gate.tasks("speed"):
        measurement = gate.time(task, benchmark)
        for metric in gate.gated(measurement):
            with subtests.test(task=task, metric=metric):
                gate.check(measurement, metric)
