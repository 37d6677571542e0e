"""What crosses to another process and into the journal comes back as it was."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from quantgate.records import from_record, to_record
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

SCORE = Score(
    metric="accuracy",
    value=0.8125,
    n=16,
    unit="fraction",
    direction=Direction.HIGHER,
    stderr=0.1,
    paired_delta=-0.01,
    clusters=3,
)
MEASUREMENT = Measurement(
    case_id="m-int4-ort-cpu",
    task="mmlu",
    scores=(SCORE,),
    comparability=Comparability(
        protocol="p", items=16, ids_digest="a", corpus="b", tokenizer="c", plan="d"
    ),
    identity={"package": "e"},
    detail={"subjects": {"x": {"n": 1}}},
    warnings=("w",),
)
DECISION = Decision(
    case_id="m-int4-ort-cpu",
    task="mmlu",
    metric="accuracy",
    verdict=Verdict.REGRESSION,
    value=0.8125,
    reason="worse",
    tolerance=Tolerance(kind="absolute", value=0.01),
    notes=("n",),
)
BARE = Decision(
    case_id="m-int4-ort-cpu",
    task="mmlu",
    metric="accuracy",
    verdict=Verdict.INVALID,
    value=None,
    reason="no number",
)


@pytest.mark.parametrize("value", [MEASUREMENT, DECISION, BARE])
def test_records_survive_json(value):
    assert from_record(json.loads(json.dumps(to_record(value)))) == value


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_figure_that_is_not_finite_takes_none_along(value):
    broken = replace(SCORE, metric="worse", value=value, stderr=value, noise=value)
    detail = {"subjects": [{"x": value, "y": (1, value)}]}
    found = replace(MEASUREMENT, scores=(broken, SCORE), detail=detail)
    back = from_record(json.loads(json.dumps(to_record(found), allow_nan=False)))
    assert math.isnan(back.scores[0].value)
    assert (back.scores[0].stderr, back.scores[0].noise) == (None, None)
    assert back.scores[1] == SCORE
    assert back.detail == {"subjects": [{"x": None, "y": [1, None]}]}


def test_a_record_of_another_kind_is_refused():
    with pytest.raises((KeyError, TypeError)):
        from_record({"kind": "decision", "value": {}})
