"""The suites' markers, and what a collected test is about."""

from __future__ import annotations

from typing import Any

import pytest

from quantgate.cases import Case

SUITE_MARKERS = {
    "mmlu": "multiple-choice accuracy",
    "perplexity": "perplexity of a text",
    "kl_divergence": "divergence from the reference",
    "agreement": "agreement of engines on the same weights",
    "generation": "greedy answers beside the reference's",
    "speed": "speed of generation and prefill beside the reference's",
    "memory": "memory and size on disk beside the reference's",
}
OTHER_MARKERS = {
    "gpu": "needs a GPU and is skipped without one",
    "slow": "takes minutes; deselect with -m 'not slow'",
}
RECORDS = pytest.StashKey[list[dict[str, Any]]]()


def suite_of(item: pytest.Item) -> str | None:
    """The suite whose marker a test of the fixture `gate` carries, or None.

    The names are common words: other tests may be marked with them and have a `case` of their own.
    """
    if not {"gate", "case"} <= set(getattr(item, "fixturenames", ())):
        return None
    return next((name for name in SUITE_MARKERS if item.get_closest_marker(name)), None)


def case_of(item: pytest.Item) -> Case | None:
    """The case of a gate test, or None for any other test."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or suite_of(item) is None:
        return None
    case = callspec.params.get("case")  # no case where the suite has none to measure
    return case if isinstance(case, Case) else None
