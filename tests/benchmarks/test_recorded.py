"""A side that has a record isn't measured again; one whose record would be stale is."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.peers import recorded
from benchmarks.peers.inputs import Model
from benchmarks.peers.recorded import RecordedSide, record_path

# Writes a record and leaves a mark, so that runs can be counted.
MEASURES = """
import json, pathlib, sys
marks = pathlib.Path(sys.argv[1])
marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
pathlib.Path(sys.argv[3]).write_text(json.dumps({"seconds": 2.5, "count": 7}))
"""
FAILS = "raise SystemExit('no model here')"


@pytest.fixture
def marks(tmp_path):
    return tmp_path / "marks"


@pytest.fixture
def side(tmp_path, marks):
    command = (sys.executable, "-c", MEASURES, str(marks))
    return RecordedSide("olive-ort b1", command, lambda: tmp_path / "kept" / "olive.json")


def test_a_kept_record_is_read_and_nothing_is_run(side, marks, tmp_path):
    first = side.run(tmp_path)
    again = side.run(tmp_path)
    assert first == again
    assert marks.read_text("utf-8") == "x"
    assert (first["seconds"], first["count"]) == (2.5, 7)
    assert first["made"].endswith(" UTC")


def test_without_a_place_every_run_measures(side, marks, tmp_path):
    unkept = replace(side, place=None)
    assert unkept.run(tmp_path)["seconds"] == unkept.run(tmp_path)["seconds"] == 2.5
    assert marks.read_text("utf-8") == "xx"


def test_a_removed_record_is_measured_again(side, marks, tmp_path):
    side.run(tmp_path)
    (tmp_path / "kept" / "olive.json").unlink()
    side.run(tmp_path)
    assert marks.read_text("utf-8") == "xx"


def test_a_failed_side_is_not_kept(side, tmp_path):
    failing = replace(side, command=(sys.executable, "-c", FAILS))
    assert "no model here" in failing.run(tmp_path)["failed"]
    assert not (tmp_path / "kept" / "olive.json").exists()


def test_a_record_is_for_one_side_model_task_and_environment(tmp_path):
    told = {
        "side": "olive-ort b1",
        "model": "a" * 64,
        "asked": {"share": 10, "threads": 2},
        "ran_with": {"olive-ai": "0.13.0"},
    }
    others = [
        {"side": "olive-ort b8"},
        {"model": "b" * 64},
        {"asked": {"share": 20, "threads": 2}},
        {"ran_with": {"olive-ai": "0.13.1"}},
    ]
    paths = [record_path(tmp_path, **{**told, **other}) for other in ({}, *others)]
    assert len(set(paths)) == len(paths)
    assert record_path(tmp_path, **told) == paths[0]
    assert paths[0].name.startswith("olive-ort_b1-aaaaaaaaaaaa-")
    assert all(path.parent == tmp_path for path in paths)


def test_a_model_is_known_by_its_files(tiny_folder, other_folder, hugging_face_folder):
    def digest(package):
        return recorded.model_digest(Model("fp32", hugging_face_folder, package, package))

    assert digest(tiny_folder) != digest(other_folder)
    moved = Model("fp32", hugging_face_folder, tiny_folder, other_folder)
    assert recorded.model_digest(moved) == digest(tiny_folder)


def test_an_environment_tells_its_versions():
    facts = recorded.environment_facts(Path(sys.executable))
    own = dict(recorded.own_facts())
    assert facts == own
    assert json.loads(json.dumps(own)) == own
    assert own["numpy"]
