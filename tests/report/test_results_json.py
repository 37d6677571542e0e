"""`results.json`: complete, strict, whole or not there."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from quantgate.report import results_json
from quantgate.report.results_json import RunFacts, write_results
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone(timedelta(hours=14)))
RUN = RunFacts(
    started=START, ended=START + timedelta(seconds=90), options={"--gate-strict": True},
    configuration={"root": PurePosixPath("größe/模型"), "limits": (1, 2)},
    provenance={"packages": {"numpy": "2"}},
)  # fmt: skip
SCORE = Score(
    metric="accuracy", value=1 / 3, n=570, unit="fraction", direction=Direction.HIGHER, stderr=0.02
)
MEASUREMENT = Measurement(
    case_id="tiny-int4-ort-cpu", task="mmlu", scores=(SCORE,), identity={"digest": "x"},
    comparability=Comparability(
        protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d"
    ),
    detail={"subjects": {"anatomy": np.float64(0.5)}, "flips": [np.int64(3)]},
)  # fmt: skip
DECISION = Decision(
    case_id="tiny-int4-ort-cpu", task="mmlu", metric="accuracy", verdict=Verdict.REGRESSION,
    value=1 / 3, reason="in words", tolerance=Tolerance(kind="absolute", value=0.01),
)  # fmt: skip


def strict(path: Path):
    def refuse(literal):
        raise AssertionError(f"{literal} is not JSON")

    return json.loads(path.read_bytes().decode("utf-8"), parse_constant=refuse)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ergebnisse größe" / "results.json"


def test_everything_is_there_unrounded(path):
    write_results(path, RUN, [MEASUREMENT], [DECISION])
    document = strict(path)
    assert document["schema_version"] == 1
    (measurement,), (decision,) = document["measurements"], document["decisions"]
    assert measurement["scores"][0]["value"] == 1 / 3
    assert measurement["scores"][0]["direction"] == "higher"
    assert measurement["detail"] == {"subjects": {"anatomy": 0.5}, "flips": [3]}
    assert set(measurement) == set(Measurement.__slots__)
    assert set(decision) == set(Decision.__slots__)
    assert decision["verdict"] == "REGRESSION"
    assert decision["tolerance"] == {"kind": "absolute", "value": 0.01, "at_risk": None}
    assert document["run"]["options"] == {"--gate-strict": True}
    assert document["run"]["configuration"] == {"root": "größe/模型", "limits": [1, 2]}


def test_fault_75_times_are_utc(path):
    write_results(path, RUN, [], [])
    run = strict(path)["run"]
    assert (run["started"], run["ended"]) == (
        "2026-01-01T13:04:05.678Z",
        "2026-01-01T13:05:35.678Z",
    )
    naive = replace(RUN, ended=START.replace(tzinfo=None))
    with pytest.raises(ValueError, match=r"run\.ended needs a time zone"):
        write_results(path, naive, [], [])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_figures_that_are_not_finite_are_null(path, value):
    write_results(path, RUN, [replace(MEASUREMENT, detail={"x": value})], [])
    assert strict(path)["measurements"][0]["detail"] == {"x": None}


def test_fault_57_failed_serialization_keeps_the_old_file(path):
    write_results(path, RUN, [MEASUREMENT], [DECISION])
    before = path.read_bytes()
    broken = replace(MEASUREMENT, detail={"x": object()})
    with pytest.raises(TypeError, match=r"measurements\[1\]\.detail\.x is a object"):
        results_json.write_results(path, RUN, [MEASUREMENT, broken], [DECISION])
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_fault_73_credentials_are_replaced(path):
    options = {"--gate-hub": "https://user:secret@host/x", "--token": "hf_abcdefghijklmnopq"}
    facts = replace(RUN, options=options, started=START.astimezone(UTC))
    write_results(path, facts, [], [replace(DECISION, reason="at https://a:b@c/d")])
    text = path.read_text("utf-8")
    assert "secret" not in text
    assert "hf_abc" not in text
    assert "https://***@c/d" in text


def test_fault_70_hostile_text_is_kept_as_data(path):
    hostile = "\x1b[31m</script><b>|@everyone\n::error::\udcff"
    write_results(path, RUN, [], [replace(DECISION, reason=hostile)])
    assert strict(path)["decisions"][0]["reason"] == hostile.replace("\udcff", "\\udcff")
