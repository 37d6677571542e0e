"""Points of the growth curves: both sides answer the same, and curves hold what was measured."""

import argparse
import json
import math
import sys

import numpy as np
import pytest

from benchmarks import growth, growth_side
from benchmarks.growth import GROWTHS, Point, largest_difference, rows_by_growth
from benchmarks.growth_page import page_content
from benchmarks.growth_side import FULL, OURS, SIDES, WORK
from benchmarks.peers.processes import Side
from benchmarks.peers.record import read_record
from benchmarks.random_models import SHAPES
from quantgate.packages.package import open_package
from tests.straightforward import PlainModel
from tests.tiny_models import Tiny, write_package

VOCABULARY = 268


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("tiny"), Tiny(context=2048))


@pytest.mark.parametrize(("work", "count"), [("questions", 3), ("windows", 1)])
def test_both_sides_are_the_log_probabilities_of_full_forwards(folder, work, count):
    requests = WORK[work](count, VOCABULARY)
    plain = PlainModel(folder)
    known = {ids: plain.logprobs(ids) for ids in {request.ids for request in requests}}
    expected = [
        known[request.ids][position, target]
        for request in requests
        for position, target in zip(request.scored, request.targets, strict=True)
    ]
    for side in (OURS, FULL):
        found = SIDES[side](open_package(folder), 1).logprobs(requests)
        assert np.abs(np.array(found) - expected).max() < 1e-4, side


@pytest.mark.parametrize("side", [OURS, FULL])
def test_a_side_writes_what_it_measured(folder, tmp_path, monkeypatch, side):
    path = tmp_path / "record.json"
    point = Point("questions", 2, folder, "questions", 2)
    command = [*point.side(side, 1).command[2:], "--json", str(path)]
    monkeypatch.setattr(sys, "argv", command)
    growth_side.main()
    record = read_record(path)
    assert (record["side"], record["measure"], record["count"]) == (side, "questions", 2)
    contexts = {request.context for request in WORK["questions"](2, VOCABULARY)}
    assert record["tokens"] == sum(map(len, contexts))
    assert record["seconds"] > 0
    assert record["mean_logprob"] < 0
    assert {"beyond_mib", "peak_mib"} <= record["memory"].keys()


def record(seconds: float, mib: float, mean: float = -5.0) -> dict:
    return {
        "seconds": seconds,
        "memory": {"beyond_mib": mib},
        "tokens": 2048,
        "mean_logprob": mean,
    }


def point(name: str, x: float, count: int) -> Point:
    return Point(name, x, None, "windows", count)


def test_rows_are_medians_and_highest_peaks():
    points = [point("windows", 2, 2), point("windows", 4, 4)]
    records = {
        points[0].name(OURS): [record(2.0, 10.0), record(1.0, 30.0), record(9.0, 20.0)],
        points[0].name(FULL): [record(8.0, 100.0)] * 3,
        points[1].name(OURS): [record(1.0, 10.0)],  # the other side failed
    }
    (row,) = rows_by_growth(points, records)["windows"]
    assert (row["x"], row[f"{OURS} s"], row[f"{OURS} MiB"]) == (2, 2.0, 30.0)
    assert (row[f"{FULL} s"], row[f"{FULL} MiB"]) == (8.0, 100.0)


def test_curves_of_counts_tell_seconds_and_those_of_widths_time_by_token():
    points = [point("windows", 2, 2), point("vocabulary", 8192, 2)]
    records = {
        each.name(side): [record(seconds, mib)]
        for each in points
        for side, seconds, mib in ((OURS, 2.048, 10.0), (FULL, 8.192, 100.0))
    }
    content = page_content(GROWTHS, rows_by_growth(points, records))
    time, memory, by_token, _ = content["curves"]
    assert time["series"] == {OURS: [[2, 2.048]], FULL: [[2, 8.192]]}
    assert memory["series"] == {OURS: [[2, 10.0]], FULL: [[2, 100.0]]}
    assert not time["log_x"]
    assert by_token["log_x"]
    assert by_token["series"][OURS][0] == [8192, pytest.approx(1.0)]
    assert by_token["series"][FULL][0] == [8192, pytest.approx(4.0)]
    (row,) = content["tables"][0]["rows"]
    assert row["ratio"] == pytest.approx(4.0)
    assert row[f"{OURS} ms/window"] == pytest.approx(1024)


def test_sides_that_differ_are_found():
    points = [point("windows", 2, 2), point("windows", 4, 4)]
    records = {each.name(side): [record(1, 1)] for each in points for side in (OURS, FULL)}
    assert largest_difference(points, records) == 0
    records[points[1].name(FULL)] = [record(1, 1, -5.25)]
    assert largest_difference(points, records) == 0.25
    assert largest_difference(points, {}) == 0
    records[points[0].name(OURS)] = [record(1, 1, math.nan)]
    assert math.isnan(largest_difference(points, records))


def test_points_cover_what_they_are_asked_for(folder, tmp_path, monkeypatch):
    built = []

    def build(source, precisions, cache):
        built.append(source)
        return {"fp32": open_package(folder)}

    def model(train_on, cache, size, vocabulary=None):
        return tmp_path / f"{size}-{vocabulary}"

    monkeypatch.setattr(growth, "build_packages", build)
    monkeypatch.setattr(growth, "random_model", model)
    monkeypatch.setattr(growth, "model_for_ids", lambda _, cache, size: tmp_path / size)
    options = argparse.Namespace(
        sizes=list(SHAPES), only=[each.name for each in GROWTHS], cache=tmp_path, train_on=None
    )
    points = list(growth._points(options))
    xs = {each.name: [p.x for p in points if p.growth == each.name] for each in GROWTHS}
    assert xs["questions"] == [10, 20, 50, 100, 200]
    assert xs["windows"] == [1, 2, 4, 8, 16]
    assert xs["vocabulary"] == [2048, 8192, 32768, 65536, 151936]
    assert [round(x) for x in xs["model"]] == [3, 30, 135]
    names = [path.name for path in dict.fromkeys(built)]
    assert names == ["30m", *(f"3m-{x}" for x in xs["vocabulary"]), "3m", "135m"]
    assert len({p.name(side) for p in points for side in (OURS, FULL)}) == 2 * len(points)


def test_command_runs_its_sides_and_fails_where_they_differ(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "QUESTIONS", (1, 3))
    monkeypatch.setattr(growth, "model_for_ids", lambda *_: folder)
    monkeypatch.setattr(growth, "build_packages", lambda *_: {"fp32": open_package(folder)})
    words = ["growth", "--sizes", "3m", "--only", "questions", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(tmp_path / "found.json")])
    assert growth.main() == 0
    found = json.loads((tmp_path / "found.json").read_text("utf-8"))
    assert [row["x"] for row in found["results"]["rows"]["questions"]] == [1, 3]
    assert len(found["page"]["curves"]) == 2
    assert found["options"]["only"] == ["questions"]
    monkeypatch.setattr(growth, "in_turn", lambda *_: found["results"]["runs"])
    monkeypatch.setattr(growth, "MAX_DELTA", 0.0)
    assert growth.main() == 1
    assert "FAILED" in capsys.readouterr().err


def test_a_point_without_one_of_its_sides_fails_the_command(folder, monkeypatch, capsys):
    points = [point("windows", 2, 2), point("windows", 4, 4)]
    runs = {each.name(side): [record(1, 1)] for each in points for side in (OURS, FULL)}
    runs[points[1].name(FULL)] = [{"failed": "no memory"}]
    monkeypatch.setattr(growth, "_points", lambda options: points)
    monkeypatch.setattr(Point, "side", lambda self, name, _: Side(self.name(name), ()))
    monkeypatch.setattr(growth, "in_turn", lambda *_: runs)
    monkeypatch.setattr(sys, "argv", ["growth"])
    assert growth.main() == 1
    assert f"FAILED: {points[1].name(FULL)} failed" in capsys.readouterr().err


def test_tables_name_the_model():
    found = {each.name: each.on for each in growth._measured_on(["3m", "30m", "135m"])}
    assert found["questions"] == found["windows"] == "the model of 30m"
    assert found["vocabulary"] == "the body of the model of 3m, 2 windows"
    assert found["model"] == "3m, 30m, 135m, 2 windows"
