"""The precision of layers on its way from packages into a run's results and its terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.packages.package import open_package
from quantgate.packages.precision_map import KEY, WHY, package_map, read_map
from quantgate.precisions import Precisions
from quantgate.sessions import Execution, Sessions
from tests.command_line import Workspace
from tests.mixing import mix
from tests.planted_runs import measure, score
from tests.running import case_of

INT4, FP32 = "tiny-int4-ort-cpu", "tiny-fp32-ort-cpu"
MEASUREMENT = measure([score("accuracy", 0.5)], detail={"flips": {"changed": 3}})


@pytest.fixture
def precisions(tmp_path):
    return Precisions(Sessions(tmp_path / "cache", Execution()))


def test_a_measurement_carries_the_map_of_its_package(precisions, built):
    found = precisions.described(case_of(built["int4"]), MEASUREMENT)
    assert read_map(found.detail[KEY]) == package_map(open_package(built["int4"]))
    assert found.detail["flips"] == {"changed": 3}
    assert KEY not in MEASUREMENT.detail


def test_a_level_that_the_run_was_told_is_the_maps(precisions, built):
    case = replace(case_of(built["int4"]), options_json='{"accuracy_level": 1}')
    told = precisions.described(case, MEASUREMENT).detail[KEY]
    assert told[0]["cells"]["qkv"] == "int4 b32 acc1"


def test_each_package_is_read_once(precisions, built, monkeypatch):
    opened = []

    def open_once(folder):
        opened.append(folder)
        return open_package(folder)

    monkeypatch.setattr("quantgate.precisions.open_package", open_once)
    for _ in range(3):
        for name in ("int4", "fp32"):
            precisions.described(case_of(built[name]), MEASUREMENT)
    assert opened == [built["int4"], built["fp32"]]


def test_what_is_no_package_has_no_map_and_does_no_harm(precisions, hugging_face_folder, tmp_path):
    torch = replace(case_of(hugging_face_folder), backend="torch")
    assert precisions.described(torch, MEASUREMENT) is MEASUREMENT
    assert precisions.described(case_of(tmp_path / "nothing"), MEASUREMENT) is MEASUREMENT


def test_a_run_tells_layers_that_differ_once_and_keeps_all_maps(
    tiny_folder, mmlu_folder, text_file, tmp_path
):
    candidate = mix(tiny_folder, tmp_path / "mixed", "v_0", "v_1")
    workspace = Workspace(
        tmp_path / "workspace", reference=tiny_folder, candidate=candidate, mmlu=mmlu_folder,
        text=text_file, cache=tmp_path / "cache",
    )  # fmt: skip
    outcome = workspace.run("-m", "perplexity or kl_divergence", "-k", "int4")
    line = f"note: tiny-int4: Q, K and V differ in layers 0-1 (q fp32, k fp32, v int4 b32): {WHY}"
    assert outcome.text.splitlines().count(line) == 1
    expected = {
        INT4: package_map(open_package(candidate)),
        FP32: package_map(open_package(tiny_folder)),
    }
    found = outcome.results["measurements"]
    assert {each["case_id"] for each in found} == {INT4, FP32}
    for each in found:
        assert read_map(each["detail"][KEY]) == expected[each["case_id"]]
    summary = (workspace.folder / "reports" / "summary.md").read_text("utf-8")
    assert "Q, K and V differ in layers 0-1" in summary
