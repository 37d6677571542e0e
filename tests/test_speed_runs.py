"""Speed and memory in real runs: with pytest-benchmark, without it, under pytest-xdist."""

from __future__ import annotations

import json

import pytest

from tests.command_line import Workspace
from tests.tiny_models import Tiny, write_package

PASSED, FAILED, REFUSED = 0, 1, 4
BOTH = ("-m", "speed or memory")
SPEED, MEMORY = ("-m", "speed", "-k", "int4"), ("-m", "memory", "-k", "int4")
INT4, FP32 = "tiny-int4-ort-cpu", "tiny-fp32-ort-cpu"
POLICY = """\
[policy.speed.generation_speedup]
reference = { ratio_to_reference = 0.001 }

[policy.speed.prefill_speedup]
reference = { ratio_to_reference = 0.001 }

[policy.memory.peak_saving]
reference = { ratio_to_reference = 0.5 }

[policy.memory.disk_saving]
reference = { ratio_to_reference = 0.5 }

[policy.mmlu.accuracy]
"""


@pytest.fixture
def workspace(tmp_path, tiny_folder, other_folder, mmlu_folder, text_file):
    """Two packages of the same decoder, whose heads differ."""
    found = Workspace(
        tmp_path / "workspace",
        reference=tiny_folder,
        candidate=other_folder,
        mmlu=mmlu_folder,
        text=text_file,
        cache=tmp_path / "cache",
    )
    found.edit("[policy.mmlu.accuracy]\n", POLICY)
    return found


def measured(outcome) -> dict:
    return {(each["case_id"], each["task"]): each for each in outcome.results["measurements"]}


def test_speed_and_memory_of_both_are_measured_gated_and_told(workspace, tiny_folder, other_folder):
    outcome = workspace.run(*BOTH, "--benchmark-json=benchmark.json")
    assert outcome.status == PASSED, outcome.text
    decisions = outcome.decisions()
    assert set(decisions) == {
        (case, task, metric)
        for case in (FP32, INT4)
        for task, metric in (
            ("speed", "generation_speedup"),
            ("speed", "prefill_speedup.24"),
            ("memory", "peak_saving"),
            ("memory", "disk_saving"),
        )
    }
    sizes = [
        sum(path.stat().st_size for path in folder.iterdir())
        for folder in (tiny_folder, other_folder)
    ]
    saving = decisions[INT4, "memory", "disk_saving"]["value"]
    assert saving == pytest.approx(sizes[0] / sizes[1])
    assert decisions[FP32, "memory", "disk_saving"]["value"] == 1.0
    speed = measured(outcome)[INT4, "speed"]
    assert speed["detail"]["prefill_left_out"] == [4096]
    assert any("no prefill of 4,096 tokens" in line for line in speed["warnings"])
    assert len(speed["detail"]["seconds"]["reference"]) == 5
    memory = {s["metric"]: s["value"] for s in measured(outcome)[INT4, "memory"]["scores"]}
    assert 10 < memory["resident_mib"] <= memory["loading_mib"] < 4000
    assert memory["resident_mib"] <= memory["peak_mib"] < 4000
    assert "first token, ms" in outcome.text
    assert "on disk" in outcome.text
    _check_benchmarks(workspace, speed)


def _check_benchmarks(workspace, speed):
    saved = json.loads((workspace.folder / "benchmark.json").read_bytes())["benchmarks"]
    assert {each["extra_info"]["variant"] for each in saved} == {"fp32", "int4"}
    mine = next(each for each in saved if each["extra_info"]["variant"] == "int4")
    info, generation = mine["extra_info"], speed["scores"][0]
    assert info["figures"][generation["metric"]] == generation["value"]
    assert info["protocol"] == speed["comparability"]["protocol"]
    assert info["package"] == speed["identity"]["package"] != info["reference_package"]
    assert mine["stats"]["rounds"] == 5
    # Its clock stands outside of the child, so it can only see more.
    within = [
        each["generation"] + each["first_token"] for each in speed["detail"]["seconds"]["candidate"]
    ]
    assert all(a >= b for a, b in zip(mine["stats"]["data"], within, strict=True))


def test_a_second_run_is_compared_by_both(workspace):
    first = workspace.run(*SPEED, "--benchmark-autosave")
    assert first.status == PASSED, first.text
    second = workspace.run(*SPEED, "--benchmark-compare")
    assert second.status == PASSED, second.text
    assert "quantgate: earlier runs" in second.text
    assert "(0001_" in second.text, "pytest-benchmark's own table has the saved run"


def test_under_xdist_all_is_measured_and_that_is_told(workspace):
    outcome = workspace.run(*SPEED, "-n", "2")
    assert outcome.status == PASSED, outcome.text
    found = measured(outcome)[INT4, "speed"]
    assert len(found["detail"]["seconds"]["candidate"]) == 5
    assert any("other workers" in line for line in found["warnings"])
    assert "fixture was not used" not in outcome.text


def test_without_benchmark_and_policy_all_is_measured_and_told(workspace):
    workspace.edit(POLICY, "[policy.mmlu.accuracy]\n")
    outcome = workspace.run(*BOTH, "-k", "int4", "-p", "no:benchmark")
    assert outcome.status == PASSED, outcome.text
    assert outcome.decisions() == {}
    assert set(measured(outcome)) == {(INT4, "speed"), (INT4, "memory")}
    assert "first token, ms" in outcome.text


def test_a_time_by_itself_can_have_no_policy(workspace):
    workspace.edit("[policy.speed.generation_speedup]", "[policy.speed.generation_tokens_per_s]")
    outcome = workspace.run(*SPEED)
    assert outcome.status == REFUSED
    assert "generation_speedup" in outcome.text
    assert "policy-metric" in outcome.text


def test_memory_of_a_model_in_this_process_is_invalid(workspace):
    outcome = workspace.run(*MEMORY, "--gate-execution=inline")
    assert outcome.status == FAILED
    assert outcome.verdicts() == {"INVALID"}
    assert "memory-inline" in outcome.text


def test_a_generation_longer_than_the_context_is_invalid(workspace, tmp_path):
    short = write_package(tmp_path / "short", Tiny(context=16))
    outcome = workspace.run("-m", "speed", f"--gate-model=short={short}")
    assert outcome.status == FAILED
    assert outcome.verdicts() == {"INVALID"}
    assert "context-overflow" in outcome.text


SAVING = "[policy.memory.disk_saving]\nreference = { ratio_to_reference = 0.5 }"
STORED = "[policy.memory.disk_saving]\nbaseline = { relative = 0.1 }"
NEW = ("--gate-update-new-only", "--gate-reason=first")


def test_without_a_reference_all_is_measured_and_told_and_nothing_is_gated(workspace, other_folder):
    workspace.edit(SAVING, f"{SAVING}\nbaseline = {{ relative = 0.1 }}")
    outcome = workspace.run(*BOTH, f"--gate-model=mine={other_folder}", *NEW)
    assert outcome.status == PASSED, outcome.text
    assert outcome.decisions() == {}
    assert not list(workspace.folder.glob("baselines/**/*.json"))
    found = measured(outcome)
    assert {key[1] for key in found} == {"speed", "memory"}
    for (_, task), each in found.items():
        assert {"speed": "generation_tokens_per_s", "memory": "peak_mib"}[task] in {
            score["metric"] for score in each["scores"]
        }
        (line,) = [line for line in each["warnings"] if line.startswith("not held against")]
        assert line in outcome.text
        assert f"no limit of {task} is in force" in line


def test_a_saving_beside_another_reference_tells_so(workspace, tmp_path):
    workspace.edit(SAVING, STORED)
    stored = workspace.run(*MEMORY, *NEW)
    assert stored.status == PASSED, stored.text
    other = write_package(tmp_path / "heavier", Tiny(context=512))
    outcome = workspace.run(*MEMORY, f"--gate-reference={other}")
    decision = outcome.decisions()[INT4, "memory", "disk_saving"]
    assert any("reference package: baseline " in note for note in decision["notes"])
    strict = workspace.run(*MEMORY, f"--gate-reference={other}", "--gate-strict-env")
    assert strict.status == FAILED
    decision = strict.decisions()[INT4, "memory", "disk_saving"]
    assert decision["verdict"] == "INVALID"
    assert "reference package: baseline " in decision["reason"]
    again = workspace.run(*MEMORY, "--gate-strict-env")
    assert again.decisions()[INT4, "memory", "disk_saving"]["verdict"] == "PASS", again.text


def test_baselines_hold_ratios_and_no_times(workspace):
    workspace.edit(
        "reference = { ratio_to_reference = 0.001 }\n\n[policy.speed.prefill_speedup]",
        "baseline = { relative = 0.9 }\n\n[policy.speed.prefill_speedup]",
    )
    stored = workspace.run(*SPEED, "--gate-update-baselines", "--gate-reason=first")
    assert stored.status == PASSED, stored.text
    path = workspace.folder / "baselines" / "tiny" / "int4-ort-cpu.json"
    entry = json.loads(path.read_bytes())["tasks"]["speed"]
    assert set(entry["metrics"]) == {"generation_speedup"}
    assert entry["items"]["n"] == 5
    again = workspace.run(*SPEED)
    decision = again.decisions()[INT4, "speed", "generation_speedup"]
    assert decision["against"] == "baseline"
    assert decision["evidence"]["method"] == "bootstrap of the median, 5 rounds"
    assert decision["verdict"] in {"PASS", "INCONCLUSIVE"}
