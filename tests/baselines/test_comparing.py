"""Two results are comparable only where every field that makes them so is equal."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from quantgate.baselines.store import compare_comparability
from quantgate.results import Comparability
from tests.storing import COMPARABILITY


def test_fault_42_difference_field_by_field():
    now = replace(COMPARABILITY, protocol="lm_eval 0-shot", items=79, ids_digest="f" * 64)
    assert compare_comparability(COMPARABILITY, COMPARABILITY) == []
    assert compare_comparability(COMPARABILITY, now) == [
        "protocol: baseline hendrycks 5-shot loglikelihood, now lm_eval 0-shot",
        "items: baseline 80, now 79",
        "ids digest: baseline aaaaaaaaaaaa, now ffffffffffff",
    ]


def test_fault_42_digests_that_begin_alike_are_shown_whole():
    now = replace(COMPARABILITY, corpus="b" * 63 + "0")
    (line,) = compare_comparability(COMPARABILITY, now)
    assert "b" * 63 + "0" in line


@pytest.mark.parametrize("name", [field.name for field in fields(Comparability)])
def test_fault_42_no_field_may_differ(name):
    other = 81 if name == "items" else "other"
    (line,) = compare_comparability(COMPARABILITY, replace(COMPARABILITY, **{name: other}))
    assert line.startswith(f"{name.replace('_', ' ')}: baseline ")
    assert line.endswith(f", now {other}")
