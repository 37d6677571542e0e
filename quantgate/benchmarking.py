"""pytest-benchmark beside the gate: it times the candidate's generations and keeps the figures.

It is switched off under pytest-xdist and by `--benchmark-disable`, and may be absent (`-p
no:benchmark`); the gate measures all the same, by its own clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from quantgate.cases import Case
    from quantgate.results import Measurement
    from quantgate.tasks.turns import Pace


class NoBenchmark:
    """Stands in for pytest-benchmark's fixture where that plugin is absent."""

    @pytest.fixture
    def benchmark(self) -> None:
        """Nothing to time with."""


def pace_of(benchmark: Any) -> Pace:
    """The pace of a `benchmark` fixture: one round of its own for each; None is no fixture."""
    from quantgate.tasks.turns import plain_pace

    if benchmark is None:
        return plain_pace

    def pedantic(work: Callable[[], None], before: Callable[[], None], rounds: int) -> None:
        if benchmark.enabled:
            benchmark.pedantic(work, setup=before, rounds=rounds, iterations=1, warmup_rounds=0)
        else:  # It calls what it gets once, whatever the rounds; never called, it warns.
            benchmark.pedantic(plain_pace, args=(work, before, rounds))

    return pedantic


def extra_info(case: Case, measurement: Measurement) -> dict[str, Any]:
    """What a saved benchmark should say of itself, JSON-ready."""
    detail = measurement.detail
    anchor = detail["reference_identity"]
    return {
        "model": case.model,
        "variant": case.variant,
        "precision": case.precision,
        "backend": case.backend,
        "provider": case.provider,
        "protocol": measurement.comparability.protocol,
        "ids_digest": measurement.comparability.ids_digest,
        "package": measurement.identity.get("package"),
        "reference": detail["reference"],
        "reference_package": anchor.get("package"),
        "figures": {score.metric: score.value for score in measurement.scores},
        "quartiles": detail["quartiles"],
        "paired_rounds": detail["paired_rounds"],
    }
