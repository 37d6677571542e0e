"""Provenance: facts, drift, and nothing secret."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from quantgate import __version__, provenance
from quantgate.backends import torch as torch_engine
from quantgate.backends.ortgenai import OrtGenaiBackend
from quantgate.packages.package import open_package
from tests.running import backend_of
from tests.tiny_torch import write_model


@pytest.fixture
def bare(monkeypatch):
    for name in {*provenance.CI_NAMES, *provenance._CI_MARKS}:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_facts_are_json_and_true(bare):
    facts = provenance.collect()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["quantgate"] == __version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["packages"]["numpy"] == metadata.version("numpy")
    assert facts["cpu"]["cores"] >= 1
    assert facts["ci"] == {}


def test_absent_packages_are_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("numpy", "quantgate-no-such-distribution"))
    assert list(provenance.collect()["packages"]) == ["numpy"]


def test_fault_73_environment_is_read_by_allow_list(bare):
    bare.setenv("GITHUB_SHA", "a" * 40)
    bare.setenv("GITHUB_REF_NAME", "x" * 5000)
    for name in ("GITHUB_TOKEN", "HF_TOKEN", "ACTIONS_RUNTIME_TOKEN", "CI_JOB_TOKEN"):
        bare.setenv(name, "sesame-open")
    facts = provenance.collect()
    assert facts["ci"] == {"GITHUB_SHA": "a" * 40, "GITHUB_REF_NAME": "x" * 200}
    assert "sesame" not in json.dumps(facts)
    assert not any("TOKEN" in name or "URL" in name for name in provenance.CI_NAMES)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs tzset")
def test_fault_75_time_is_utc_wherever_it_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # UTC+14
    time.tzset()
    try:
        told = datetime.fromisoformat(provenance.collect()["time_utc"])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told.tzinfo is not None
    assert abs((datetime.now(UTC) - told).total_seconds()) < 60


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CI", "true", True),
        ("CI", "1", True),
        ("CI", "false", False),
        ("CI", "0", False),
        ("CI", "", False),
        ("GITHUB_ACTIONS", "true", True),
        ("TF_BUILD", "True", True),
    ],
)
def test_ci_is_recognized(bare, name, value, expected):
    bare.setenv(name, value)
    assert provenance.in_ci() is expected


def test_no_ci_without_a_mark(bare):
    assert not provenance.in_ci()


def test_drift_tells_what_can_move_a_number():
    old = provenance.collect()
    new = json.loads(json.dumps(old))
    old["packages"]["onnxruntime"] = "1.30.0"
    new["packages"]["onnxruntime"] = "1.31.1"
    new["packages"]["onnxruntime-gpu"] = "1.31.1"
    old["cpu"] |= {"model": "old", "flags": ["avx2", "fma"]}
    new["cpu"] |= {"model": "new", "flags": ["avx2", "avx512_vnni"]}
    new |= {"time_utc": "2000-01-01T00:00:00Z", "git_commit": None, "ci": {"GITHUB_SHA": "b"}}
    assert provenance.drift(old, new) == [
        "cpu flags -fma +avx512_vnni",
        "cpu model old -> new",
        "onnxruntime 1.30.0 -> 1.31.1",
        "onnxruntime-gpu absent -> 1.31.1",
    ]


def test_drift_of_identities_tells_provider_and_not_digest():
    old = {"package": "aa", "provider": "CPUExecutionProvider", "provider_options": {"threads": 1}}
    new = {"package": "bb", "provider": "CUDAExecutionProvider", "provider_options": {"threads": 2}}
    assert provenance.drift(old, new) == [
        "provider CPUExecutionProvider -> CUDAExecutionProvider",
        "provider_options threads 1 -> 2",
    ]


def test_fault_43_drift_tells_the_options_of_onnx_runtime(other_folder):
    plain = backend_of(other_folder).identity
    options = {
        "accuracy_level": 4,
        "session_options": {"enable_mem_pattern": "0"},
        "provider_options": {"arena_extend_strategy": "kNextPowerOfTwo"},
        "packing": False,
    }
    assert provenance.drift(plain, backend_of(other_folder, **options).identity) == [
        "accuracy_level absent -> 4",
        "packing True -> False",
        "provider_options arena_extend_strategy absent -> kNextPowerOfTwo",
        "session_options enable_mem_pattern absent -> 0",
    ]


def test_fault_43_drift_tells_the_versions_of_onnx_runtime_genai(tiny_folder, other_folder):
    was, now = (
        OrtGenaiBackend(open_package(folder), threads=1).identity
        for folder in (tiny_folder, other_folder)
    )
    assert provenance.drift(was, now) == [], "other weights are what gates are for"
    old = {**was, "onnxruntime_genai": "0.1.0", "onnxruntime": "1.0.0"}
    assert provenance.drift(old, now) == [
        f"onnxruntime 1.0.0 -> {now['onnxruntime']}",
        f"onnxruntime_genai 0.1.0 -> {now['onnxruntime_genai']}",
    ]


def test_fault_43_drift_tells_the_device_of_torch(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "llama", "llama")
    identities = []
    for name in ("NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3"):
        monkeypatch.setattr(torch_engine, "device_names", lambda *_, name=name, **__: [name])
        identities.append(torch_engine.TorchBackend(folder, threads=1).identity)
    old = {**identities[0], "transformers": "4.0.0"}
    new = {**identities[1], "device_map": "auto", "trust_remote_code": True}
    assert provenance.drift(old, new) == [
        "device_map absent -> auto",
        "device_name NVIDIA A100-SXM4-80GB -> NVIDIA H100 80GB HBM3",
        f"transformers 4.0.0 -> {new['transformers']}",
        "trust_remote_code absent -> True",
    ]


def test_drift_of_equal_facts_is_empty():
    assert provenance.drift(provenance.collect(), provenance.collect()) == []


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", os.fspath(tmp_path.parent))
    assert provenance.collect()["git_commit"] is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.collect()["git_commit"] is None


def test_no_heavy_library_is_imported():
    program = (
        "import sys; from quantgate import provenance; provenance.collect();"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'numpy', 'datasets'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
